"""StyleGAN's networks, and DeepI2I on them, at tiny widths."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipelines.deepi2i.stylegan import StyleGANAdaptor, StyleGANEncoder
from pipelines.losses.gan import r1_penalty
from pipelines.losses.wgan import gradient_penalty, wasserstein
from pipelines.networks.stylegan import StyleGANDiscriminator, StyleGANGenerator, mix_styles
from pipelines.networks.stylegan_blocks import DownConv, UpConv, append_deviation, blur
from tests.tiny import seeded

WIDTHS = (8, 6, 4, 3)  # 32 pixels


def scrambled(network: nn.Module) -> nn.Module:
    """With random weights everywhere, also where training begins at zero or one."""
    generator = seeded(1)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator))
    return network.eval()


@pytest.fixture
def generator() -> StyleGANGenerator:
    return scrambled(StyleGANGenerator(WIDTHS, latent_dim=5, mapping_layers=2))


@pytest.fixture
def discriminator() -> StyleGANDiscriminator:
    return scrambled(StyleGANDiscriminator(WIDTHS))


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(2, 5, generator=seeded(2))


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 3, 32, 32, generator=seeded(3))


def assert_same(found, wanted):
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


# Blocks


def test_blur_is_the_filter():
    taps = torch.tensor([1.0, 2.0, 1.0])
    kernel = (torch.outer(taps, taps) / 16).expand(3, 1, 3, 3)
    hidden = torch.randn(2, 3, 7, 5, generator=seeded())
    assert_same(blur(hidden), F.conv2d(hidden, kernel, padding=1, groups=3))


@torch.no_grad()
def test_resampling_convolutions_equal_the_plain_path():
    hidden = torch.randn(2, 4, 8, 6, generator=seeded())
    for fused in (UpConv(4, 3), DownConv(4, 3)):
        scrambled(fused)

        def convolved(hidden, conv=fused):
            return F.conv2d(hidden, conv.weight * (2 / (4 * 9)) ** 0.5, conv.bias, padding=1)

        if isinstance(fused, UpConv):
            plain = blur(convolved(F.interpolate(hidden, scale_factor=2, mode="nearest")))
        else:
            plain = F.avg_pool2d(convolved(blur(hidden)), 2)
        assert_same(fused(hidden), plain)


@torch.no_grad()
def test_a_bias_after_the_blur_is_not_blurred():
    conv = UpConv(4, 3, bias_after_blur=True)
    conv.bias.copy_(torch.arange(3.0))
    found = conv(torch.zeros(1, 4, 5, 6))
    assert torch.equal(found, conv.bias[:, None, None].expand(1, 3, 10, 12))


def test_the_deviation_is_over_the_batch():
    hidden = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
    appended = append_deviation(hidden)
    assert torch.equal(appended[:, :3], hidden)
    assert_same(appended[:, 3], torch.ones(2, 4, 4))


# Generator


@torch.no_grad()
def test_split_anywhere_equals_forward(generator, latent):
    noise = generator.draw_noise(2, seeded(4))
    features = {
        size: torch.randn(2, width, size, size, generator=seeded(size)) for size, width in generator.channels().items()
    }
    whole = generator(latent, features, noise)
    assert whole.shape == (2, 3, 32, 32)
    hidden, conditions = generator.start(generator.style(latent), noise)
    for split in generator.channels():
        first = generator.run(hidden, conditions, stop=split, features=features)
        assert first.shape == (2, generator.channels()[split], split, split)
        if split == 4:  # features at 4 pixels are added by whoever starts there
            first = hidden
        assert torch.equal(generator.finish(generator.run(first, conditions, start=split, features=features)), whole)


@torch.no_grad()
def test_features_are_added_behind_the_block(generator, latent):
    hidden, conditions = generator.start(generator.style(latent))
    feature = torch.randn(2, 6, 8, 8, generator=seeded())
    plain = generator.run(hidden, conditions, stop=8)
    assert torch.equal(generator.run(hidden, conditions, stop=8, features={8: feature}), plain + feature)
    assert torch.equal(generator.run(hidden, conditions, start=4, stop=4, features={8: feature}), hidden)


@torch.no_grad()
def test_noise_comes_from_the_argument_alone(generator, latent):
    before = torch.get_rng_state()
    drawn = [generator.draw_noise(2, seeded(seed)) for seed in (1, 1, 2)]
    first, again, other = (generator(latent, noise=noise) for noise in drawn)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(generator(latent), generator(latent, noise={}))
    assert torch.equal(torch.get_rng_state(), before)

    twice = {size: noise.expand(-1, 2, -1, -1) for size, noise in drawn[0].items()}
    assert torch.equal(generator(latent, noise=twice), first)
    for layer in (0, 1):
        changed = {size: noise.clone() for size, noise in twice.items()}
        changed[8][:, layer] += 1 * torch.arange(8.0)
        assert not torch.equal(generator(latent, noise=changed), first)


@torch.no_grad()
def test_truncation(generator, latent):
    full, half, none = (generator.style(latent, truncation) for truncation in (1.0, 0.5, 0.0))
    assert_same(none, generator.mean_style.expand_as(none))
    assert_same(half, (full + none) / 2)
    estimate = generator.estimate_mean_style(seeded(), num_draws=7)
    assert_same(estimate, generator.style(torch.randn(7, 5, generator=seeded()))[:, 0].mean(dim=0))


@torch.no_grad()
def test_truncation_of_the_coarse_layers(generator, latent):
    full, half, found = generator.style(latent), generator.style(latent, 0.5), generator.style(latent, 0.5, 3)
    assert torch.equal(found, mix_styles(half, full, 3))
    assert torch.equal(generator(latent, truncation=0.5, truncated_layers=3), generator.synthesize(found))


@torch.no_grad()
def test_fixed_noise(latent, tmp_path):
    generator = scrambled(StyleGANGenerator(WIDTHS, latent_dim=5, mapping_layers=3, mapping_dim=4, fixed_noise=True))
    held = {size: getattr(generator, f"noise_{size}") for size in generator.channels()}
    assert torch.equal(generator(latent), generator(latent, noise=held))
    assert not torch.equal(generator(latent), generator(latent, noise={}))
    generator.save_pretrained(tmp_path)
    assert torch.equal(StyleGANGenerator.from_pretrained(tmp_path)(latent), generator(latent))


@torch.no_grad()
def test_style_mixing(generator, latent):
    first, second = (generator.style(torch.randn(2, 5, generator=seeded(seed))) for seed in (5, 6))
    assert first.shape == (2, generator.num_styles, 5)
    assert torch.equal(mix_styles(first, second, 0), second)
    assert torch.equal(mix_styles(first, second, generator.num_styles), first)
    mixed = mix_styles(first, second, 4)  # the first up to 8 pixels
    (coarse, conditions), (own, others) = generator.start(mixed), generator.start(first)
    run = generator.run
    assert torch.equal(run(coarse, conditions, stop=8), run(own, others, stop=8))
    assert not torch.equal(run(coarse, conditions, stop=16), run(own, others, stop=16))


@torch.no_grad()
def test_save_and_load(generator, discriminator, latent, image, tmp_path):
    generator.save_pretrained(tmp_path / "generator")
    discriminator.save_pretrained(tmp_path / "discriminator")
    loaded = StyleGANGenerator.from_pretrained(tmp_path / "generator")
    assert torch.equal(loaded(latent, truncation=0.5), generator(latent, truncation=0.5))
    loaded = StyleGANDiscriminator.from_pretrained(tmp_path / "discriminator")
    assert torch.equal(loaded(image), discriminator(image))


@torch.no_grad()
def test_half_precision(generator, latent):
    exact = generator(latent, noise=generator.draw_noise(2, seeded()))
    generator.to(torch.bfloat16)
    found = generator(latent.bfloat16(), noise=generator.draw_noise(2, seeded()))
    assert found.dtype == torch.bfloat16
    assert (found - exact).abs().mean() < 0.1 * exact.abs().mean()


# Discriminator and losses


@torch.no_grad()
def test_discriminator(discriminator, image):
    features = discriminator.trunk(image)
    assert {size: feature.shape[1:] for size, feature in features.items()} == {
        size: (width, size, size) for size, width in discriminator.trunk.channels().items()
    }
    logits = discriminator(image)
    assert logits.shape == (2,)
    assert torch.equal(discriminator.judge(features), logits)
    with pytest.raises(ValueError, match="`image` is 16 x 32 pixels; this network takes 32 x 32"):
        discriminator(image[..., :16])


def test_penalties_train_the_discriminator(discriminator, image):
    for penalty in (r1_penalty, gradient_penalty):
        discriminator.zero_grad()
        images = image.clone().requires_grad_()
        penalty(discriminator(images), images).backward()
        assert discriminator.trunk.stem.weight.grad.abs().sum() > 0


def test_gradient_penalty_of_a_known_gradient():
    images = torch.randn(2, 3, 4, 4, generator=seeded(), requires_grad=True)
    slopes = torch.tensor([1.0, 3.0])  # of one pixel: gradients of length 1 and 3
    assert gradient_penalty(images[:, 0, 0, 0] * slopes, images).item() == pytest.approx((0 + 4) / 2)


def test_wasserstein_sides():
    logits = torch.tensor([1.0, 2.0])
    assert wasserstein(logits, real=False).item() == 1.5
    assert wasserstein(logits, real=True).item() == -1.5


# DeepI2I


def test_wrong_levels_are_refused():
    with pytest.raises(ValueError, match="`levels` has 32; with 4 `widths` there are 4, 8, 16"):
        StyleGANEncoder(WIDTHS, levels=(32, 16))
    with pytest.raises(ValueError, match="`levels` has 2 entries and `channels` 1"):
        StyleGANAdaptor((8, 4), (6,))
