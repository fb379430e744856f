"""demovae: what users see."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import torch

from neuro.data import Recording
from neuro.errors import ConfigError, DataError, FileError
from neuro.models._estimator import EstimatorModel
from neuro.models.demovae.calibration import calibrate
from neuro.models.demovae.config import DemoVAEConfig
from neuro.models.demovae.demographics import Table, facts_of
from neuro.models.demovae.guides import Draws, fit_guides
from neuro.models.demovae.inputs import checked_rows, features_of, is_recorded
from neuro.models.demovae.network import Autoencoder, filled, flat
from neuro.models.demovae.series import series_with, valid_correlation
from neuro.models.demovae.start import begin_linearly, n_components
from neuro.models.demovae.training import train
from neuro.typing import AnyArray, FloatArray, PathLike

__all__ = ["DemoVAE"]


class DemoVAE(EstimatorModel):
    """Codes of connectivity that know nothing of demographics, and samples that do.

    An autoencoder of feature vectors whose decoder is told age, sex, site and the like,
    and whose codes are pushed to be standard normal and uncorrelated with them. Codes
    are features for studies that must not find demographics again; random codes with
    chosen demographics are synthetic people; a real person's code with another site is
    that person at that site. Despite its name the encoder is deterministic: there is no
    KL term (see :mod:`neuro.models.demovae.losses`).

    ``preset="paper"`` is the public package `demovae` 0.0.6 number for number: same seed,
    same weights. ``preset="default"`` mends what makes its samples wrong: codes are
    whitened after training (the package's keep any variance they had, and its samples are
    drawn with variance 1), samples get back the variance that the decoder leaves
    unexplained, losses depend neither on the number of rows nor on the size of codes,
    demographics are standardised and drawn row by row, guides are weak and proper
    likelihoods, the size of the code follows the data, and training starts at the linear
    solution.

    Rows are vectors (n, n_features), symmetric matrices (n, n_rois, n_rois), recordings
    or windows; the latter become connectivity by ``config.measure`` and bring their
    demographics along. Fit on training rows and use the codes of others: codes of the
    training rows themselves are uncorrelated with demographics by construction.

    Parameters
    ----------
    config : DemoVAEConfig, optional
        Settings.
    **values
        Fields of it; :func:`neuro.models.create` knows the presets.

    Attributes
    ----------
    weights_ : float32 array, shape (n_parameters,)
        Of the network, layer by layer.
    feature_mean_ : float32 array, shape (n_features,)
        Of the training rows.
    feature_scale_ : float
        Root mean square of the training rows about their mean.
    latent_mean_, latent_factor_ : float64 array, shape (n_latents,) and (n_latents, n_latents)
        Mean and Cholesky factor of the training codes as the network gives them; 0 and
        1 without whitening.
    scatter_ : float32 array, shape (n_features,)
        Standard deviation that the decoder leaves unexplained.
    history_ : float32 array, shape (n_steps, 5)
        Reconstruction, second moment, mean, demographics, guides: unweighted, per step.
    demographics_ : list of dict
        Every demographic with kind, mean and deviation, or levels and their shares.
    calibration_ : dict of str to float
        ``explained`` (share of the training variance), ``second_moment_error`` (largest
        deviation of an eigenvalue of Z'Z/n from 1 before whitening; below 0.2 samples
        of an unwhitened model can be trusted).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> age, u = rng.uniform(8, 22, 120), rng.standard_normal((120, 2))
    >>> x = age[:, None] * rng.normal(0, 0.1, 15) + u @ rng.standard_normal((2, 15))
    >>> model = DemoVAE(epochs=5, hidden=8).fit(x, {"age": age})
    >>> model.get_latents(x).shape, model.generate(3, {"age": [9.0, 15.0, 21.0]}).shape
    ((120, 2), (3, 15))
    """

    name: ClassVar[str] = "demovae"
    config_class: ClassVar[type[DemoVAEConfig]] = DemoVAEConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
        {
            "default": {},
            "paper": {
                "latent_dim": 60, "hidden": 1000, "linear_path": False, "losses": "package",
                "standardise": False, "whiten": False, "scatter": False, "rec_weight": 100.0,
                "cov_weight": 1.0, "mean_weight": 1.0, "demo_weight": 10.0,
                "guide_weight": 0.001, "guide_alpha": 100.0, "guide_c": 100.0, "epochs": 3000,
                "batch_size": 1000, "lr": 1e-4, "weight_decay": 0.0,
            },
            "tiny": {"hidden": 8, "epochs": 5},
        }
    )  # fmt: skip
    fitted: ClassVar[tuple[str, ...]] = (
        "weights_",
        "feature_mean_",
        "feature_scale_",
        "latent_mean_",
        "latent_factor_",
        "scatter_",
        "history_",
    )
    noted: ClassVar[tuple[str, ...]] = ("demographics_", "calibration_")
    takes_recordings: ClassVar[bool] = True

    config: DemoVAEConfig
    weights_: FloatArray
    feature_mean_: FloatArray
    feature_scale_: float
    latent_mean_: FloatArray
    latent_factor_: FloatArray
    scatter_: FloatArray
    history_: FloatArray
    demographics_: list[dict[str, Any]]
    calibration_: dict[str, float]

    # -- learning ------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        demo: Any = None,
        demo_types: Sequence[str] | None = None,
        *,
        stream: str | None = None,
    ) -> Self:
        """Learn from rows and their demographics.

        Parameters
        ----------
        x : array (n, n_features) or (n, n_rois, n_rois), Recordings, or Windows
            Training rows.
        demo : mapping of name to array (n,), or sequence of arrays, optional
            Demographics; recordings and windows bring theirs.
        demo_types : sequence of "continuous" or "categorical", optional
            Of each; needed where whole numbers leave it open.
        stream : str, optional
            Of recordings with several.

        Returns
        -------
        DemoVAE
            Itself.

        Raises
        ------
        DataError
            NaN, constant features or demographics, a single level, rows that differ in
            number, or a training that diverges.
        """
        rows = checked_rows(features_of(x, self.config.measure, stream))
        demo, kinds = self._demo_of(x, demo, demo_types, self.config.demographics)
        table = Table.learn(demo, kinds, len(rows))
        self.demographics_ = table.to_json()
        columns = table.encode(demo, len(rows), standardise=self.config.standardise)
        self.feature_mean_ = rows.mean(axis=0).astype(np.float32)
        self.feature_scale_ = float(np.sqrt(((rows - rows.mean(axis=0)) ** 2).mean()))
        network, generator = self._new_network(rows, columns, table)
        draws = Draws(table, self.config, generator, random.Random(self.config.seed))
        inside = self._inside(network, rows)
        guides = fit_guides(inside, columns, table, self.config)
        x32, columns32 = (torch.from_numpy(a.astype(np.float32)) for a in (rows, columns))
        self.history_ = train(network, x32, columns32, guides, draws, self.config).numpy()
        if not np.isfinite(self.history_).all():
            raise DataError(
                "Training left the numbers. Lower lr; with losses='package', every batch in file "
                "order must hold more than one value of each demographic."
            )
        self.weights_ = flat(network)
        told = columns32 if self.config.condition else columns32[:, :0]
        found = calibrate(network, x32, told, whiten=self.config.whiten)
        self.latent_mean_, self.latent_factor_ = found.mean, found.factor
        self.scatter_, self.calibration_ = found.scatter, found.facts
        return self

    def _demo_of(
        self, x: Any, demo: Any, kinds: Sequence[str] | None, named: str | None = None
    ) -> tuple[Any, Sequence[str] | None]:
        """Demographics as given, or as recordings know them."""
        if demo is not None or not is_recorded(x):
            return ([] if demo is None else demo), kinds
        named = ",".join(self.table.names) if named is None else named
        return facts_of([x] if isinstance(x, Recording) else x, named)

    def _new_network(
        self, rows: FloatArray, columns: FloatArray, table: Table
    ) -> tuple[Autoencoder, torch.Generator]:
        """Network with its first weights, and the generator that goes on from there."""
        c = self.config
        told = columns if c.condition else columns[:, :0]
        x = (rows - rows.mean(axis=0)) / self.feature_scale_
        n_latents = c.latent_dim or n_components(x, told, c.seed)
        generator = torch.Generator()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(c.seed)
            network = self._layers(rows.shape[1], n_latents, told.shape[1])
            generator.set_state(torch.get_rng_state())
        self._place(network)
        if c.linear_path:
            begin_linearly(network, x, told)
        return network, generator

    def _layers(self, n_features: int, n_latents: int, n_columns: int) -> Autoencoder:
        c, n_rois = self.config, 0
        if c.output != "vector":
            n_rois = round((1 + np.sqrt(1 + 8 * n_features)) / 2)
            if n_rois * (n_rois - 1) // 2 != n_features:
                raise DataError(
                    f"output={c.output!r} needs the upper triangle of a matrix; {n_features} "
                    "features are none. Use output='vector'."
                )
        return Autoencoder(
            n_features, n_latents, n_columns, c.hidden, linear_path=c.linear_path,
            output=c.output, n_rois=n_rois,
            rank=c.rank or (5 if c.output == "lowrank" else n_rois),
        )  # fmt: skip

    def _place(self, network: Autoencoder) -> None:
        """Centre and scale of the rows inside; none in the package's form."""
        network.centre = torch.zeros(len(self.feature_mean_))
        network.scale = torch.ones(())
        if self.config.standardise:
            network.centre = torch.from_numpy(self.feature_mean_)
            network.scale = torch.tensor(self.feature_scale_, dtype=torch.float32)

    def _inside(self, network: Autoencoder, rows: FloatArray) -> FloatArray:
        centre = network.centre.numpy().astype(np.float64)
        return np.asarray((rows - centre) / float(network.scale))

    # -- codes and rows --------------------------------------------------------------

    @property
    def n_latents(self) -> int:
        """Size of the code."""
        self.require_fitted()
        return len(self.latent_mean_)

    @property
    def table(self) -> Table:
        """Demographics of the training."""
        self.require_fitted()
        return Table.from_json(self.demographics_)

    def get_latents(self, x: Any, *, stream: str | None = None) -> FloatArray:
        """Codes of rows; demographics are not asked for.

        Parameters
        ----------
        x : array, Recordings or Windows
            As in :meth:`fit`.
        stream : str, optional
            Of recordings with several.

        Returns
        -------
        float32 array, shape (n, n_latents)
            Whitened on the training rows, if the configuration says so.

        Raises
        ------
        ConfigError
            Before :meth:`fit`.
        DataError
            NaN, or another number of features.
        """
        codes = self._codes(self._rows(x, stream)).astype(np.float64) - self.latent_mean_
        return np.linalg.solve(self.latent_factor_, codes.T).T.astype(np.float32)

    def transform(
        self,
        x: Any,
        demo: Any = None,
        demo_types: Sequence[str] | None = None,
        *,
        stream: str | None = None,
    ) -> FloatArray:
        """Rows decoded with these demographics; a number in place of rows generates.

        Parameters
        ----------
        x : array, Recordings or Windows; or int
            Rows, or how many to sample as :meth:`generate` does.
        demo, demo_types
            As in :meth:`fit`; every row's own give the reconstruction.
        stream : str, optional
            Of recordings with several.

        Returns
        -------
        float32 array, shape (n, n_features)

        Raises
        ------
        ConfigError
            Before :meth:`fit`.
        DataError
            A demographic or level that training never saw.
        """
        if isinstance(x, int | np.integer) and not isinstance(x, bool):
            return self.generate(int(x), demo, demo_types)
        rows = self._rows(x, stream)
        return self._decoded(self._codes(rows), self._columns(x, demo, len(rows), demo_types))

    def fit_transform(
        self,
        x: Any,
        demo: Any = None,
        demo_types: Sequence[str] | None = None,
        *,
        stream: str | None = None,
    ) -> FloatArray:
        """:meth:`fit`, then :meth:`transform` of the same rows."""
        return self.fit(x, demo, demo_types, stream=stream).transform(x, demo, stream=stream)

    def score(
        self,
        x: Any,
        demo: Any = None,
        demo_types: Sequence[str] | None = None,
        *,
        stream: str | None = None,
    ) -> float:
        """Share of the variance about the training mean that the reconstruction explains."""
        rows = self._rows(x, stream)
        rest = rows - self._decoded(
            self._codes(rows), self._columns(x, demo, len(rows), demo_types)
        )
        return float(1 - (rest**2).sum() / ((rows - self.feature_mean_) ** 2).sum())

    # -- other demographics ------------------------------------------------------------

    def generate(
        self,
        n: int,
        demo: Any,
        demo_types: Sequence[str] | None = None,
        *,
        seed: int = 0,
        z: AnyArray | None = None,
    ) -> FloatArray:
        """Synthetic rows of people with chosen demographics.

        Parameters
        ----------
        n : int
            How many.
        demo : mapping of name to array (n,) or one value, or sequence of them
            Every demographic of the training.
        demo_types : sequence of str, optional
            Checked against those of the training.
        seed : int
            Of codes and scatter.
        z : array, shape (n, n_latents), optional
            Codes, in place of standard normal ones.

        Returns
        -------
        float32 array, shape (n, n_features)
            Simulated; never to be mixed with measured rows unmarked.

        Raises
        ------
        ConfigError
            Before :meth:`fit`, or n below 1.
        DataError
            A demographic or level that training never saw.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> x, sex = rng.standard_normal((40, 6)), np.repeat(["F", "M"], 20)
        >>> model = DemoVAE(epochs=2, hidden=4, latent_dim=2).fit(x, {"sex": sex})
        >>> model.generate(5, {"sex": "F"}, seed=1).shape
        (5, 6)
        """
        self.require_fitted()
        if n < 1:
            raise ConfigError(f"n = {n} rows cannot be generated; use 1 or more.")
        columns = self._encoded(self.table, demo, n, demo_types)
        generator = torch.Generator().manual_seed(seed)
        codes = torch.randn(n, self.n_latents, generator=generator).numpy()
        if z is not None:
            codes = np.asarray(z, dtype=np.float32)
            if codes.shape != (n, self.n_latents):
                raise DataError(f"z has shape {codes.shape}, not {(n, self.n_latents)}.")
        raw = codes @ self.latent_factor_.T.astype(np.float32)
        made = self._decoded(raw + self.latent_mean_.astype(np.float32), columns)
        if self.config.scatter and self.config.output == "vector":
            noise = torch.randn(n, made.shape[1], generator=generator).numpy()
            made = made + noise * self.scatter_
        return made

    def swap(
        self,
        x: Any,
        demo: Any = None,
        demo_types: Sequence[str] | None = None,
        *,
        to: Mapping[Any, Any],
        keep_rest: bool = False,
        stream: str | None = None,
    ) -> FloatArray:
        """The same people with some demographics changed: all at one site, say.

        Parameters
        ----------
        x, demo, demo_types, stream
            As in :meth:`transform`, with every row's own demographics.
        to : mapping of name (or number) to array (n,) or one value
            What changes.
        keep_rest : bool
            Add what the reconstruction with the row's own demographics leaves
            unexplained: keeps all of a person's detail, also what of the old
            demographics the decoder does not know.

        Returns
        -------
        float32 array, shape (n, n_features)

        Raises
        ------
        ConfigError
            Before :meth:`fit`.
        DataError
            A demographic or level that training never saw.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> site = np.repeat(["A", "B"], 30)
        >>> x = rng.standard_normal((60, 6)) + 3.0 * (site == "B")[:, None]
        >>> model = DemoVAE(epochs=2, hidden=4, latent_dim=2).fit(x, {"site": site})
        >>> moved = model.swap(x, {"site": site}, to={"site": "A"})
        >>> bool(abs(moved[30:].mean() - x[:30].mean()) < 0.1)
        True
        """
        rows = self._rows(x, stream)
        own = self._demo_of(x, demo, demo_types)[0]
        table = self.table
        before = self._encoded(table, own, len(rows), demo_types)
        after = before.copy()
        for key, value in to.items():
            index = table.names.index(str(key)) if str(key) in table.names else -1
            if index < 0:
                raise DataError(
                    f"Demographic {key!r} was never seen in training; there are {table.names}."
                )
            row, columns = table.blocks()[index]
            alone = Table((row,)).encode(
                {row.name: value}, len(rows), standardise=self.config.standardise
            )
            after[:, columns] = alone
        codes = self._codes(rows)
        moved = self._decoded(codes, after)
        if keep_rest:
            moved = moved + (rows - self._decoded(codes, before)).astype(np.float32)
        return moved

    def deconfound(
        self,
        x: Any,
        demo: Any = None,
        demo_types: Sequence[str] | None = None,
        *,
        stream: str | None = None,
    ) -> FloatArray:
        """Rows less what the decoder ascribes to their demographics.

        Each row keeps its code and what is unexplained, and is decoded as if every
        demographic were at its training mean (categorical: at the shares of levels).

        Parameters
        ----------
        x, demo, demo_types, stream
            As in :meth:`transform`, with every row's own demographics.

        Returns
        -------
        float32 array, shape (n, n_features)
        """
        rows = self._rows(x, stream)
        own = self._columns(x, demo, len(rows), demo_types)
        mean = np.concatenate(
            [
                row.shares or [0.0 if self.config.standardise else row.mean]
                for row in self.table.rows
            ]
        )
        codes = self._codes(rows)
        change = self._decoded(codes, np.broadcast_to(mean, own.shape)) - self._decoded(codes, own)
        return (rows + change).astype(np.float32)

    def sample_series(
        self,
        n: int,
        demo: Any,
        *,
        n_times: int,
        ar: float = 0.0,
        exact: bool = False,
        seed: int = 0,
    ) -> FloatArray:
        """Time series of synthetic people: Gaussian, with the sampled correlations.

        Parameters
        ----------
        n : int
            People.
        demo : mapping or sequence
            As in :meth:`generate`.
        n_times : int
            Samples.
        ar : float
            Correlation of successive samples, the same for all regions.
        exact : bool
            Series whose own correlations are those sampled, not only in expectation;
            needs more samples than regions.
        seed : int
            Of codes, scatter and series.

        Returns
        -------
        float64 array, shape (n, n_rois, n_times)
            Variance 1; simulated.

        Raises
        ------
        ConfigError
            For features that are no correlations.
        DataError
            As in :meth:`generate`.
        """
        from neuro.connectivity import matrix_of

        if self.config.measure == "partial_correlation":
            raise ConfigError("Series follow from full correlations, not from partial ones.")
        made = self.generate(n, demo, seed=seed).astype(np.float64)
        if self.config.measure == "fisher_z":
            made = np.tanh(made)
        target = valid_correlation(matrix_of(made, diagonal=1.0))
        return series_with(target, n_times, ar=ar, exact=exact, seed=seed)

    # -- inside --------------------------------------------------------------------------

    def _rows(self, x: Any, stream: str | None) -> FloatArray:
        self.require_fitted()
        found = features_of(x, self.config.measure, stream)
        return checked_rows(found, len(self.feature_mean_))

    def _columns(self, x: Any, demo: Any, n: int, kinds: Sequence[str] | None) -> FloatArray:
        demo = self._demo_of(x, demo, kinds)[0]
        return self._encoded(self.table, demo, n, kinds)

    def _encoded(self, table: Table, demo: Any, n: int, kinds: Sequence[str] | None) -> FloatArray:
        return table.encode(demo, n, standardise=self.config.standardise, kinds=kinds)

    def _network(self) -> Autoencoder:
        """The trained network, sharing memory with `weights_`."""
        n_columns = self.table.n_columns if self.config.condition else 0
        with torch.device("meta"):  # sizes that a file claims are not believed
            network = self._layers(len(self.feature_mean_), len(self.latent_mean_), n_columns)
        filled(network, self.weights_)
        self._place(network)
        return network

    def _codes(self, rows: FloatArray) -> FloatArray:
        """Codes as the network gives them."""
        x = torch.from_numpy(rows.astype(np.float32))
        return np.asarray(self._network().encode(x).numpy())

    def _decoded(self, codes: FloatArray, columns: FloatArray) -> FloatArray:
        told = columns if self.config.condition else columns[:, :0]
        z, demo = (torch.from_numpy(np.asarray(a, dtype=np.float32)) for a in (codes, told))
        return np.asarray(self._network().decode(z, demo).numpy())

    @classmethod
    def from_folder(cls, folder: PathLike) -> Self:
        """Estimator as `save` wrote it; see :func:`neuro.models.load`.

        Raises
        ------
        FileError
            If the folder is malformed, incomplete or of another system.
        """
        made = super().from_folder(folder)
        n, n_latents = len(made.feature_mean_), len(made.latent_mean_)
        if made.scatter_.shape != (n,) or made.latent_factor_.shape != (n_latents, n_latents):
            raise FileError(f"The arrays in {Path(folder).name!r} do not fit each other.")
        made._network()
        return made
