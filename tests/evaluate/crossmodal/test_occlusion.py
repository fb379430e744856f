"""The second, electrode and rhythm that a predictor reads are the ones that are found."""

from typing import Any

import numpy as np
import pytest

from neuro.errors import ConfigError, DataError
from neuro.evaluate.crossmodal import baseline_learner, occlude


def _stretch(seconds: tuple[float, float], channel: int) -> Any:
    """A predictor that reads one electrode some seconds before the window's end."""

    def predict(pairs: Any) -> Any:
        x = pairs.batch().x.numpy()
        n = x.shape[2]
        a, b = (n - round(s * pairs.sfreq) for s in seconds)
        return np.repeat(x[:, channel, a:b].std(axis=1)[:, None], 3, axis=1)

    return predict


def test_a_known_second_is_found(small: Any) -> None:
    pairs = small[1].select(small[1].recording == 0)
    found = occlude(_stretch((6.0, 5.0), 7), pairs, "lag")
    assert found.peak("beta") == "5.5 s"
    assert found.lag_s("beta") == pytest.approx(5.5, abs=0.01)
    others = np.delete(found.change[:, 0], found.names.index("5.5 s"))
    assert others.max() == pytest.approx(0, abs=1e-9)
    assert found.change[:, 0].max() > 0.5


def test_a_known_electrode_is_found(small: Any) -> None:
    pairs = small[1].select(small[1].recording == 0)
    found = occlude(_stretch((6.0, 5.0), 7), pairs, "channel")
    assert found.peak("beta") == pairs.ch_names[7] == "P4"
    assert np.delete(found.change[:, 0], 7).max() == pytest.approx(0, abs=1e-9)


def test_a_known_rhythm_is_found(small: Any) -> None:
    pairs = small[1].select(small[1].recording == 0)

    def theta(windows: Any) -> Any:
        power = np.abs(np.fft.rfft(windows.batch().x.numpy(), axis=2)) ** 2
        freq = np.fft.rfftfreq(windows.n_times, 1 / windows.sfreq)
        return np.log(power[:, :3, (freq >= 5) & (freq < 7)].sum(axis=2))

    found = occlude(theta, pairs, "band")
    assert found.peak("beta") == "theta"
    others = np.delete(found.change, found.names.index("theta"), axis=0)
    assert others.max() == pytest.approx(0, abs=1e-4)  # float32 transform there and back


def test_a_lagged_pairing_counts_from_the_volume(small: Any) -> None:
    from neuro.data import pair

    pairs = pair(small[0].recordings[0], window_s=8, lag_s=3.0)
    found = occlude(_stretch((2.0, 1.0), 0), pairs, "lag")
    assert found.peak("beta") == "4.5 s"


def test_the_ridge_rests_on_its_regions_rhythm(small: Any) -> None:
    pairs = small[1]
    predict = baseline_learner("lagged_ridge")(pairs.select(pairs.recording < 3))
    test = pairs.select(pairs.recording == 3)
    found = occlude(predict, test, "band")
    assert (found.peak("minus_alpha"), found.peak("beta")) == ("alpha", "beta")


def test_what_cannot_be_occluded_is_told(small: Any) -> None:
    pairs = small[1].select(np.arange(5))
    predict = _stretch((1.0, 0.0), 0)
    with pytest.raises(ConfigError, match="channel"):
        occlude(predict, pairs, "chanel")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="patch_s"):
        occlude(predict, pairs, "lag", patch_s=40.0)
    with pytest.raises(DataError, match="at least 3"):
        occlude(predict, small[1].select([0, 1]), "lag")
    found = occlude(predict, pairs, "channel")
    with pytest.raises(ConfigError, match="no lag"):
        found.lag_s("beta")
    with pytest.raises(DataError, match="beta"):
        found.peak("betta")
