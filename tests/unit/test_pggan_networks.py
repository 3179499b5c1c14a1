"""PGGAN's generator at tiny widths."""

import pytest
import torch
import torch.nn.functional as F

from pipelines.networks.pggan import PGGANGenerator
from pipelines.networks.stylegan_blocks import NearestUpConv
from tests.tiny import seeded

WIDTHS = (6, 5, 4)  # 16 pixels
DIM = 7


@pytest.fixture
def generator() -> PGGANGenerator:
    network = PGGANGenerator(16, DIM, WIDTHS)
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(index)))
    return network.eval()


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(2, DIM, generator=seeded(9))


@torch.no_grad()
def test_split_anywhere_equals_the_whole(generator, latent):
    whole = generator(latent)
    assert whole.shape == (2, 3, 16, 16)
    for layer in range(len(generator.layers) + 1):
        channels, side = generator.channels_at(layer)
        first = generator.run(latent, stop=layer)
        assert first.shape == (2, channels, side, side)
        assert torch.equal(generator.finish(generator.run(first, start=layer)), whole)
    assert [generator.channels_at(layer) for layer in range(7)] == [
        (DIM, 1), (6, 4), (6, 4), (5, 8), (5, 8), (4, 16), (4, 16)
    ]  # fmt: skip


@torch.no_grad()
def test_between_two_layers(generator, latent):
    first = generator.run(latent, stop=2)
    assert torch.equal(
        generator.run(generator.run(first, start=2, stop=3), start=3, stop=5), generator.run(first, 2, 5)
    )


@torch.no_grad()
def test_scale_does_not_matter(generator, latent):
    whole = generator(latent)
    torch.testing.assert_close(generator(3 * latent), whole, atol=1e-4, rtol=1e-4)
    hidden = generator.run(latent, stop=4)
    torch.testing.assert_close(generator.finish(generator.run(hidden / 5, start=4)), whole, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_upsampling_equals_the_plain_path():
    conv = NearestUpConv(4, 3)
    conv.bias.copy_(torch.arange(3.0))
    hidden = torch.randn(2, 4, 8, 6, generator=seeded())
    upsampled = F.interpolate(hidden, scale_factor=2, mode="nearest")
    plain = F.conv2d(upsampled, conv.weight * (2 / (4 * 9)) ** 0.5, conv.bias, padding=1)
    torch.testing.assert_close(conv(hidden), plain, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_save_and_load(generator, latent, tmp_path):
    generator.save_pretrained(tmp_path)
    assert torch.equal(PGGANGenerator.from_pretrained(tmp_path)(latent), generator(latent))


def test_the_widths_of_the_paper():
    with torch.device("meta"):
        generator = PGGANGenerator(256)
    assert [generator.channels_at(layer) for layer in (2, 6, 14)] == [(512, 4), (512, 16), (64, 256)]


def test_sizes_that_are_refused():
    with pytest.raises(ValueError, match="`resolution` is 100; one of 4, 8, .* 1024 is accepted"):
        PGGANGenerator(100)
    with pytest.raises(ValueError, match="`widths` has 2 entries; 16 pixels need 3"):
        PGGANGenerator(16, widths=(4, 4))
