"""Codebooks against vector-quantize-pytorch."""

import pytest
import torch

from neuro.nn.quantise import VectorQuantiser

OPTIONS = {"decay": 0.9, "rotation_trick": False, "commitment_weight": 0.25}


@pytest.mark.filterwarnings("ignore")  # of the other library's imports
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
def test_ids_loss_gradient_and_running_means_equal_vector_quantize_pytorch(masked):
    library = pytest.importorskip("vector_quantize_pytorch")
    rng = torch.Generator().manual_seed(0)
    theirs = library.VectorQuantize(dim=8, codebook_size=20, **OPTIONS)
    ours = VectorQuantiser(20, 8, decay=0.9, beta=0.25, init="uniform")
    codes = torch.randn(20, 8, generator=rng)
    book = theirs._codebook
    for tensor in (book.embed, book.embed_avg, ours.codes, ours.sums):
        tensor.copy_(codes.expand_as(tensor))
    for counts in (book.cluster_size, ours.counts):
        counts.fill_(1.0)
    mask = torch.rand(4, 30, generator=rng) > 0.3 if masked else None
    for _ in range(4):
        z = torch.randn(4, 30, 8, generator=rng)
        one, two = z.clone().requires_grad_(), z.clone().requires_grad_()
        passed, ids, loss = theirs(one, mask=mask)
        out = ours(two, mask)
        there = slice(None) if mask is None else mask
        assert torch.equal(out.ids[there], ids[there])
        # float32; theirs are one-hot products and rounded differences: rounding only
        assert torch.allclose(out.passed[there], passed[there], atol=1e-6)
        assert out.loss.item() == pytest.approx(loss.item(), rel=1e-5)
        loss.sum().backward()
        out.loss.backward()
        assert torch.allclose(two.grad, one.grad, atol=1e-8)
        assert torch.allclose(ours.codes, book.embed[0], atol=1e-5)
        assert torch.allclose(ours.counts, book.cluster_size[0], atol=1e-5)
