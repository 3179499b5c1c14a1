"""The fast routes of OEFT against its equations, written out in float64; values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from pipelines.losses import contextual
from pipelines.losses.contextual import contextual_loss
from pipelines.losses.info_nce import info_nce
from pipelines.losses.perceptual import gram_distance
from pipelines.oeft import attention
from pipelines.oeft.correspondence import ROUTES, correlation, from_patches, to_patches, warp
from pipelines.oeft.features import hierarchical_features, unit_vectors
from pipelines.oeft.losses import contrastive_loss

ALPHA, TAU = 100.0, 0.07


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks so small that every block route takes several, the last of them incomplete."""
    monkeypatch.setattr(attention, "BLOCK_ELEMENTS", 7 * 30)
    monkeypatch.setattr(contextual, "BLOCK_ELEMENTS", 7 * 30)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return F.normalize(draw(*shape, seed=seed), dim=-1)


def gradients(scalar, *inputs):
    return torch.autograd.grad(scalar, inputs, retain_graph=True)


def assert_same(fast, plain, fast_inputs, plain_inputs, weight=None, tolerance=1e-4, value_tolerance=2e-4):
    """Values and gradients agree; `weight` makes a scalar of a tensor."""
    weight = torch.ones_like(plain) if weight is None else weight
    assert torch.allclose(fast.double(), plain, rtol=value_tolerance, atol=value_tolerance)
    for got, wanted in zip(
        gradients((fast * weight.to(fast.dtype)).sum(), *fast_inputs),
        gradients((plain * weight).sum(), *plain_inputs),
        strict=True,
    ):
        assert (got.double() - wanted).abs().max() <= tolerance * wanted.abs().max()


def in_fp32(*tensors):
    return [tensor.detach().float().requires_grad_() for tensor in tensors]


@pytest.mark.parametrize(
    ("route", "gradient_dtype", "tolerance"),
    [*((route, torch.float32, 2e-4) for route in ROUTES), ("blocks", torch.bfloat16, 2e-2)],
)
def test_warp_is_equation_6(route, gradient_dtype, tolerance):
    query, key, value = unit(2, 40, 12), unit(2, 30, 12, seed=1), draw(2, 30, 5, seed=2)
    for tensor in (query, key, value):
        tensor.requires_grad_()
    plain = torch.zeros(2, 40, 5, dtype=torch.float64)
    rows = []
    for b in range(2):
        for u in range(40):
            cosine = torch.stack(
                [query[b, u] @ key[b, v] / (query[b, u].norm() * key[b, v].norm()) for v in range(30)]
            )
            rows.append(torch.softmax(ALPHA * cosine, dim=0) @ value[b])
    plain = torch.stack(rows).view(2, 40, 5)
    # The equation normalizes, the routes take unit vectors: compare gradients along the sphere only.
    fast_inputs = in_fp32(query, key, value)
    normalized = [F.normalize(each, dim=2) for each in fast_inputs[:2]]
    fast = warp(*normalized, fast_inputs[2], ALPHA, route, gradient_dtype)
    assert_same(fast, plain, fast_inputs, (query, key, value), draw(2, 40, 5, seed=3), tolerance)


def test_descriptors_are_centered_over_positions_and_levels_weigh_the_same():
    maps = {"a": 100 * draw(1, 3, 8, 8).float() + 7, "b": draw(1, 5, 4, 4, seed=1).float()}
    joined = hierarchical_features(maps, (4, 4))
    assert joined.shape == (1, 8, 4, 4)
    assert joined.mean(dim=(2, 3)).abs().max() < 1e-5
    lengths = [part.square().sum(dim=1).mean() for part in joined.split([3, 5], dim=1)]
    assert torch.allclose(torch.stack(lengths), torch.ones(2), atol=1e-4)
    assert torch.allclose(unit_vectors(joined).norm(dim=2), torch.ones(1, 16), atol=1e-5)


def test_correlation_is_the_cosine():
    query, key = draw(1, 6, 4), draw(1, 5, 4, seed=1)
    plain = torch.stack([F.cosine_similarity(query[0, u], key[0], dim=1) for u in range(6)])
    assert torch.allclose(correlation(F.normalize(query, dim=2), F.normalize(key, dim=2))[0], plain)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_contrastive_loss_is_equations_7_and_8(precision):
    source, warped = unit(1, 30, 12).requires_grad_(), unit(1, 30, 12, seed=1).requires_grad_()
    terms = []
    for u in range(30):
        scores = torch.exp(warped[0] @ source[0, u] / TAU)
        terms.append(-torch.log(scores[u] / scores.sum()))
    plain = torch.stack(terms).mean()
    fast_inputs = in_fp32(source, warped)
    tolerance, value_tolerance = (1e-4, 2e-4) if precision == torch.float32 else (2e-2, 1e-3)
    fast = contrastive_loss(*fast_inputs, TAU, precision)
    assert_same(fast, plain, fast_inputs, (source, warped), None, tolerance, value_tolerance)
    assert_same(info_nce(*fast_inputs, TAU), plain, fast_inputs, (source, warped))


def test_gram_distance_is_equation_9():
    image, target = draw(2, 4, 3, 5).requires_grad_(), draw(2, 4, 6, 2, seed=1)
    terms = []
    for b in range(2):
        for c in range(4):
            for d in range(4):
                got = (image[b, c] * image[b, d]).sum() / (4 * 15)
                wanted = (target[b, c] * target[b, d]).sum() / (4 * 12)
                terms.append((got - wanted) ** 2)
    plain = torch.stack(terms).sum() / 2
    (fast_input,) = in_fp32(image)
    assert_same(gram_distance(fast_input, target.float()), plain, (fast_input,), (image,))


@pytest.mark.parametrize("blocks", [False, True])
def test_contextual_loss_is_equation_10(blocks):
    image, target = draw(1, 6, 5, 7).requires_grad_(), draw(1, 6, 6, 5, seed=1).requires_grad_()
    center = target.mean(dim=(2, 3), keepdim=True)
    places, wanted = (image - center).flatten(2)[0].T, (target - center).flatten(2)[0].T
    affinity = []
    for place in places:  # l
        distance = torch.stack([1 - F.cosine_similarity(place, other, dim=0) for other in wanted])
        relative = distance / (distance.min() + 1e-5)
        weights = torch.exp((1 - relative) / 0.5)
        affinity.append(weights / weights.sum())
    plain = -torch.log(torch.stack(affinity).max(dim=0).values.mean())
    fast_inputs = in_fp32(image, target)
    fast = contextual_loss(*fast_inputs, bandwidth=0.5, blocks=blocks)
    assert_same(fast, plain, fast_inputs, (image, target))


def test_patches_go_there_and_back():
    image = draw(2, 3, 8, 12)
    patches = to_patches(image, 4)
    assert patches.shape == (2, 6, 48)
    assert torch.equal(from_patches(patches, (2, 3), 4), image)
    assert torch.equal(patches[0, 1].view(3, 4, 4), image[0, :, :4, 4:8])
