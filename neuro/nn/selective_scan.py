"""The selective scan: a linear recurrence whose rates depend on the input.

For every channel d and state n, with h_0 given (zeros),

    h_t = exp(delta_t A) h_{t-1} + delta_t u_t B_t,    y_t = sum over n of h_t C_t

(Gu & Dao, arXiv 2312.00752, section 3, B discretised by Euler as in their
code). Time and memory grow linearly with the length. Three ways give the same
numbers: a loop over time, chunks in plain PyTorch, and compiled code (numba on
a CPU, Triton on a GPU). None of them ever holds an array of (batch, time,
channel, state), and no exponent is ever positive: the well-known division by
exp(cumsum) overflows in float32 after some 60 steps.
"""

import math
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from neuro.errors import ConfigError, DataError, did_you_mean

__all__ = ["ScanMethod", "Scanned", "selective_scan"]

ScanMethod: TypeAlias = Literal["auto", "compiled", "chunked", "loop"]

# Elements (time x channel x state) of one example that the chunked form works
# on at a time: they fit the cache, and bound what a gradient has to remember.
_SEGMENT = 2**21
# Steps between two states that compiled code saves for the backward pass, which
# replays them: that many states should stay in a core's second-level cache.
_CHUNK = 16


class Scanned(NamedTuple):
    """Result of `selective_scan`.

    Attributes
    ----------
    y : Tensor, shape (batch, n_times, n_channels)
        Output, in the type of the input.
    state : Tensor, shape (batch, n_channels, n_state)
        After the last step; give it back to go on.
    """

    y: Tensor
    state: Tensor


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    softplus: bool = False,
    state: Tensor | None = None,
    method: ScanMethod = "auto",
) -> Scanned:
    """Run the recurrence over time.

    Parameters
    ----------
    u : Tensor, shape (batch, n_times, n_channels)
        Input. Channels are the last axis: they are what runs side by side.
    delta : Tensor, same shape
        Step; not negative, or anything with ``softplus``.
    A : Tensor, shape (n_channels, n_state)
        Rates; none positive.
    B, C : Tensor, shape (batch, n_times, n_state)
        How the input enters the state and how the state is read.
    D : Tensor, shape (n_channels,), optional
        Skip connection: ``D * u`` is added to the output.
    z : Tensor, same shape as u, optional
        Gate: the output, skip included, is multiplied by ``SiLU(z)``.
    delta_bias : Tensor, shape (n_channels,), optional
        Added to the step first.
    softplus : bool
        Step is ``softplus(delta + delta_bias)``.
    state : Tensor, shape (batch, n_channels, n_state), optional
        Before the first step; zeros if omitted.
    method : {"auto", "compiled", "chunked", "loop"}
        "compiled": numba on a CPU, Triton on a GPU; "chunked": PyTorch, any
        device, second derivatives too; "loop": one step after another, slow,
        the yardstick of the others. "auto" takes compiled code where it can
        run, otherwise chunks.

    Returns
    -------
    Scanned
        Output and last state. Computed in float64 if any argument is,
        otherwise in float32.

    Raises
    ------
    DataError
        If shapes do not fit, a rate is positive or a step negative.
    ConfigError
        If the method is unknown or cannot run on the device.

    Examples
    --------
    An impulse decays with its rate:

    >>> u = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1)
    >>> one = torch.ones(1, 3, 1)
    >>> y, state = selective_scan(u, one, torch.tensor([[-1.0]]), one, one)
    >>> [round(v, 4) for v in y.flatten().tolist()]
    [1.0, 0.3679, 0.1353]
    """
    _check_shapes(u, delta, A, B, C, D, z, delta_bias, state)
    given = [t for t in (u, delta, A, B, C, D, z, delta_bias, state) if t is not None]
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in given) else torch.float32
    x, step, rates = u.to(dtype), delta.to(dtype), A.to(dtype)
    if delta_bias is not None:
        step = step + delta_bias.to(dtype)
    if softplus:
        step = F.softplus(step)
    _check_signs(step, rates, softplus)
    if state is None:
        state = x.new_zeros(x.shape[0], x.shape[2], rates.shape[1])
    chosen = _choose(method, u)
    core = {"compiled": _compiled, "chunked": _chunked, "loop": _loop}[chosen]
    y, last = core(x, step, rates, B.to(dtype), C.to(dtype), state.to(dtype))
    if D is not None:
        y = y + D.to(dtype) * x
    if z is not None:
        y = y * F.silu(z.to(dtype))
    return Scanned(y.to(u.dtype), last)


