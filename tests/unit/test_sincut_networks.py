"""SinCUT's networks: shapes, noise, the fast blur, first- and second-order gradients, bf16."""

import pytest
import torch
import torch.nn.functional as F

from pipelines.losses.gan import r1_penalty
from pipelines.networks.stylegan2_blocks import blur, blur_filter
from pipelines.sincut.networks import SinCUTDiscriminator, SinCUTGenerator
from tests.tiny import seeded


def randomized(network, seed: int = 0):
    """All weights drawn, those too that start at zero."""
    generator = seeded(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network


def tiny_generator(**changes) -> SinCUTGenerator:
    return randomized(SinCUTGenerator(**{"base_channels": 4, "num_blocks": 4, **changes}))


def image(*shape, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (16, 16), (18, 30), (34, 6)])
def test_same_size_out_and_half_of_it_within(height, width):
    network = tiny_generator()
    picture = image(2, 3, height, width)
    assert network(picture).shape == picture.shape
    names = ["block2", "input", "conv", "down", "block1"]
    hidden, features = network.encode(picture, names)
    widths = network.layer_channels()
    assert list(widths) == ["input", "conv", "down", "block1", "block2"]
    for name, feature in zip(names, features, strict=True):
        sides = (height, width) if name in ("input", "conv") else (height // 2, width // 2)
        assert feature.shape == (2, widths[name], *sides)
    assert torch.equal(features[1], picture)
    assert torch.equal(features[0], hidden)


def test_encode_stops_at_the_deepest_layer():
    network, picture = tiny_generator(), image(1, 3, 8, 8)
    full, wanted = network.encode(picture, ["down", "conv"])
    stopped, found = network.encode(picture, ["down", "conv"], stop=True)
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))
    assert torch.equal(stopped, found[0])
    assert not torch.equal(stopped, full)


@pytest.mark.parametrize("size", [(9, 8), (8, 9)])
def test_odd_sides_are_refused(size):
    with pytest.raises(
        ValueError, match=f"`image` is {size[1]} x {size[0]} pixels; both sides must be multiples of 2"
    ):
        tiny_generator()(image(1, 3, *size))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`layers` names 'block3'; this network has input, conv, down, block1"):
        tiny_generator().encode(image(1, 3, 8, 8), ["block3"])
    with pytest.raises(ValueError, match="`num_blocks` is 3; it must be even"):
        SinCUTGenerator(num_blocks=3)
    with pytest.raises(ValueError, match="`size` is 48; it must be 8 or a higher power of two"):
        SinCUTDiscriminator(size=48)
    with pytest.raises(ValueError, match="`image` is 32 x 64 pixels; this discriminator takes 64 x 64"):
        SinCUTDiscriminator(base_channels=2)(image(1, 3, 64, 32))


def test_widths_of_the_discriminator():
    network = SinCUTDiscriminator(base_channels=4, size=32, max_channels=10)
    assert [block.conv2.weight.shape[:2] for block in network.blocks] == [(8, 4), (10, 8), (10, 10)]
    assert network(image(3, 3, 32, 32)).shape == (3, 1)


@torch.no_grad()
def test_noise_comes_from_the_caller_alone():
    network, picture = tiny_generator(), image(2, 3, 16, 12)
    plain = network(picture)
    state = torch.get_rng_state()
    assert torch.equal(network(picture), plain)
    noisy = network(picture, generator=seeded(5))
    assert torch.equal(network(picture, generator=seeded(5)), noisy)
    assert not torch.equal(noisy, plain)
    drawn = torch.randn(2, 1, 16, 12, generator=seeded(5))
    assert torch.equal(network(picture, noise=drawn), noisy)
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_network_without_noise():
    network, picture = tiny_generator(inject_noise=False), image(1, 3, 8, 8)
    assert not [name for name in network.state_dict() if "noise" in name]
    assert torch.equal(network(picture, generator=seeded(5)), network(picture))
    with pytest.raises(ValueError, match="`noise` is given; this network has none"):
        network(picture, noise=torch.zeros(1, 1, 8, 8))


def test_noise_starts_at_zero():
    torch.manual_seed(0)
    network, picture = SinCUTGenerator(base_channels=4, num_blocks=2), image(1, 3, 8, 8)
    assert torch.equal(network(picture, generator=seeded(5)), network(picture))


