import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.images.formats import crop_padding, fit_to_area, pad_to_multiple, resize

sides = st.integers(1, 130)


@settings(max_examples=200, deadline=None)
@given(height=sides, width=sides, multiple=st.integers(1, 130))
def test_padding_is_cropped_back(height, width, multiple):
    pixels = torch.arange(height * width, dtype=torch.float32).reshape(1, height, width)
    padded, padding = pad_to_multiple(pixels, multiple)
    rows, columns = padded.shape[1:]
    assert rows % multiple == 0
    assert columns % multiple == 0
    assert rows - height < multiple
    assert columns - width < multiple
    assert torch.equal(crop_padding(padded, padding), pixels)


def test_padding_is_torchs_reflection_where_torch_has_one():
    pixels = torch.arange(30.0).reshape(1, 5, 6)
    padded, _ = pad_to_multiple(pixels, 8)
    assert torch.equal(padded, torch.nn.functional.pad(pixels, (0, 2, 0, 3), mode="reflect"))


def test_padding_larger_than_the_image_bounces():
    padded, _ = pad_to_multiple(torch.tensor([[[0.0, 1.0, 2.0]]]), 8)
    assert padded[0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert padded[0, 7].tolist() == padded[0, 0].tolist()


@settings(max_examples=200, deadline=None)
@given(height=sides, width=sides, steps=st.integers(1, 40), multiple=st.sampled_from([1, 4, 8, 16, 64]))
def test_the_working_area_is_bounded(height, width, steps, multiple):
    area = (steps * multiple) ** 2
    rows, columns = fit_to_area(height, width, area, multiple)
    assert rows % multiple == columns % multiple == 0
    assert min(rows, columns) >= multiple
    # Rounding adds at most half a multiple to each side.
    assert rows * columns <= area + (rows + columns) * multiple / 2


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (256, 256, (256, 256)),
        (512, 512, (256, 256)),
        (480, 640, (220, 296)),
        (640, 480, (296, 220)),
        (2, 4000, (4, 11448)),
    ],
)
def test_the_working_size_keeps_the_aspect(height, width, expected):
    assert fit_to_area(height, width, 256 * 256, 4) == expected


def test_a_very_narrow_image_gives_up_its_aspect():
    assert fit_to_area(2, 40000, 256 * 256, 64) == (64, 1024)


def test_resize_keeps_range_and_leading_dimensions():
    pixels = torch.rand(2, 4, 3, 33, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    small = resize(pixels, (8, 5))
    assert small.shape == (2, 4, 3, 8, 5)
    assert small.min() >= pixels.min()
    assert small.max() <= pixels.max()
    assert resize(pixels, (33, 20)) is pixels


def test_resize_is_antialiased():
    stripes = torch.tensor([1.0, -1.0]).repeat(32).expand(3, 64, 64)
    assert resize(stripes, (8, 8)).abs().max() < 0.2  # without antialiasing the stripes alias to full contrast
