"""The selective scan on a GPU, in Triton.

One program runs one block of channels of one example over all of time, its
state in registers. Arguments, results and the saved states are those of
`neuro.nn._scan_numba`, so that either side's forward pass fits the same test.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError:
    # importable all the same, for tools that visit every module; nothing runs
    triton = SimpleNamespace(jit=lambda kernel: kernel)
    tl = SimpleNamespace(constexpr=int)

__all__ = ["backward", "forward"]

# Channels of a program: few, as each holds all its states in registers.
_BLOCK = 32


@triton.jit  # type: ignore[untyped-decorator]
def _forward(  # type: ignore[no-untyped-def]
    u, delta, A, B, C, state, y, last, saved, n_times, n_channels, n_chunks,
    N: tl.constexpr, NP: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    example = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, NP)
    real_d, real_n = d < n_channels, n < N
    real = real_n[:, None] & real_d[None, :]
    at = n[:, None] * n_channels + d[None, :]
    rates = tl.load(A + at, mask=real, other=0.0)
    h = tl.load(state + example * N * n_channels + at, mask=real, other=0.0)
    for t in range(n_times):
        if t % CHUNK == 0:
            place = (example * n_chunks + t // CHUNK) * N * n_channels
            tl.store(saved + place + at, h, mask=real)
        row, narrow = (example * n_times + t) * n_channels + d, (example * n_times + t) * N + n
        step = tl.load(delta + row, mask=real_d, other=0.0)
        du = step * tl.load(u + row, mask=real_d, other=0.0)
        b = tl.load(B + narrow, mask=real_n, other=0.0)
        c = tl.load(C + narrow, mask=real_n, other=0.0)
        h = tl.exp(step[None, :] * rates) * h + du[None, :] * b[:, None]
        tl.store(y + row, tl.sum(h * c[:, None], axis=0), mask=real_d)
    tl.store(last + example * N * n_channels + at, h, mask=real)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(  # type: ignore[no-untyped-def]
    dy, dlast, u, delta, A, B, C, saved, replayed,
    grad_u, grad_delta, grad_A, grad_B, grad_C, grad_state,
    n_times, n_channels, n_chunks, n_blocks,
    N: tl.constexpr, NP: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    example, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    d = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, NP)
    real_d, real_n = d < n_channels, n < N
    real = real_n[:, None] & real_d[None, :]
    at = n[:, None] * n_channels + d[None, :]
    rates = tl.load(A + at, mask=real, other=0.0)
    g = tl.load(dlast + example * N * n_channels + at, mask=real, other=0.0)
    total = tl.zeros((NP, BLOCK), dtype=rates.dtype)
    # every program's own room for the states within a chunk
    own = (example * n_blocks + block) * CHUNK * NP * BLOCK
    inside = n[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    for k in range(n_chunks):
        first = (n_chunks - 1 - k) * CHUNK
        length = tl.minimum(n_times - first, CHUNK)
        place = (example * n_chunks + n_chunks - 1 - k) * N * n_channels
        h = tl.load(saved + place + at, mask=real, other=0.0)
        for i in range(length):
            t = first + i
            row = (example * n_times + t) * n_channels + d
            # state before step t
            tl.store(replayed + own + i * NP * BLOCK + inside, h)
            step = tl.load(delta + row, mask=real_d, other=0.0)
            du = step * tl.load(u + row, mask=real_d, other=0.0)
            b = tl.load(B + (example * n_times + t) * N + n, mask=real_n, other=0.0)
            h = tl.exp(step[None, :] * rates) * h + du[None, :] * b[:, None]
        # other threads of the program read what these wrote
        tl.debug_barrier()
        for j in range(length):
            t = first + length - 1 - j
            row, narrow = (example * n_times + t) * n_channels + d, (example * n_times + t) * N + n
            step = tl.load(delta + row, mask=real_d, other=0.0)
            value = tl.load(u + row, mask=real_d, other=0.0)
            out = tl.load(dy + row, mask=real_d, other=0.0)
            b = tl.load(B + narrow, mask=real_n, other=0.0)
            c = tl.load(C + narrow, mask=real_n, other=0.0)
            before = tl.load(replayed + own + (length - 1 - j) * NP * BLOCK + inside)
            factor = tl.exp(step[None, :] * rates)
            du = step * value
            now = factor * before + du[None, :] * b[:, None]
            g += out[None, :] * c[:, None]
            part = ((block * tl.num_programs(0) + example) * n_times + t) * N + n
            tl.store(grad_C + part, tl.sum(now * out[None, :], axis=1), mask=real_n)
            tl.store(grad_B + part, tl.sum(g * du[None, :], axis=1), mask=real_n)
            grad_du = tl.sum(g * b[:, None], axis=0)
            g = g * factor
            exponent = g * before
            grad_step = tl.sum(exponent * rates, axis=0) + grad_du * value
            total += exponent * step[None, :]
            tl.store(grad_u + row, grad_du * step, mask=real_d)
            tl.store(grad_delta + row, grad_step, mask=real_d)
        # the next chunk writes where this one has read
        tl.debug_barrier()
    tl.store(grad_A + example * N * n_channels + at, total, mask=real)
    tl.store(grad_state + example * N * n_channels + at, g, mask=real)


def forward(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Scan; see `neuro.nn._scan_numba.forward`.

    Parameters
    ----------
    u, delta : Tensor, shape (batch, n_times, n_channels)
        Input and step.
    A : Tensor, shape (n_state, n_channels)
        Rates.
    B, C : Tensor, shape (batch, n_times, n_state)
        Into the state and out of it.
    state : Tensor, shape (batch, n_state, n_channels)
        Before the first step.
    chunk : int
        Steps between two saved states.

    Returns
    -------
    tuple of Tensor
        Output, last state, saved states.
    """
    given = [t.contiguous() for t in (u, delta, A, B, C, state)]
    batch, n_times, n_channels = u.shape
    n_chunks = triton.cdiv(n_times, chunk)
    y, last = torch.empty_like(given[0]), torch.empty_like(given[5])
    saved = u.new_empty(batch, n_chunks, *A.shape)
    grid = (batch, triton.cdiv(n_channels, _BLOCK))
    sizes = _sizes(A.shape[0], chunk)
    _forward[grid](*given, y, last, saved, n_times, n_channels, n_chunks, **sizes)
    return y, last, saved


