import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.sincut.crops import random_crops, zoomed_crop
from tests.tiny import picture, seeded


def crops(image, generator=None, count=8, size=16, zoom="each", smallest_zoom=1 / 3):
    return random_crops(image, count, size, generator or seeded(), zoom=zoom, smallest_zoom=smallest_zoom)


@pytest.mark.parametrize("zoomed", [(150, 90), (80, 75), (50, 32), (200, 180)])
def test_a_zoomed_crop_is_a_crop_of_the_zoomed_picture(zoomed):
    image = picture(150, 90)
    whole = np.asarray(image.resize(zoomed, Image.Resampling.BILINEAR)).astype(int)
    for left, top in ((0, 0), (zoomed[0] - 32, zoomed[1] - 32), (7, 0)):
        crop = np.asarray(zoomed_crop(image, zoomed, (left, top), 32)).astype(int)
        assert np.abs(crop - whole[top : top + 32, left : left + 32]).max() <= 1


def test_crops_are_drawn_from_the_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (crops(picture(60, 50), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("zoom", ["each", "width"])
def test_shape_and_range_and_no_crop_like_the_other(zoom):
    batch = crops(picture(60, 50), zoom=zoom)
    assert batch.shape == (8, 3, 16, 16)
    assert batch.dtype == torch.float32
    assert -1 <= batch.min() < 0 < batch.max() <= 1
    assert len({crop.numpy().tobytes() for crop in batch}) == 8


@pytest.mark.parametrize("zoom", ["each", "width"])
def test_a_picture_smaller_than_the_crop_is_enlarged(zoom):
    assert crops(picture(9, 2), zoom=zoom).shape == (8, 3, 16, 16)


def test_zooms_change_the_scale_within_their_limits():
    ramp = Image.fromarray(np.tile(np.arange(240, dtype=np.uint8)[None, :, None], (240, 1, 3)))
    batch = crops(ramp, count=200)
    slopes = (batch[:, 0, 8, -2] - batch[:, 0, 8, 1]).abs() * 127.5 / 13  # gray levels a pixel; 1 unzoomed
    assert slopes.min() >= 0.8
    assert slopes.max() <= 3.3
    assert slopes.max() - slopes.min() > 1.5
    assert (crops(ramp, count=50, smallest_zoom=1)[:, 0, 8, 15] > -1).all()


def test_one_width_a_step_keeps_the_aspect(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "pipelines.sincut.crops.zoomed_crop",
        lambda image, zoomed, corner, size: sizes.append(zoomed) or Image.new("RGB", (size, size)),
    )
    for seed in range(20):
        crops(picture(100, 50), seeded(seed), zoom="width")
    widths = {width for width, _ in sizes}
    assert len(widths) == 20
    assert all(384 <= width <= 1024 and abs(height - width / 2) <= 1 for width, height in sizes)


def test_half_of_the_crops_are_mirrored():
    image = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 1, 3)))
    batch = crops(image, count=200)
    mirrored = (batch[:, 0, 8, 0] > batch[:, 0, 8, -1]).float().mean()
    assert 0.35 < mirrored < 0.65