def _check_shapes(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    state: Tensor | None,
) -> None:
    if u.ndim != 3 or A.ndim != 2:
        raise DataError(
            f"u is (batch, time, channel) and A (channel, state), not {tuple(u.shape)} and "
            f"{tuple(A.shape)}."
        )
    batch, n_times, n_channels = u.shape
    n_state = A.shape[1]
    wanted = {
        "delta": (delta, (batch, n_times, n_channels)),
        "A": (A, (n_channels, n_state)),
        "B": (B, (batch, n_times, n_state)),
        "C": (C, (batch, n_times, n_state)),
        "D": (D, (n_channels,)),
        "z": (z, (batch, n_times, n_channels)),
        "delta_bias": (delta_bias, (n_channels,)),
        "state": (state, (batch, n_channels, n_state)),
    }
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise DataError(
                f"{name} has shape {tuple(tensor.shape)}; u of shape {tuple(u.shape)} and A of "
                f"shape {tuple(A.shape)} ask for {shape}."
            )
    if not n_times or not n_channels or not n_state:
        raise DataError(f"Nothing to scan in u {tuple(u.shape)} with A {tuple(A.shape)}.")


def _check_signs(step: Tensor, rates: Tensor, softplus: bool) -> None:
    # a look at values cannot be traced, and would stall a GPU
    if torch.compiler.is_compiling() or step.device.type != "cpu":
        return
    if bool((rates > 0).any()):
        raise DataError("A has positive rates: the state would grow without end. Use -exp(…).")
    if not softplus and bool((step < 0).any()):
        raise DataError("delta has negative steps; give softplus=True if it is not yet a step.")


def _choose(method: ScanMethod, u: Tensor) -> ScanMethod:
    if method not in get_args(ScanMethod):
        known = get_args(ScanMethod)
        raise ConfigError(f"No scan is called {method!r}. {did_you_mean(str(method), known)}")
    runs = _compiled_runs(u.device.type)
    if method == "auto":
        return "compiled" if runs else "chunked"
    if method == "compiled" and not runs:
        raise ConfigError(
            f"No compiled scan for {u.device.type!r} here (GPUs need the package triton); "
            "use method='chunked'."
        )
    return method


def _compiled_runs(device: str) -> bool:
    if device == "cuda":
        from importlib.util import find_spec

        return find_spec("triton") is not None
    return device == "cpu"


# -- a loop over time ---------------------------------------------------------


