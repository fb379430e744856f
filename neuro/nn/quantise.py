"""Vector quantisation: the nearest of K learned codes instead of a vector.

van den Oord et al., "Neural Discrete Representation Learning", arXiv 1711.00937:
loss of equation 3, codebook by exponential moving averages as in its appendix.
Start from data, revival of unused codes and the masks are ours.
"""

from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional as F

from neuro.errors import ConfigError, DataError, did_you_mean

__all__ = ["CodebookStart", "Quantised", "VectorQuantiser", "perplexity", "usage"]

Update: TypeAlias = Literal["ema", "gradient"]
GradientRule: TypeAlias = Literal["commit", "reference"]
CodebookStart: TypeAlias = Literal["uniform", "sample", "kmeans"]

# Distances held at a time: 16 MB, near what stays in a CPU's cache.
_DISTANCES = 2**22
_KMEANS_ROUNDS = 10
# Copies of a vector are set apart by this share of the data's deviation:
# identical codes could never part again.
_JITTER = 0.01


class Quantised(NamedTuple):
    """Vectors and their codes.

    Attributes
    ----------
    ids : Tensor, shape (...), int64
        Nearest code; -1 where not valid.
    codes : Tensor, shape (..., d_code)
        The codes themselves, as they were before this call's update; 0 where
        not valid. Without gradient.
    passed : Tensor, shape (..., d_code)
        Same values; the gradient goes to `z` unchanged (straight-through).
        What a decoder reads.
    loss : Tensor, shape ()
        What the training loss adds.
    commitment : Tensor, shape ()
        Mean squared difference between vectors and codes, without gradient.
    distance : Tensor, shape (...)
        Squared Euclidean distance of each vector to its code, without gradient.
    """

    ids: Tensor
    codes: Tensor
    passed: Tensor
    loss: Tensor
    commitment: Tensor
    distance: Tensor