def backward(
    dy: Tensor,
    dlast: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    saved: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of sum(y * dy) + sum(last * dlast); see `neuro.nn._scan_numba.backward`.

    Returns
    -------
    tuple of Tensor
        For u, delta, A, B, C and the first state.
    """
    given = [t.contiguous() for t in (dy, dlast, u, delta, A, B, C, saved)]
    batch, n_times, n_channels = u.shape
    n_blocks, sizes = triton.cdiv(n_channels, _BLOCK), _sizes(A.shape[0], chunk)
    replayed = u.new_empty(batch * n_blocks * chunk * sizes["NP"] * _BLOCK)
    grad_u, grad_delta, grad_state = (torch.empty_like(given[i]) for i in (2, 3, 1))
    grad_A = u.new_empty(batch, *A.shape)
    # a sum for each block, added in a fixed order: the same bits every time
    grad_B, grad_C = u.new_empty(n_blocks, *B.shape), u.new_empty(n_blocks, *C.shape)
    _backward[(batch, n_blocks)](
        *given, replayed, grad_u, grad_delta, grad_A, grad_B, grad_C, grad_state,
        n_times, n_channels, saved.shape[1], n_blocks, **sizes,
    )  # fmt: skip
    summed = grad_A.double().sum(dim=0).to(u.dtype)
    return grad_u, grad_delta, summed, grad_B.sum(dim=0), grad_C.sum(dim=0), grad_state


def _sizes(n_state: int, chunk: int) -> dict[str, Any]:
    """Constants of a kernel; Triton's ranges are powers of 2."""
    return {"N": n_state, "NP": triton.next_power_of_2(n_state), "CHUNK": chunk, "BLOCK": _BLOCK}
