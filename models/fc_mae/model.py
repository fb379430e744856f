"""The whole system: from region series to graphs, codes, predictions and masked parts."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from neuro.connectivity.tensors import windowed_batch_graphs
from neuro.data import Batch, InputContract, exact_rate
from neuro.errors import DataError
from neuro.models._base import NetworkModel, evaluating
from neuro.models._blind import BlindSpot
from neuro.models._config import NetworkConfig
from neuro.models.fc_mae.config import FCMAEConfig
from neuro.models.fc_mae.encoder import GraphCodes, GraphEncoder, LayerHeads, orthogonality
from neuro.models.fc_mae.pretraining import Decoder, HiddenGraphs, losses, rebuild
from neuro.nn.masks import valid_samples
from neuro.train.stages import Stage

__all__ = ["FCMAE"]

# Numbers that graphs and layers hold at a time where windows can go one after the other.
_FLOATS = 1 << 25


class FCMAE(NetworkModel):
    """Masked autoencoder of dynamic functional connectivity (arXiv 2312.01994).

    Windows of region series become graphs of their strongest correlations; a
    STAGIN encoder (arXiv 2105.13495) makes one code a window and attends over
    windows. Stage "pretrain" rebuilds hidden nodes and edges of a window from
    its rest, and whole windows from earlier and later ones; "finetune" and
    "probe" train encoder and head, or the head alone.

    Tokens are the windows' codes (all layers side by side) before the attention
    over windows, zeros where a window does not count: what to probe for states
    in time. The embedding is one vector a scan.

    Preset "paper" is the encoder as its authors trained it on HCP data: 400
    regions, windows of 50 samples every 3, sums over windows, recurrent network
    over the raw series. The pretraining could not be read in full and is our
    reconstruction in both presets. "default" differs: a mean over windows, so
    that scans of different length can be compared; no recurrent network, which
    sees beyond a window; smaller; no dropout of logits. In both, regions that
    are constant or missing are no nodes (in the original one of them spoils the
    batch), and lengths are in seconds.

    Parameters
    ----------
    config : FCMAEConfig
        Sizes and choices.
    contract : InputContract, optional
        What the model accepts; by default as the configuration says.

    Examples
    --------
    >>> import torch
    >>> import neuro
    >>> model = neuro.models.create("fc_mae", preset="tiny").eval()
    >>> out = model(torch.randn(2, 6, 60))
    >>> out.embedding.shape, out.tokens.shape
    (torch.Size([2, 32]), torch.Size([2, 10, 32]))
    """

    name: ClassVar[str] = "fc_mae"
    config_class: ClassVar[type[NetworkConfig]] = FCMAEConfig
    # Tokens are windows: another order of the regions leaves them as they are.
    order_free: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {
            "n_chans": 400,
            "n_times": 1200,
            "sfreq": 1 / 0.72,
            "window_s": 36.0,
            "stride_s": 2.16,
            "crop_s": 432.0,
            "timestamp": True,
            "d_model": 128,
            "depth": 4,
            "pool": "sum",
            "head_dropout": 0.5,
            "node_loss": "cosine",
        },
        "default": {"n_chans": 100},
        "tiny": {
            "n_chans": 6,
            "n_times": 60,
            "window_s": 20.0,
            "d_model": 16,
            "depth": 2,
            "dropout": 0.0,
            "n_draws": 8,
        },
    }

    config: FCMAEConfig

    def __init__(self, config: FCMAEConfig, contract: InputContract | None = None) -> None:
        super().__init__(config, contract)
        self.encoder = GraphEncoder(config)
        self.decoder = Decoder(config)
        self.slow_encoder = nn.Module()
        if config.target == "embedding":
            for name, value in self.encoder.state_dict().items():
                self.slow_encoder.register_buffer(name.replace(".", "/"), value.clone())
        if config.n_outputs:
            sizes = (config.depth, config.d_model, config.n_outputs)
            self.head = LayerHeads(*sizes, config.head_dropout)

    @classmethod
    def default_contract(cls, config: NetworkConfig) -> InputContract:
        """Contract that follows from a configuration alone; "z" takes any unit and scales it."""
        return InputContract(
            modality=config.modality,
            sfreq=exact_rate(config.sfreq),
            unit=config.unit,
            ch_names=config.ch_names,
            scaling="zscore" if config.unit == "z" else "none",
            missing="mask",
        )

    @property
    def any_times(self) -> bool:
        """True: scans have any number of windows."""
        return True

    def stages(self) -> dict[str, Stage]:
        """Masked graphs; with a head also fine-tuning, or the head alone."""
        found = {"pretrain": Stage((self.encoder, self.decoder))}
        if self.head is not None:
            found["finetune"] = Stage((self.encoder, self.head), "supervised_loss")
            found["probe"] = Stage((self.head,), "supervised_loss")
        return found

    # -- from samples to codes ----------------------------------------------------

    def encode(
        self,
        x: Tensor,
        channel_mask: Tensor | None = None,
        positions: Tensor | None = None,
        time_mask: Tensor | None = None,
        channel_index: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Embedding and windows; see :meth:`NetworkModel.encode`. Positions are not used."""
        x = self._filled(x, channel_mask, time_mask, channel_index)
        codes, valid = self._windows(x, time_mask, self._starts(x.shape[2], x.device))
        return self.encoder.scans(codes, valid), self._tokens(codes, valid)

    def _filled(
        self,
        x: Tensor,
        channel_mask: Tensor | None,
        time_mask: Tensor | None,
        channel_index: Tensor | None,
    ) -> Tensor:
        """All regions of the contract in its order; zeros where nothing is there."""
        there = valid_samples(x, channel_mask, time_mask)
        x = x.float()
        if there is not None:
            # where, not a product: what stands under a mask may be NaN
            x = torch.where(there, x, torch.zeros_like(x))
        if channel_index is None and x.shape[1] == self.config.n_chans:
            return x
        rows = torch.arange(x.shape[1], device=x.device) if channel_index is None else channel_index
        full = x.new_zeros(x.shape[0], self.config.n_chans, x.shape[2])
        return full.index_copy(1, rows, x)

    def _starts(self, n_times: int, device: torch.device, first: int = 0) -> Tensor:
        if n_times < self.config.window_times:
            raise DataError(
                f"{n_times} samples ({n_times / self.config.sfreq:g} s) are less than one window "
                f"of {self.config.window_s:g} s; use longer scans or a shorter window_s."
            )
        steps = torch.arange(self.config.n_windows(n_times), device=device)
        return first + steps * self.config.stride_times

    def _valid_windows(self, time_mask: Tensor | None, starts: Tensor) -> Tensor | None:
        """Windows (batch, n_windows) of which enough is there; one at least."""
        if time_mask is None:
            return None
        width = self.config.window_times
        n_times = time_mask.shape[1]
        last = torch.arange(1, n_times + 1, device=starts.device).mul(time_mask).amax(dim=1)
        count = time_mask[:, starts[:, None] + torch.arange(width, device=starts.device)].sum(dim=2)
        # padding behind a scan adds no window: the rule of `n_windows`, scan by scan
        valid = (count >= self.config.min_valid * width) & (starts + width < last[:, None])
        fullest = torch.arange(len(starts), device=starts.device) == count.argmax(dim=1)[:, None]
        return valid | (fullest & ~valid.any(dim=1, keepdim=True))

    def _windows(
        self, x: Tensor, time_mask: Tensor | None, starts: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Codes (depth, batch, n_windows, d_model) of all windows, and which count."""
        valid = self._valid_windows(time_mask, starts)
        states = self._states(x, starts)
        # batch normalisation in training needs all windows at once
        if self.encoder.training or torch.compiler.is_compiling():
            return self._graph_codes(x, time_mask, starts, valid, states).windows, valid
        batch, n = x.shape[0], self.config.n_chans
        floats = n * n + 8 * n * self.config.d_model
        scans = min(batch, max(1, _FLOATS // (len(starts) * floats)))
        windows = max(1, _FLOATS // (scans * floats))
        rows = []
        for b in range(0, batch, scans):
            some, parts = slice(b, b + scans), []
            for w in range(0, len(starts), windows):
                here = (some, slice(w, w + windows))
                found = self._graph_codes(
                    x[some],
                    None if time_mask is None else time_mask[some],
                    starts[here[1]],
                    None if valid is None else valid[here],
                    None if states is None else states[here],
                )
                parts.append(found.windows)
            rows.append(torch.cat(parts, dim=2))
        return torch.cat(rows, dim=1), valid

    def _states(self, x: Tensor, starts: Tensor) -> Tensor | None:
        """State of the recurrent network at the last sample of each window."""
        if not self.config.timestamp:
            return None
        # from the record's first sample on: the states remember what was before a crop
        return self.encoder.states(x)[:, starts + self.config.window_times - 1]

    def _graph_codes(
        self,
        x: Tensor,
        time_mask: Tensor | None,
        starts: Tensor,
        valid: Tensor | None,
        states: Tensor | None,
    ) -> GraphCodes:
        """Graph layers on these windows; windows of `nodes` are flat, those of `windows` not."""
        percent = 100 * (1 - self.config.density)
        with torch.autocast(x.device.type, enabled=False):  # a rough graph is another graph
            edges, nodes = windowed_batch_graphs(
                x, starts, self.config.window_times, percent, time_mask
            )
        there: Tensor | None = nodes if valid is None else nodes & valid[..., None]
        if not torch.compiler.is_compiling() and bool(nodes.all()) and valid is None:
            there = None
        m = edges.shape[0] * edges.shape[1]
        features = self.encoder.features(None if states is None else states.flatten(0, 1), m)
        codes = self.encoder.graphs(
            features, edges.flatten(0, 1), None if there is None else there.flatten(0, 1)
        )
        return codes._replace(
            windows=codes.windows.reshape(-1, *edges.shape[:2], self.config.d_model)
        )

    def _tokens(self, codes: Tensor, valid: Tensor | None) -> Tensor:
        tokens = codes.permute(1, 2, 0, 3).flatten(2)
        return tokens if valid is None else tokens.masked_fill(~valid[..., None], 0.0)

    @torch.no_grad()
    def attention_over_time(self, batch: Batch | Tensor) -> tuple[Tensor, Tensor]:
        """How much attention windows receive, as in eval mode.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Scans.

        Returns
        -------
        weights : Tensor, shape (batch, depth, n_windows, n_windows)
            From window (row) to window (column), mean over heads; with
            ``pool="token"`` the learned window is the last.
        centres_s : Tensor, shape (n_windows,), float64
            Middle of each window, seconds from the scan's first sample.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        starts = self._starts(x.shape[2], x.device)
        with evaluating(self):
            x = self._filled(x, channel_mask, time_mask, None)
            codes, valid = self._windows(x, time_mask, starts)
            weights = self.encoder.time_weights(codes, valid)
        centre = (starts.double() + (self.config.window_times - 1) / 2) / self.config.sfreq
        return weights, centre

    # -- fine-tuning ----------------------------------------------------------------

    def supervised_loss(
        self, batch: Batch | Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Loss of the head on a random stretch of `crop_s`, and the regulariser.

        Parameters
        ----------
        batch : Batch
            With a target; see :meth:`NetworkModel.supervised_loss`.
        generator : torch.Generator
            Decides where the stretch begins.

        Returns
        -------
        dict of str to Tensor
            "loss"; "accuracy" for classes; and, where the encoder learns,
            "orthogonality" before its weight.

        Raises
        ------
        ConfigError
            If the model has no head or the batch no target.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        x = self._filled(x, channel_mask, time_mask, None)
        starts = self._crop(x.shape[2], generator, x.device)
        if not self.encoder.training:
            codes, valid = self._windows(x, time_mask, starts)
            return self.prediction_loss(self.predict(self.encoder.scans(codes, valid)), batch)
        valid = self._valid_windows(time_mask, starts)
        found = self._graph_codes(x, time_mask, starts, valid, self._states(x, starts))
        prediction = self.predict(self.encoder.scans(found.windows, valid))
        out = self.prediction_loss(prediction, batch)
        distance = orthogonality(found.nodes)
        loss = out["loss"] + self.config.orthogonality * distance
        return {**out, "loss": loss, "orthogonality": distance.detach()}

    def _crop(self, n_times: int, generator: torch.Generator, device: torch.device) -> Tensor:
        """Starts of the windows of a random stretch, the same for all scans of the batch."""
        length = min(self.config.crop_times if self.config.crop_s else n_times, n_times)
        if not self.training or length == n_times:
            return self._starts(n_times, device)
        first = torch.randint(n_times - length + 1, (), generator=generator)
        return self._starts(length, device, int(first))

    # -- masked pretraining ------------------------------------------------------------

    def reconstruct_graphs(self, batch: Batch | Tensor, generator: torch.Generator) -> HiddenGraphs:
        """Hide parts of windows, and whole windows, and fill them in.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Scans.
        generator : torch.Generator
            Decides which windows, and what is hidden.

        Returns
        -------
        HiddenGraphs
            Predictions and truths.
        """
        x, channel_mask, _, time_mask = self.inputs(batch)
        x = self._filled(x, channel_mask, time_mask, None)
        self._starts(x.shape[2], x.device)  # refuses scans shorter than a window
        there = torch.ones_like(x[:, 0], dtype=torch.bool) if time_mask is None else time_mask
        slow = self._slow_codes if self.config.target == "embedding" else None
        return rebuild(self.encoder, self.decoder, self.config, x, there, generator, slow)

    def blind_spots(self, batch: Batch | Tensor, generator: torch.Generator) -> list[BlindSpot]:
        """Reconstructions, and the samples each was made without; for the leak audit.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Scans.
        generator : torch.Generator
            Decides what is hidden.

        Returns
        -------
        list of BlindSpot
            Hidden nodes of the outer windows, and the middle window, of each draw.
        """
        made = self.reconstruct_graphs(batch, generator)
        x = batch if isinstance(batch, Tensor) else batch.x
        spots = []
        for draw in range(self.config.n_draws):
            for k, place in enumerate(("before", "after")):
                nodes = made.space.hidden_nodes[:, draw, k]
                hidden = self._samples(made.space.starts[:, draw, k], x) & nodes[..., None]
                prediction = made.space.nodes[:, draw, k][nodes]
                spots.append(BlindSpot(f"nodes of the window {place}", prediction, hidden))
            parts = [made.time.nodes[:, draw].flatten(), made.time.edges[:, draw].flatten()]
            hidden = self._samples(made.time.starts[:, draw], x)
            # a scan without room for three windows has no middle one
            hidden = hidden & made.time.valid[:, draw, None, None]
            spots.append(BlindSpot("the window between", torch.cat(parts), hidden))
        return spots

    def _samples(self, starts: Tensor, x: Tensor) -> Tensor:
        """True in the window of each scan, (batch, n_chans, n_times)."""
        time = torch.arange(x.shape[2], device=x.device) - starts[:, None]
        return ((time >= 0) & (time < self.config.window_times))[:, None].expand_as(x)

    def loss(self, batch: Batch | Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Errors of hidden nodes and edges, in space and in time.

        Parameters
        ----------
        batch : Batch, or Tensor of shape (batch, n_chans, n_times)
            Scans.
        generator : torch.Generator
            Decides which windows, and what is hidden.

        Returns
        -------
        dict of str to Tensor
            "loss"; its parts "nodes", "edges", "nodes_in_time" and
            "edges_in_time"; and the share of hidden pairs told right, edges
            and others weighing the same, "hits" and "hits_in_time".
        """
        made = self.reconstruct_graphs(batch, generator)
        kind = "cosine" if self.config.target == "embedding" else self.config.node_loss
        space, time = losses(made.space, kind), losses(made.time, kind)
        total = space["nodes"] + space["edges"]
        total = total + self.config.temporal_weight * (time["nodes"] + time["edges"])
        figures = {**space, **{f"{k}_in_time": v for k, v in time.items()}}
        return {"loss": total, **{k: v.detach() for k, v in figures.items()}}

    @torch.no_grad()
    def _slow_codes(self, features: Tensor, edges: Tensor, nodes: Tensor) -> Tensor:
        """Codes that the slow copy gives the nodes of whole graphs."""
        weights = {k.replace("/", "."): v for k, v in self.slow_encoder.named_buffers()}
        with evaluating(self.encoder):
            codes: Tensor = torch.func.functional_call(
                _LastNodes(self.encoder),
                {f"encoder.{k}": v for k, v in weights.items()},
                (features, edges, nodes),
            )
        return codes.float()

    @torch.no_grad()
    def on_step(self, step: int, total: int) -> None:
        """Let the slow copy of the encoder follow; ``train.fit`` calls it before each step.

        Parameters
        ----------
        step, total : int
            Not used.
        """
        fast = self.encoder.state_dict()
        for name, slow in self.slow_encoder.named_buffers():
            value = fast[name.replace("/", ".")]
            if slow.is_floating_point():
                slow.lerp_(value, 1 - self.config.ema_decay)
            else:
                slow.copy_(value)


class _LastNodes(nn.Module):
    """The encoder as a function from graphs to the nodes of its last layer."""

    def __init__(self, encoder: GraphEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: Tensor, edges: Tensor, nodes: Tensor) -> Tensor:
        return self.encoder.graphs(features, edges, nodes).nodes[-1]
