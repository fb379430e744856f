"""One 16 s window of 26 channels through neurobolt, beside the original's layout.

    python benchmarks/neurobolt.py [--threads 1] [--repeats 9] [--small]

The published size with random weights. The plain version has the layout of the
original, written as one would from the paper: attention with its matrix of
tokens by tokens in memory, queries, keys and values of the linear attention one
by one, the spectral branch channel by channel and level by level; its answer is
compared. Multiply-adds are counted from the shapes, and the rate of a large
float32 product on the same threads says how much of it is reached. Then the
batch, bfloat16 under autocast with its error, a training step with its memory,
and more or fewer channels. On a GPU, where there is one: windows a second and
the share of the peak of its own large bfloat16 product.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import neuro.models


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Median over repeats, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def in_turn(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Medians of several runs that take turns, so that all see the same machine."""
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(repeats):
        for run, own in zip(runs, times, strict=True):
            began = time.perf_counter()
            run()
            own.append(time.perf_counter() - began)
    return [statistics.median(own) for own in times]


def build(n_chans: int, size: dict[str, Any]) -> Any:
    names = {} if n_chans == 26 else {"n_chans": n_chans, "unknown": "own"}
    return neuro.models.create("neurobolt", "paper", **names, **size).eval()


def signal(batch: int, n_chans: int, n_times: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, n_chans, n_times, generator=generator).cumsum(-1)
    return 3 * (x - x.mean(-1, keepdim=True))


# -- the same network in the original's layout ----------------------------------------