def _loop(
    u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    rows = []
    # taken apart at once: the slope of a slice at each step would be as long as the sequence
    moments = zip(*(t.unbind(dim=1) for t in (step, step * u, B, C)), strict=True)
    for step_t, du_t, b_t, c_t in moments:
        h = _next_state(h, step_t, du_t, A, b_t)
        rows.append((h * c_t[..., None, :]).sum(-1))
    return torch.stack(rows, dim=1), h


def _next_state(h: Tensor, step: Tensor, du: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """One step: h (…, channel, state), step and du (…, channel), B (…, state)."""
    return torch.exp(step[..., None] * A) * h + du[..., None] * B[..., None, :]


# -- chunks -------------------------------------------------------------------


def _chunked(
    u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """Segment after segment; with gradients each is computed again when they pass."""
    du = step * u
    length = min(u.shape[1], max(64, _SEGMENT // A.numel()))
    remember = torch.is_grad_enabled() and any(t.requires_grad for t in (u, step, A, B, C, h))
    rows = []
    for first in range(0, u.shape[1], length):
        part = slice(first, first + length)
        given = (step[:, part], du[:, part], A, B[:, part], C[:, part], h)
        if remember and length < u.shape[1]:
            y, h = checkpoint(_segment, *given, use_reentrant=False)
        else:
            y, h = _segment(*given)
        rows.append(y)
    return torch.cat(rows, dim=1), h


def _segment(
    step: Tensor, du: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    """All chunks of a segment side by side: about 2 sqrt(length) steps one after another."""
    batch, length, n_channels = step.shape
    size = math.isqrt(length - 1) + 1
    n_chunks = -(-length // size)
    # steps of length 0 behind the end change no state
    behind = (0, 0, 0, n_chunks * size - length)
    step, du, B, C = (
        F.pad(t, behind).reshape(batch, n_chunks, size, t.shape[2]) for t in (step, du, B, C)
    )
    # what each chunk adds to a state of zeros
    added = torch.zeros(batch, n_chunks, *A.shape, dtype=step.dtype, device=step.device)
    for i in range(size):
        added = _next_state(added, step[:, :, i], du[:, :, i], A, B[:, :, i])
    # where each chunk really begins
    kept = torch.exp(step.sum(dim=2)[..., None] * A)
    begins = []
    for k in range(n_chunks):
        begins.append(h)
        h = kept[:, k] * h + added[:, k]
    states, rows = torch.stack(begins, dim=1), []
    for i in range(size):
        states = _next_state(states, step[:, :, i], du[:, :, i], A, B[:, :, i])
        rows.append((states @ C[:, :, i, :, None]).squeeze(-1))
    y = torch.stack(rows, dim=2).reshape(batch, n_chunks * size, n_channels)
    return y[:, :length], h


# -- compiled code, opaque to torch.compile and torch.export --------------------


def _compiled(
    u: Tensor, step: Tensor, A: Tensor, B: Tensor, C: Tensor, h: Tensor
) -> tuple[Tensor, Tensor]:
    # inside, state and rates have the channels last, as all the rest
    y, last, _ = _scan(u, step, A.t(), B, C, h.transpose(1, 2))
    return y, last.transpose(1, 2)


@torch.library.custom_op("neuro::selective_scan", mutates_args=(), device_types="cpu")
def _scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Output, last state, and the states before every `_CHUNK`-th step."""
    from neuro.nn._scan_numba import forward

    arrays = [t.detach().contiguous().numpy() for t in (u, delta, A, B, C, state)]
    found = forward(*arrays, chunk=_CHUNK, n_threads=torch.get_num_threads())
    y, last, saved = map(torch.from_numpy, found)
    return y, last, saved


@torch.library.custom_op("neuro::selective_scan_backward", mutates_args=(), device_types="cpu")
def _scan_backward(
    dy: Tensor,
    dlast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    saved: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients for the six arguments of `_scan`."""
    from neuro.nn._scan_numba import backward

    given = (dy, dlast, u, delta, A, B, C, saved)
    arrays = [t.detach().contiguous().numpy() for t in given]
    found = backward(*arrays, chunk=_CHUNK, n_threads=torch.get_num_threads())
    a, b, c, d, e, f = map(torch.from_numpy, found)
    return a, b, c, d, e, f


def _scan_on_gpu(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from neuro.nn._scan_triton import forward

    return forward(u, delta, A, B, C, state, _CHUNK)


def _scan_backward_on_gpu(
    dy: Tensor,
    dlast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    saved: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    from neuro.nn._scan_triton import backward

    return backward(dy, dlast, u, delta, A, B, C, saved, _CHUNK)


def _shapes(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    batch, n_times, _ = u.shape
    saved = u.new_empty(batch, (n_times + _CHUNK - 1) // _CHUNK, *A.shape)
    return u.new_empty(u.shape), state.new_empty(state.shape), saved


def _shapes_backward(
    dy: Tensor,
    dlast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    saved: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    a, b, c, d, e, f = (t.new_empty(t.shape) for t in (u, delta, A, B, C, dlast))
    return a, b, c, d, e, f


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:5], output[2])


def _gradients(
    ctx: Any, dy: Tensor | None, dlast: Tensor | None, _: Tensor | None
) -> tuple[Tensor | None, ...]:
    u, delta, A, B, C, saved = ctx.saved_tensors
    if dy is None:
        dy = torch.zeros_like(u)
    if dlast is None:
        dlast = torch.zeros_like(saved[:, 0])
    found: tuple[Tensor, ...] = _scan_backward(dy, dlast, u, delta, A, B, C, saved)
    return found


_scan.register_kernel("cuda", _scan_on_gpu)
_scan_backward.register_kernel("cuda", _scan_backward_on_gpu)
_scan.register_fake(_shapes)
_scan_backward.register_fake(_shapes_backward)
_scan.register_autograd(_gradients, setup_context=_remember)
