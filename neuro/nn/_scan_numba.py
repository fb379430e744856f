"""The selective scan on a CPU: compiled by numba, its backward pass written by hand.

Channels are contiguous in memory and every inner loop runs over a block of
them, because that is the loop LLVM turns into vector instructions: with time
or the state inside it, the same recurrence is several times as slow. Loops are
kept short in operands for the same reason: LLVM gives up where more than a few
arrays might overlap.

Kernels are serial and hold no lock; blocks of channels are spread over a pool
of threads that lives as long as one call. (A pool that outlives the call, and
numba's own parallel kernels, kill processes that are forked later.)
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import overload

__all__ = ["backward", "exp2", "forward"]

Array: TypeAlias = npt.NDArray[Any]

# Channels side by side, and a whole number of vectors. Wide blocks are faster,
# but a few blocks are needed where there are threads to feed.
_WIDE, _NARROW, _VECTOR = 256, 128, 16
# Below this many state updates starting threads costs more than they bring.
_SMALL = 2_000_000
_LOG2_E = 1 / math.log(2)


def exp2(z: Any) -> Any:
    """2 to the power of z <= 0; runs under numba only.

    In float32 to a relative 8e-8 for z >= -126, and 2^-126 below that. LLVM
    does not vectorise calls of the C library, so it is made of arithmetic.
    """
    raise RuntimeError("exp2 is for compiled code.")


@overload(exp2, jit_options={"fastmath": {"contract"}})  # type: ignore[untyped-decorator]
def _exp2(z: Any) -> Callable[..., Any]:
    if z != types.float32:

        def exact(z: Any) -> Any:
            return np.exp2(z)

        return exact
    # Adding 1.5 * 2^23 leaves the rounded z in the low bits; a Taylor series of
    # 2^f, |f| <= 1/2, economised to degree 6; then the exponent is put in place.
    magic = np.float32(12582912.0)
    c1, c2, c3 = np.float32(6.9314718e-1), np.float32(2.4022647e-1), np.float32(5.5503324e-2)
    c4, c5, c6 = np.float32(9.6184373e-3), np.float32(1.3398874e-3), np.float32(1.5353362e-4)
    lowest, one, bits = np.float32(-126.0), np.float32(1.0), np.int32(23)

    def fast(z: Any) -> Any:
        z = max(z, lowest)
        shifted = z + magic
        f = z - (shifted - magic)
        p = ((((c6 * f + c5) * f + c4) * f + c3) * f + c2) * f + c1
        p = p * f + one
        exponent = np.int32(np.float32(shifted).view(np.int32) << bits)
        return np.int32(exponent + np.float32(p).view(np.int32)).view(np.float32)

    return fast


_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": True}
_compiled = njit(fastmath={"contract"}, **_OPTIONS)


@_compiled  # type: ignore[untyped-decorator]
def _advance(h: Array, y: Array, a: Array, step: Array, du: Array, b: float, c: float) -> None:
    for w in range(step.size):
        new = exp2(step[w] * a[w]) * h[w] + du[w] * b
        h[w] = new
        y[w] += new * c


@_compiled  # type: ignore[untyped-decorator]
def _replay(
    before: Array, after: Array, factor: Array, a: Array, step: Array, du: Array, b: float
) -> None:
    for w in range(step.size):
        factor[w] = exp2(step[w] * a[w])
        after[w] = factor[w] * before[w] + du[w] * b


@njit(fastmath={"contract", "reassoc"}, **_OPTIONS)  # type: ignore[untyped-decorator]
def _reach(
    g: Array, grad_du: Array, dy: Array, du: Array, h: Array, b: float, c: float
) -> tuple[float, float]:
    """Gradient of the state at one moment, and what it gives to B and C."""
    grad_b = g[0] * 0
    grad_c = g[0] * 0
    for w in range(dy.size):
        now = g[w] + dy[w] * c
        g[w] = now
        grad_b += now * du[w]
        grad_c += dy[w] * h[w]
        grad_du[w] += now * b
    return grad_b, grad_c


@_compiled  # type: ignore[untyped-decorator]
def _step_back(g: Array, factor: Array, before: Array) -> None:
    """Gradient of the state one moment earlier; `factor` becomes that of the exponent."""
    for w in range(g.size):
        earlier = g[w] * factor[w]
        g[w] = earlier
        factor[w] = earlier * before[w]


@_compiled  # type: ignore[untyped-decorator]
def _collect(grad_step: Array, grad_a: Array, exponent: Array, a: Array, step: Array) -> None:
    for w in range(step.size):
        grad_step[w] += exponent[w] * a[w]
        grad_a[w] += exponent[w] * step[w]


@_compiled  # type: ignore[untyped-decorator]
def _forward(
    u: Array,
    delta: Array,
    a2: Array,
    B: Array,
    C: Array,
    state: Array,
    y: Array,
    saved: Array,
    chunk: int,
    example: int,
    start: int,
    stop: int,
) -> None:
    """Channels start to stop of one example; `state` is the first, then the last."""
    n_state, width = len(a2), stop - start
    rates = a2[:, start:stop].copy()
    h = state[example, :, start:stop].copy()
    du = np.empty(width, u.dtype)
    for t in range(u.shape[1]):
        if t % chunk == 0:
            saved[example, t // chunk, :, start:stop] = h
        value, step = u[example, t, start:stop], delta[example, t, start:stop]
        out = y[example, t, start:stop]
        for w in range(width):
            du[w] = step[w] * value[w]
            out[w] = 0
        for n in range(n_state):
            _advance(h[n], out, rates[n], step, du, B[example, t, n], C[example, t, n])
    state[example, :, start:stop] = h


@_compiled  # type: ignore[untyped-decorator]
def _backward(
    dy: Array,
    dstate: Array,
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    saved: Array,
    grad_u: Array,
    grad_delta: Array,
    grad_A: Array,
    grad_B: Array,
    grad_C: Array,
    chunk: int,
    example: int,
    start: int,
    stop: int,
) -> None:
    """Gradients of one block; `dstate` is that of the last state, then of the first.

    `grad_A` is float64 with one array an example, `grad_B` and `grad_C` are
    those of this block alone.
    """
    n_state, width = len(A), stop - start
    rates = A[:, start:stop].copy()
    rates2 = np.empty_like(rates)
    for n in range(n_state):
        for w in range(width):
            rates2[n, w] = rates[n, w] * _LOG2_E
    g = dstate[example, :, start:stop].copy()
    states = np.empty((chunk + 1, n_state, width), u.dtype)
    factors = np.empty((chunk, n_state, width), u.dtype)
    dus = np.empty((chunk, width), u.dtype)
    part_a = np.empty((n_state, width), u.dtype)
    grad_du = np.empty(width, u.dtype)
    grad_step = np.empty(width, u.dtype)
    for k in range(saved.shape[1] - 1, -1, -1):
        first = k * chunk
        length = min(chunk, u.shape[1] - first)
        states[0] = saved[example, k, :, start:stop]
        for i in range(length):
            t = first + i
            value, step, du = u[example, t, start:stop], delta[example, t, start:stop], dus[i]
            for w in range(width):
                du[w] = step[w] * value[w]
            for n in range(n_state):
                b = B[example, t, n]
                _replay(states[i, n], states[i + 1, n], factors[i, n], rates2[n], step, du, b)
        part_a[:] = 0
        for i in range(length - 1, -1, -1):
            t = first + i
            value, step, du = u[example, t, start:stop], delta[example, t, start:stop], dus[i]
            out = dy[example, t, start:stop]
            grad_du[:] = 0
            grad_step[:] = 0
            for n in range(n_state):
                b, c = B[example, t, n], C[example, t, n]
                to_b, to_c = _reach(g[n], grad_du, out, du, states[i + 1, n], b, c)
                grad_B[example, t, n] = to_b
                grad_C[example, t, n] = to_c
                _step_back(g[n], factors[i, n], states[i, n])
                _collect(grad_step, part_a[n], factors[i, n], rates[n], step)
            for w in range(width):
                grad_u[example, t, start + w] = grad_du[w] * step[w]
                grad_delta[example, t, start + w] = grad_step[w] + grad_du[w] * value[w]
        # a few terms in the working precision, the long sum in float64
        grad_A[example, :, start:stop] += part_a
    dstate[example, :, start:stop] = g


def forward(
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    state: Array,
    *,
    chunk: int,
    n_threads: int,
) -> tuple[Array, Array, Array]:
    """Scan; all arrays C-contiguous and of one type, float32 or float64.

    Parameters
    ----------
    u, delta : array, shape (batch, n_times, n_channels)
        Input and step.
    A : array, shape (n_state, n_channels)
        Rates, none positive.
    B, C : array, shape (batch, n_times, n_state)
        Into the state and out of it.
    state : array, shape (batch, n_state, n_channels)
        Before the first step.
    chunk : int
        Steps between two saved states.
    n_threads : int
        At most so many at a time.

    Returns
    -------
    y : array, shape (batch, n_times, n_channels)
        Output.
    last : array, shape (batch, n_state, n_channels)
        State after the last step.
    saved : array, shape (batch, n_chunks, n_state, n_channels)
        State before steps 0, chunk, 2 chunk, …
    """
    batch, n_times, n_channels = u.shape
    a2 = (A * _LOG2_E).astype(u.dtype, copy=False)
    y, last = np.empty_like(u), state.copy()
    saved = np.empty((batch, -(-n_times // chunk), *A.shape), u.dtype)

    def work(example: int, _: int, start: int, stop: int) -> None:
        _forward(u, delta, a2, B, C, last, y, saved, chunk, example, start, stop)

    _spread(work, _tasks(batch, n_channels), n_threads, u.size * len(A))
    return y, last, saved


def backward(
    dy: Array,
    dlast: Array,
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    saved: Array,
    *,
    chunk: int,
    n_threads: int,
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Gradients of sum(y * dy) + sum(last * dlast); arrays as in `forward`.

    Returns
    -------
    tuple of array
        For u, delta, A, B, C and the first state, each in its shape.
    """
    batch, _, n_channels = u.shape
    grad_u, grad_delta, dstate = np.empty_like(u), np.empty_like(u), dlast.copy()
    grad_A = np.zeros((batch, *A.shape))
    tasks = _tasks(batch, n_channels)
    # All channels share B and C: each block has its own sums, added in a fixed
    # order, so that the number of threads changes no bit.
    blocks = len(tasks) // batch
    grad_B, grad_C = np.empty((blocks, *B.shape), u.dtype), np.empty((blocks, *C.shape), u.dtype)

    def work(example: int, block: int, start: int, stop: int) -> None:
        _backward(
            dy, dstate, u, delta, A, B, C, saved, grad_u, grad_delta, grad_A, grad_B[block],
            grad_C[block], chunk, example, start, stop,
        )  # fmt: skip

    _spread(work, tasks, n_threads, u.size * len(A))
    summed = grad_A.sum(axis=0).astype(u.dtype, copy=False)
    return grad_u, grad_delta, summed, grad_B.sum(axis=0), grad_C.sum(axis=0), dstate


def _tasks(batch: int, n_channels: int) -> list[tuple[int, int, int, int]]:
    """Pieces of work (example, block, start, stop), whatever the number of threads."""
    widest = _WIDE if batch * n_channels >= 4 * _WIDE else _NARROW
    width = -(-n_channels // -(-n_channels // widest))
    width = -(-width // _VECTOR) * _VECTOR
    blocks = [(s, min(s + width, n_channels)) for s in range(0, n_channels, width)]
    return [(i, k, *block) for i in range(batch) for k, block in enumerate(blocks)]


def _spread(
    work: Callable[[int, int, int, int], None],
    tasks: list[tuple[int, int, int, int]],
    n_threads: int,
    size: int,
) -> None:
    if n_threads < 2 or len(tasks) < 2 or size < _SMALL:
        for task in tasks:
            work(*task)
        return
    with ThreadPoolExecutor(min(n_threads, len(tasks))) as pool:
        # a list, so that an exception in a thread is raised here
        list(pool.map(lambda task: work(*task), tasks))