class Plain:
    """From the model's own weights, loop by loop."""

    def __init__(self, model: Any) -> None:
        self.model, self.a, self.b = model, model.encoder, model.spectral

    def temporal(self, x: Tensor) -> Tensor:
        batch, n_chans, _ = x.shape
        a, p = self.a, self.a.patches
        h = x.reshape(batch, 1, -1, 200)
        for conv, norm in ((p.conv1, p.norm1), (p.conv2, p.norm2), (p.conv3, p.norm3)):
            h = F.gelu(norm(conv(h)))
        h = h.permute(0, 2, 3, 1).reshape(batch, -1, 200)
        n_seconds = h.shape[1] // n_chans
        where = a.places(n_chans).repeat_interleave(n_seconds, dim=0)
        when = a.seconds[:n_seconds].repeat(n_chans, 1)
        first = (a.class_token + a.electrodes[0]).expand(batch, 1, -1)
        h = torch.cat([first, h + where + when], dim=1)
        for block in a.blocks:
            h = h + block.scale_attention * self.attention(block.attention, block.norm_attention(h))
            h = h + block.scale_mlp * block.mlp(block.norm_mlp(h))
        pooled: Tensor = a.norm(h[:, 1:].mean(dim=1))
        return pooled

    @staticmethod
    def attention(layer: Any, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = layer.qkv(x).reshape(batch, tokens, 3, layer.n_heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = layer.query_norm(qkv[0]), layer.key_norm(qkv[1]), qkv[2]
        weights = (q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)).softmax(dim=-1)
        out: Tensor = layer.out((weights @ v).transpose(1, 2).reshape(batch, tokens, width))
        return out

    def spectral(self, x: Tensor) -> Tensor:
        b, rows = self.b, []
        for channel in range(x.shape[1]):
            total = torch.zeros(())
            for n_fft, frequency, window in zip(b.n_ffts, b.frequencies, b.windows, strict=True):
                spectrum = torch.stft(
                    x[:, channel],
                    n_fft,
                    hop_length=n_fft,
                    window=torch.ones(n_fft),
                    center=False,
                    return_complex=True,
                ).abs()
                level = frequency(spectrum.transpose(1, 2))
                total = total + window(level.transpose(1, 2)).transpose(1, 2)
            rows.append(total + b.channels[channel] + b.steps)
        h = torch.cat(rows, dim=1)
        for block in b.transformer.blocks:
            h = h + self.linear_attention(block.attention, block.norm_attention(h))
            h = h + block.mlp(block.norm_mlp(h))
        return h.mean(dim=1)

    @staticmethod
    def linear_attention(layer: Any, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = (
            (x @ weight.T).reshape(batch, tokens, layer.n_heads, -1).transpose(1, 2)
            for weight in layer.qkv.weight.chunk(3)
        )
        q, k = q.softmax(dim=-1) * q.shape[-1] ** -0.5, k.softmax(dim=-2)
        mixed = torch.einsum("bhnd,bhde->bhne", q, torch.einsum("bhnd,bhne->bhde", k, v))
        out: Tensor = layer.out(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out

    def __call__(self, x: Tensor) -> Tensor:
        x = (x - x.mean(dim=-1, keepdim=True)) / 100
        return F.gelu(self.temporal(x) + self.spectral(x))


# -- what it costs at least ---------------------------------------------------------------


def multiply_adds(model: Any, n_chans: int) -> dict[str, float]:
    """Of one window, by part; a Fourier transform is counted as 2.5 n log2 n."""
    c, config = n_chans, model.config
    width, hidden = config.d_model, int(config.mlp_ratio * config.d_model)
    tokens, steps = 1 + c * config.n_patches, c * config.n_steps
    values = c * config.n_times / 8 * config.n_features
    linear = width * (4 * width + 2 * hidden)
    levels = [(n, config.n_times // n) for n in config.n_ffts]
    transform = sum(c * m * 1.25 * n * (n.bit_length() - 1) for n, m in levels)
    maps = sum(c * m * (n // 2 + 1) * width + c * m * config.n_steps * width for n, m in levels)
    return {
        "patches": values * (15 + 6 * config.n_features),
        "attention, its products": config.depth * 2 * tokens**2 * width,
        "blocks, linear maps": config.depth * tokens * linear,
        "spectra": transform + maps,
        "linear attention": config.spectral_depth
        * (steps * linear + 2 * steps * width * width // config.spectral_heads),
    }


def product_rate(dtype: torch.dtype, device: str, size: int, repeats: int) -> float:
    """Operations a second (two a multiply-add) of a large square product."""
    a = torch.randn(size, size, dtype=dtype, device=device)

    def run() -> None:
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * size**3 / seconds(run, repeats)


# -- reports ----------------------------------------------------------------------------------


def inference(model: Any, n_chans: int, repeats: int, size: int) -> None:
    x = signal(1, n_chans, model.config.n_times)
    plain = Plain(model)
    ours_s, plain_s = in_turn([lambda: model(x), lambda: plain(x)], repeats)
    same = (model(x).embedding - plain(x)).abs().max().item()
    parts = multiply_adds(model, n_chans)
    flops = 2 * sum(parts.values())
    rate = product_rate(torch.float32, "cpu", size, repeats)
    print(f"one window of {n_chans} channels, batch 1")
    for name, count in parts.items():
        print(f"  {name:26s}{2 * count / 1e9:8.2f} GFLOP")
    print(f"  {'all':26s}{flops / 1e9:8.2f} GFLOP; product of {size}: {rate / 1e9:.0f} GFLOP/s")
    print(f"neurobolt          {ours_s:8.3f} s   {100 * flops / ours_s / rate:.0f} % of that rate")
    print(f"original's layout  {plain_s:8.3f} s   neuro {plain_s / ours_s:.2f} x as fast")
    print(f"largest difference of the embeddings: {same:.1e}")


def batches(model: Any, n_chans: int, repeats: int, sizes: tuple[int, ...]) -> None:
    print("\nbatch    float32, windows/s    bfloat16, windows/s    ratio    error of the sum")
    for batch in sizes:
        x = signal(batch, n_chans, model.config.n_times)

        def rough(x: Tensor = x) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return model(x)

        exact_s, rough_s = in_turn([lambda x=x: model(x), rough], max(3, repeats // 2))
        exact, coarse = model(x).embedding, rough().embedding.float()
        error = ((coarse - exact).norm() / exact.norm()).item()
        print(f"{batch:5d}{batch / exact_s:20.1f}{batch / rough_s:23.1f}{exact_s / rough_s:12.2f}"
              f"{100 * error:15.2f} %")  # fmt: skip


def training(model: Any, n_chans: int, batch: int, repeats: int) -> None:
    """A step of AdamW, and the bytes that forward keeps for backward."""
    x = signal(batch, n_chans, model.config.n_times)
    target = torch.randn(batch, model.config.n_outputs)
    optimiser = torch.optim.AdamW(model.param_groups(1e-5), eps=1e-8, weight_decay=0.05)
    kept: dict[int, int] = {}

    def keep(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return t

    def step(count: bool = False) -> None:
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t)
        with hooks if count else nullcontext():
            loss = F.mse_loss(model(x).prediction, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    model.train()
    with torch.enable_grad():
        step(count=True)
        took = seconds(step, max(2, repeats // 3))
    model.eval()
    weights = 4 * 4 * model.n_parameters()
    print(f"\ntraining step, batch {batch}: {took:.2f} s, {took / batch:.3f} s a window; "
          f"{sum(kept.values()) / 2**20:.0f} MiB kept for backward, "
          f"{weights / 2**20:.0f} MiB weights, gradients and AdamW")  # fmt: skip


def channels(size: dict[str, Any], counts: tuple[int, ...], repeats: int) -> None:
    print("\nchannels    tokens A    tokens B    GFLOP    seconds    GFLOP/s")
    for n_chans in counts:
        model = build(n_chans, size)
        x = signal(1, n_chans, model.config.n_times)
        took = seconds(lambda m=model, x=x: m(x), max(3, repeats // 2))
        flops = 2 * sum(multiply_adds(model, n_chans).values())
        config = model.config
        print(f"{n_chans:8d}{1 + n_chans * config.n_patches:12d}{n_chans * config.n_steps:12d}"
              f"{flops / 1e9:9.2f}{took:11.3f}{flops / took / 1e9:11.1f}")  # fmt: skip


def on_gpu(model: Any, n_chans: int, repeats: int) -> None:
    if not torch.cuda.is_available():
        print("\nno GPU here: nothing measured on one")
        return
    model = model.to("cuda")
    rate = product_rate(torch.bfloat16, "cuda", 8192, repeats)
    flops = 2 * sum(multiply_adds(model, n_chans).values())
    print(f"\n{torch.cuda.get_device_name()}: {rate / 1e12:.0f} TFLOP/s in bfloat16")
    for batch in (1, 32, 256):
        x = signal(batch, n_chans, model.config.n_times).cuda()

        def run(x: Tensor = x) -> None:
            with torch.autocast("cuda", torch.bfloat16):
                model(x)
            torch.cuda.synchronize()

        took = seconds(run, repeats)
        print(f"batch {batch:4d}: {batch / took:9.0f} windows/s, "
              f"{100 * batch * flops / took / rate:.1f} % of it")  # fmt: skip
    model.to("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--small", action="store_true", help="two blocks in each branch, once")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    size = {"depth": 2, "spectral_depth": 2} if args.small else {}
    repeats = 3 if args.small else args.repeats
    torch.manual_seed(0)
    model = build(26, size)
    with torch.inference_mode():
        inference(model, 26, repeats, 1024 if args.small else 2048)
        batches(model, 26, repeats, (1, 4) if args.small else (1, 8, 32))
    training(model, 26, 2 if args.small else 16, repeats)
    with torch.inference_mode():
        channels(size, (10, 26) if args.small else (10, 26, 64, 128), repeats)
        on_gpu(model, 26, repeats)


if __name__ == "__main__":
    main()