@pytest.mark.parametrize("position", [30, 31])
@torch.no_grad()
def test_reach_is_how_far_a_pixel_is_seen(position):
    network = tiny_generator(num_blocks=2).double()
    picture = image(1, 3, 64, 64).double()
    other = picture.clone()
    other[..., position, position] += 1
    changed = (network(picture) - network(other)).abs().sum(dim=(0, 1)).nonzero()
    assert (changed - position).abs().max() == network.reach


@pytest.mark.parametrize("padding", [1, 2])
def test_blur_is_a_depthwise_convolution(padding):
    # Every combination of memory order of picture and gradient, values and gradients of first and second order.
    kernel = blur_filter().double().expand(3, 1, 4, 4)
    drawn = image(2, 3, 7, 10).double()
    weight = image(2, 3, 7 + 2 * padding - 3, 10 + 2 * padding - 3, seed=2).double()
    for order in (torch.contiguous_format, torch.channels_last):
        results = []
        for filtered in (lambda x: blur(x, padding), lambda x: F.conv2d(x, kernel, padding=padding, groups=3)):
            picture = drawn.clone(memory_format=order).requires_grad_()
            output = filtered(picture)
            (gradient,) = torch.autograd.grad(
                (output.square() * weight.contiguous(memory_format=order)).sum(), picture, create_graph=True
            )
            (second,) = torch.autograd.grad(gradient.square().sum(), picture)
            results.append((output, gradient, second))
        for fast, plain in zip(*results, strict=True):
            torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12)


def test_second_order_gradient_equals_finite_differences():
    network = randomized(SinCUTDiscriminator(base_channels=2, size=8, max_channels=4)).double()
    pictures = image(3, 3, 8, 8).double().requires_grad_()
    parameters = list(network.parameters())
    directions = [image(*parameter.shape, seed=seed).double() for seed, parameter in enumerate(parameters)]

    def penalty(step: float) -> torch.Tensor:
        """R1 in float64 with every weight moved by `step` in its direction."""
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += step * direction
        (gradient,) = torch.autograd.grad(network(pictures).sum(), pictures, create_graph=True)
        return gradient.square().sum()

    gradients = torch.autograd.grad(penalty(0), parameters, allow_unused=True)
    assert [gradient is None for gradient in gradients] == [False] * (len(gradients) - 1) + [True]  # the last bias
    slope = sum((gradient * way).sum() for gradient, way in zip(gradients[:-1], directions, strict=False))
    after, before = penalty(1e-6).item(), penalty(-2e-6).item()
    assert (after - before) / 2e-6 == pytest.approx(slope.item(), rel=1e-6)
    assert abs(slope.item()) > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_r1_penalty_reaches_every_weight(dtype):
    network = randomized(SinCUTDiscriminator(base_channels=4, size=16))
    pictures = image(2, 3, 16, 16).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = network(pictures)
    r1_penalty(logits, pictures).backward()
    for name, parameter in network.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name


def test_gradients_equal_those_in_float64():
    network, picture = tiny_generator(num_blocks=2), image(2, 3, 16, 16)
    found = {}
    for dtype in (torch.float32, torch.float64):
        network.zero_grad()
        network.to(dtype)(picture.to(dtype), noise=image(2, 1, 16, 16).to(dtype)).square().sum().backward()
        found[dtype] = [parameter.grad.double() for parameter in network.parameters()]
    for single, double in zip(found[torch.float32], found[torch.float64], strict=True):
        assert (single - double).abs().max() <= 1e-4 * double.abs().max()


def test_bf16_is_close_to_fp32():
    generator, discriminator = tiny_generator(), randomized(SinCUTDiscriminator(base_channels=4, size=16))
    picture = image(2, 3, 16, 16)
    with torch.no_grad():
        wanted = [generator(picture, generator=seeded()), discriminator(picture)]
        with torch.autocast("cpu", torch.bfloat16):
            found = [generator(picture, generator=seeded()), discriminator(picture)]
    for half, full in zip(found, wanted, strict=True):
        assert half.dtype == torch.bfloat16
        assert (half.float() - full).abs().max() <= 0.05 * full.abs().max()


def test_saved_and_reloaded(tmp_path):
    network, picture = tiny_generator(inject_noise=False), image(1, 3, 8, 8)
    network.save_pretrained(tmp_path)
    reloaded = SinCUTGenerator.from_pretrained(tmp_path)
    assert reloaded.config["inject_noise"] is False
    assert torch.equal(reloaded(picture), network(picture))
