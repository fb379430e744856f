"""Compiled kernel of windowed correlations: a fixed cost for each pair and step.

A taper that is a constant plus one cosine over exactly the window's length (boxcar,
Hann, Hamming) gives, with the products p(t) = x_i(t) x_j(t),

    sum_n w(n) p(s + n) = a0 S(s) + a1 (cos(2 pi s / W) C(s) + sin(2 pi s / W) D(s))

where S, C and D are running sums of p, p cos(2 pi t / W) and p sin(2 pi t / W): the
sample that leaves the window carries the same cosine as the one that enters, so a
step costs two products a pair whatever the window's length.
"""

from neuro.stats._compiled import compiled

__all__ = ["run_rows"]

_FAST = {"contract", "reassoc", "nsz"}  # NaN must stay NaN


@compiled(nogil=True, fastmath=_FAST)
def _exchange(enter, enters, leave, leaves, p):  # type: ignore[no-untyped-def]
    for j in range(p.size):
        p[j] = enter * enters[j] - leave * leaves[j]


@compiled(nogil=True, fastmath=_FAST)
def _add(p, c, s, plain, cosine, sine):  # type: ignore[no-untyped-def]
    for j in range(p.size):
        plain[j] += p[j]
        cosine[j] += c * p[j]
        sine[j] += s * p[j]


@compiled(nogil=True, fastmath=_FAST)
def _emit(  # type: ignore[no-untyped-def]
    plain, cosine, sine, mean, inv, a0, c, s, my_mean, my_inv, out
):
    for j in range(out.size):
        moment = a0 * plain[j] + c * cosine[j] + s * sine[j] - my_mean * mean[j]
        out[j] = moment * (my_inv * inv[j])


@compiled(nogil=True)
def run_rows(  # type: ignore[no-untyped-def]
    x, mean, inv, cos, sin, a0, a1, step, refresh, first, last, sums, out
):
    """Rows ``first`` to ``last`` of the upper triangle of every window.

    ``x`` (n_times, n_chans) is one segment; ``mean`` and ``inv`` (n_windows,
    n_chans) weighted means and 1 / sd; ``cos``, ``sin`` (width,); ``sums``
    (3, last - first, n_chans) scratch; ``out`` (n_windows, n_pairs). Sums start
    afresh every ``refresh`` windows, so that rounding does not build up.
    """
    n = x.shape[1]
    width = cos.size
    products = sums[0, 0].copy()
    zero = x[0, 0] * 0
    for k in range(mean.shape[0]):
        start = k * step
        anew = k % refresh == 0
        if anew:
            sums[:] = 0
        for t in range(start if anew else start - step, start + width if anew else start):
            for r in range(last - first):
                i = first + r
                p = products[i + 1 :]
                if anew:
                    _exchange(x[t, i], x[t, i + 1 :], zero, x[t, i + 1 :], p)
                else:
                    u = t + width
                    _exchange(x[u, i], x[u, i + 1 :], x[t, i], x[t, i + 1 :], p)
                m = t % width
                _add(p, cos[m], sin[m], sums[0, r, i + 1 :], sums[1, r, i + 1 :],
                     sums[2, r, i + 1 :])  # fmt: skip
        c, s = a1 * cos[start % width], a1 * sin[start % width]
        for r in range(last - first):
            i = first + r
            at = i * n - i * (i + 1) // 2
            _emit(
                sums[0, r, i + 1 :],
                sums[1, r, i + 1 :],
                sums[2, r, i + 1 :],
                mean[k, i + 1 :],
                inv[k, i + 1 :],
                a0,
                c,
                s,
                mean[k, i],
                inv[k, i],
                out[k, at : at + n - i - 1],
            )