class VectorQuantiser(nn.Module):
    """Codebook with nearest-neighbour look-up and straight-through gradient.

    Parameters
    ----------
    n_codes, d_code : int
        Size and width of the codebook.
    update : {"ema", "gradient"}
        How codes learn: as running means of the vectors they stand for
        (buffers, no gradient), or by the gradient of the codebook term (a
        parameter).
    decay : float
        Of the running means.
    eps : float
        Added to the running counts, so that unused codes divide by no zero.
    beta : float
        Weight of the commitment term.
    gradient : {"commit", "reference"}
        "commit": loss = ``mean (sg[z] - e)^2`` (with "gradient" only) ``+ beta
        mean (z - sg[e])^2``. "reference": as code derived from one widespread
        implementation has it, where the first term is taken from the
        straight-through tensor: its gradient is minus the commitment's, so
        that at ``beta=1`` nothing pulls the encoder and the codes get nothing.
    init : {"uniform", "sample", "kmeans"}
        Codes at the start: uniform within plus or minus 1 / `n_codes`, vectors
        of the first training batch, or the centres of a short k-means on it.
    revive_after : int
        A code that no vector chose in this many training calls in a row is
        replaced by a random vector of the batch; 0 never.

    Raises
    ------
    ConfigError
        If a choice is unknown, a number out of range, or "reference" meets a
        codebook that learns by gradient, which it would never get.

    Notes
    -----
    With "ema" and "uniform" the running counts start at 0 and the sums at the
    codes, so that unused codes are divided by almost 0 in the first update and
    thrown far out, to come back after hundreds of updates; the other two ways
    to start count every code as one vector.

    Under ``torch.distributed`` counts and sums are those of all processes, and
    new codes are the first process's. Sharded parameters (FSDP) need "ema":
    a revived row of a sharded parameter would be lost.

    Weights from elsewhere: set the state ``codes`` (and ``counts``, ``sums``
    for "ema"), and ``ready`` to True.

    Examples
    --------
    >>> import torch
    >>> vq = VectorQuantiser(4, 2, init="sample")
    >>> z = torch.tensor([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [9.0, 0.0]])
    >>> out = vq(z, generator=torch.Generator().manual_seed(0))
    >>> torch.equal(out.codes, z), out.loss.item()
    (True, 0.0)
    >>> vq.eval().nearest(torch.tensor([[5.1, 4.8]])).item() == out.ids[2].item()
    True
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor
    idle: Tensor
    ready: Tensor

    def __init__(
        self,
        n_codes: int,
        d_code: int,
        *,
        update: Update = "ema",
        decay: float = 0.99,
        eps: float = 1e-5,
        beta: float = 1.0,
        gradient: GradientRule = "commit",
        init: CodebookStart = "sample",
        revive_after: int = 0,
    ) -> None:
        super().__init__()
        _check_choices(update=update, gradient=gradient, init=init)
        _check_numbers(n_codes, d_code, decay, eps, beta, revive_after)
        if gradient == "reference" and update == "gradient":
            raise ConfigError(
                "gradient='reference' gives the codes no gradient; use it with update='ema'."
            )
        self.update = update
        self.decay = decay
        self.eps = eps
        self.beta = beta
        self.gradient = gradient
        self.init = init
        self.revive_after = revive_after
        start = (2 * torch.rand(n_codes, d_code) - 1) / n_codes
        if update == "gradient":
            self.codes = nn.Parameter(start)
        else:
            self.register_buffer("codes", start)
            self.register_buffer("counts", torch.zeros(n_codes))
            self.register_buffer("sums", start.clone())
        self.register_buffer("idle", torch.zeros(n_codes, dtype=torch.int64))
        self.register_buffer("ready", torch.tensor(init == "uniform"))

    @property
    def n_codes(self) -> int:
        """Codes in the book."""
        return self.codes.shape[0]

    @property
    def codebook(self) -> Tensor:
        """All codes, shape (n_codes, d_code), without gradient."""
        return self.codes.detach()

    def nearest(self, z: Tensor) -> Tensor:
        """Number of the code closest to each vector.

        Parameters
        ----------
        z : Tensor, shape (..., d_code)
            Vectors.

        Returns
        -------
        Tensor, shape (...), int64
            From 0 to ``n_codes - 1``.

        Raises
        ------
        DataError
            If a vector holds NaN or infinity, or has another width.
        """
        _check_vectors(z, self.codes.shape[1])
        rows = z.detach().reshape(-1, z.shape[-1])
        return _nearest(rows, self.codes.detach()).reshape(z.shape[:-1])

    def lookup(self, ids: Tensor) -> Tensor:
        """Codes by number.

        Parameters
        ----------
        ids : Tensor, shape (...), int64
            From 0 to ``n_codes - 1``.

        Returns
        -------
        Tensor, shape (..., d_code)
            With a gradient to the codebook where that learns by gradient.
        """
        return F.embedding(ids, self.codes)

    def forward(
        self, z: Tensor, valid: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Quantised:
        """Quantise; in training mode also start, update and revive codes.

        Eval mode changes nothing.

        Parameters
        ----------
        z : Tensor, shape (..., d_code)
            Vectors.
        valid : Tensor, shape (...), bool, optional
            False where a vector is padding: it gets the number -1 and has no
            part in losses, updates and new codes. It may hold NaN.
        generator : torch.Generator, optional
            Decides which vectors become codes.

        Returns
        -------
        Quantised
            Codes and losses, by the codes as they were before the update.

        Raises
        ------
        DataError
            If a valid vector holds NaN or infinity.
        """
        z = z.to(self.codes.dtype)
        if valid is not None:
            # where, not a product: what is masked may be NaN
            z = torch.where(valid[..., None], z, torch.zeros_like(z))
        _check_vectors(z, self.codes.shape[1])
        if self.training and not bool(self.ready):
            self.start(z, valid, generator)
        ids = self.nearest(z)
        found = self.lookup(ids)
        if valid is not None:
            found = torch.where(valid[..., None], found, torch.zeros_like(found))
        # a difference of equal numbers is 0: the value is the code to the last bit
        passed = found.detach() + (z - z.detach())
        loss, commitment = self._losses(z, found, passed, valid)
        distance = (z - found).detach().square().sum(dim=-1)
        if self.training:
            self._learn(z, ids, valid, generator)
        if valid is not None:
            ids = ids.masked_fill(~valid, -1)
        return Quantised(ids, found.detach(), passed, loss, commitment, distance)

    def _losses(
        self, z: Tensor, found: Tensor, passed: Tensor, valid: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        n = z.numel() if valid is None else valid.sum().clamp(min=1) * z.shape[-1]
        commitment = (z - found.detach()).square().sum() / n
        loss = self.beta * commitment
        if self.gradient == "reference":
            loss = loss + (passed - z.detach()).square().sum() / n
        elif self.update == "gradient":
            loss = loss + (found - z.detach()).square().sum() / n
        return loss, commitment.detach()

    # -- what changes the codes -------------------------------------------------

    @torch.no_grad()
    def start(
        self, z: Tensor, valid: Tensor | None = None, generator: torch.Generator | None = None
    ) -> None:
        """Set the codes from data, as `init` says ("uniform" leaves them).

        The first training call does it by itself.

        Parameters
        ----------
        z : Tensor, shape (..., d_code)
            Vectors; at least as many as codes are wanted.
        valid : Tensor, shape (...), bool, optional
            False where a vector does not count.
        generator : torch.Generator, optional
            Decides which vectors are taken.

        Raises
        ------
        DataError
            If a valid vector holds NaN or infinity.
        """
        rows = _valid_rows(z, valid).to(self.codes.dtype)
        _check_vectors(rows, self.codes.shape[1])
        if self.init != "uniform" and (len(rows) or _world() > 1):
            found = _sample(rows, self.codes, self.n_codes, generator)
            if self.init == "kmeans" and len(rows):
                found = _kmeans(rows, found)
            self._replace(torch.ones_like(self.idle, dtype=torch.bool), found)
            self.ready.fill_(True)

    @torch.no_grad()
    def _learn(
        self, z: Tensor, ids: Tensor, valid: Tensor | None, generator: torch.Generator | None
    ) -> None:
        """Running means, idle times and revival after one look-up."""
        rows = _valid_rows(z, valid)
        chosen = ids.reshape(-1) if valid is None else ids[valid]
        # counts in the last column: one exchange between processes for both
        total = rows.new_zeros(self.n_codes, rows.shape[1] + 1)
        total.index_add_(0, chosen, F.pad(rows, (0, 1), value=1.0))
        if _world() > 1:
            dist.all_reduce(total)
        sums, counts = total[:, :-1], total[:, -1]
        if self.update == "ema":
            self.counts.mul_(self.decay).add_(counts, alpha=1 - self.decay)
            self.sums.mul_(self.decay).add_(sums, alpha=1 - self.decay)
            whole = self.counts.sum()
            share = (self.counts + self.eps) / (whole + self.n_codes * self.eps)
            if bool(whole > 0):  # nothing seen so far: the codes stay
                self.codes.copy_(self.sums / (share * whole)[:, None])
        self.idle.add_(1).masked_fill_(counts > 0, 0)
        dead = self.idle >= self.revive_after
        if self.revive_after and bool(dead.any()) and bool(counts.any()):
            n_dead = int(dead.sum())
            self._replace(dead, _sample(rows, self.codes, n_dead, generator))

    def _replace(self, which: Tensor, codes: Tensor) -> None:
        """New codes, each counted as one vector; the first process decides."""
        if _world() > 1:
            codes = codes.contiguous()
            dist.broadcast(codes, 0)
        self.codes[which] = codes
        if self.update == "ema":
            self.sums[which] = codes
            self.counts[which] = 1.0
        self.idle[which] = 0


def usage(ids: Tensor, n_codes: int) -> Tensor:
    """How often each code occurs.

    Count over a whole data set, not over batches, before taking `perplexity`.

    Parameters
    ----------
    ids : Tensor, any shape, int64
        Code numbers; negative ones are left out.
    n_codes : int
        Size of the vocabulary.

    Returns
    -------
    Tensor, shape (n_codes,), int64
        Counts.

    Raises
    ------
    DataError
        If a number is `n_codes` or more.

    Examples
    --------
    >>> import torch
    >>> usage(torch.tensor([[0, 2], [2, -1]]), 4).tolist()
    [1, 0, 2, 0]
    """
    flat = ids.reshape(-1)
    flat = flat[flat >= 0]
    if flat.numel() and int(flat.max()) >= n_codes:
        raise DataError(f"Code number {int(flat.max())} does not exist: there are {n_codes} codes.")
    return torch.bincount(flat, minlength=n_codes)


def perplexity(counts: Tensor) -> float:
    """Exponential of the entropy of code use: how many codes it amounts to.

    Parameters
    ----------
    counts : Tensor, shape (n_codes,)
        From `usage`.

    Returns
    -------
    float
        From 1 (one code does it all) to the number of codes (all alike); 0
        where nothing was counted.

    Examples
    --------
    >>> import torch
    >>> round(perplexity(torch.tensor([5, 5, 0])), 6), perplexity(torch.tensor([0, 7]))
    (2.0, 1.0)
    """
    total = counts.sum().double()
    if not total:
        return 0.0
    share = counts[counts > 0].double() / total
    return float((-(share * share.log()).sum()).exp())


def _nearest(rows: Tensor, codes: Tensor) -> Tensor:
    """Index of the closest code of each row; (n, n_codes, d) never exists."""
    step = max(1, _DISTANCES // len(codes))
    # in full precision also under autocast: bfloat16 would mix up neighbours
    with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
        rows = rows.to(codes.dtype)
        size = codes.square().sum(dim=1)
        # |z - e|^2 without |z|^2, which is the same for every code
        found = [
            torch.addmm(size, part, codes.T, alpha=-2).argmin(dim=1)
            for part in torch.split(rows, step)
        ]
    return torch.cat(found)


def _sample(
    rows: Tensor, codes: Tensor, n_wanted: int, generator: torch.Generator | None
) -> Tensor:
    """Random rows, each once while they last, then again slightly apart."""
    if not len(rows):  # another process of the group has them
        return codes[:n_wanted].clone()
    where = "cpu" if generator is None else generator.device
    order = torch.randperm(len(rows), generator=generator, device=where)[:n_wanted]
    taken = rows[order.to(rows.device)]
    missing = n_wanted - len(rows)
    if missing <= 0:
        return taken
    again = torch.randint(len(rows), (missing,), generator=generator, device=where)
    noise = torch.randn(missing, rows.shape[1], generator=generator, device=where)
    apart = _JITTER * rows.std(dim=0, correction=0) * noise.to(rows)
    return torch.cat([taken, rows[again.to(rows.device)] + apart])


def _kmeans(rows: Tensor, centers: Tensor) -> Tensor:
    """A few of Lloyd's rounds; a centre without members stays where it is."""
    for _ in range(_KMEANS_ROUNDS):
        total = rows.new_zeros(len(centers), rows.shape[1] + 1)
        total.index_add_(0, _nearest(rows, centers), F.pad(rows, (0, 1), value=1.0))
        mean = total[:, :-1] / total[:, -1:].clamp(min=1)
        centers = torch.where(total[:, -1:] > 0, mean, centers)
    return centers


