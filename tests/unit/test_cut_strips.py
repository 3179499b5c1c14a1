"""Strips against the whole picture."""

import pytest
import torch

from pipelines.cut.networks import ResnetGenerator
from pipelines.cut.strips import _Strips, translate_in_strips
from tests.tiny import seeded, tiny_generator


def smooth(height: int, width: int) -> torch.Tensor:
    coarse = torch.rand(1, 3, 5, 7, generator=seeded(height))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") * 2 - 1


@pytest.mark.parametrize("num_blocks", [6, 9])
@pytest.mark.parametrize("antialias_up", [True, False])
@pytest.mark.parametrize("antialias_down", [True, False])
@pytest.mark.parametrize(
    ("height", "width", "strip_pixels"),
    [(64, 64, 64 * 16), (100, 52, 1), (52, 136, 52 * 24), (16, 200, 16 * 60), (40, 40, 10**6)],
)
def test_strips_agree_with_the_whole_picture(antialias_down, antialias_up, num_blocks, height, width, strip_pixels):
    generator = tiny_generator(num_blocks=num_blocks, antialias_down=antialias_down, antialias_up=antialias_up)
    image = smooth(height, width)
    with torch.no_grad():
        whole = generator(image)
    assert whole.std() > 0.1  # not grey: there is something to agree about
    assert (translate_in_strips(generator, image, strip_pixels) - whole).abs().max() < 1e-4


def test_strips_without_the_whole_pictures_statistics_would_not_agree():
    generator, image = tiny_generator(), smooth(96, 48)
    with torch.no_grad():
        whole = generator(image)
        alone = torch.cat([generator(part) for part in image.split(48, dim=2)], dim=2)
    assert (alone - whole).abs().max() > 0.1


def test_bf16_strips_agree_with_the_whole_picture_to_its_rounding():
    generator, image = tiny_generator().to(torch.bfloat16), smooth(100, 52).bfloat16()
    with torch.no_grad():
        whole = generator(image)
    strips = translate_in_strips(generator, image, 1)
    assert strips.dtype is torch.bfloat16
    assert (strips - whole).square().mean().sqrt() < 0.02


def test_statistics_of_bf16_maps_are_of_fp32_quality():
    hidden = (torch.randn(1, 4, 400, 40, generator=seeded()) * 0.5 + 100).bfloat16()
    mean, variance = _Strips(hidden, 40 * 24).statistics(hidden)
    exact = hidden.double()
    assert torch.allclose(mean.double(), exact.mean((0, 2, 3)), rtol=1e-6)
    assert torch.allclose(variance.double(), exact.var((0, 2, 3), correction=0), rtol=1e-5)


def test_a_map_of_full_resolution_never_exists_whole():
    generator, image = tiny_generator(), smooth(256, 32)
    largest = []
    for conv in (generator.stem, *generator.down, *generator.up, generator.head):
        conv.register_forward_hook(lambda conv, inputs, output: largest.append(output.shape[2]))
    translate_in_strips(generator, image, 32 * 32)
    assert max(largest) <= 2 * (32 + 2 * 3)


def test_a_size_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="`image` is 30 x 32 pixels; both sides must be multiples of 4"):
        translate_in_strips(ResnetGenerator(base_channels=4), torch.zeros(1, 3, 32, 30))