def _valid_rows(z: Tensor, valid: Tensor | None) -> Tensor:
    """Detached vectors that count, (n, d)."""
    z = z.detach()
    return z.reshape(-1, z.shape[-1]) if valid is None else z[valid]


def _world() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _check_vectors(z: Tensor, d_code: int) -> None:
    if z.shape[-1] != d_code:
        raise DataError(f"Vectors of width {z.shape[-1]} were given to codes of width {d_code}.")
    # a compiled or exported graph cannot raise; its caller has checked the input
    if torch.compiler.is_compiling() or bool(z.isfinite().all()):
        return
    n_bad = int((~z.isfinite()).any(dim=-1).sum())
    raise DataError(
        f"{n_bad} vectors to be quantised hold NaN or infinity: mark missing data with a mask, and "
        "lower the learning rate if training diverged."
    )


def _check_choices(**given: str) -> None:
    known = {"update": Update, "gradient": GradientRule, "init": CodebookStart}
    for name, value in given.items():
        options = get_args(known[name])
        if value not in options:
            raise ConfigError(f"{name} = {value!r} is unknown. {did_you_mean(value, options)}")


def _check_numbers(
    n_codes: int, d_code: int, decay: float, eps: float, beta: float, revive_after: int
) -> None:
    rules = (
        ("n_codes", n_codes, n_codes >= 1, "at least 1"),
        ("d_code", d_code, d_code >= 1, "at least 1"),
        ("decay", decay, 0 <= decay < 1, "a share from 0 to below 1"),
        ("eps", eps, eps > 0, "a small positive number"),
        ("beta", beta, 0 <= beta < float("inf"), "0 or more"),
        ("revive_after", revive_after, revive_after >= 0, "0 (never) or a number of calls"),
    )
    for name, value, holds, rule in rules:
        if not holds:
            raise ConfigError(f"{name} = {value!r} is not possible; use {rule}.")
