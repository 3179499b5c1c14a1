import threading
import warnings
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.images.formats import ImageError, read_image, read_images, to_output

random = np.random.default_rng(0)
COLOR = random.integers(0, 256, (6, 9, 3), dtype=np.uint8)
GREY = random.integers(0, 256, (6, 9), dtype=np.uint8)


def values(image) -> np.ndarray:
    """(H, W, 3) uint8, as a pipeline would give it back."""
    return np.asarray(to_output([read_image(image).pixels])[0])


@pytest.mark.parametrize("suffix", ["png", "webp", "bmp", "tif", "ppm"])
def test_a_file_keeps_its_pixels(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(COLOR).save(path, lossless=True)
    read = read_image(str(path))
    assert read.pixels.shape == (3, 6, 9)
    assert (read.height, read.width) == (6, 9)
    assert read.pixels.dtype == torch.float32
    assert read.path == path
    assert read.notes == ()
    assert np.array_equal(values(path), COLOR)


@pytest.mark.parametrize("suffix", ["jpg", "jp2", "avif"])
def test_a_lossy_file_comes_close(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.new("RGB", (32, 16), (200, 100, 50)).save(path)
    assert np.abs(values(path).astype(int) - (200, 100, 50)).max() <= 6
    assert values(path).shape == (16, 32, 3)


def test_every_kind_of_input_gives_the_same_pixels(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "image.png")
    unit = COLOR.astype(np.float64) / 255
    chw = torch.from_numpy(COLOR).permute(2, 0, 1)
    inputs = [tmp_path / "image.png", Image.fromarray(COLOR), COLOR, COLOR[None], unit, unit.astype(np.float32), chw]
    inputs += [chw / 255, chw[None] / 255, (chw / 255).requires_grad_(), COLOR.astype(np.uint16) * 257]
    expected = read_image(COLOR).pixels
    for value in inputs:
        pixels = read_image(value).pixels
        assert not pixels.requires_grad
        torch.testing.assert_close(pixels, expected, atol=1e-6, rtol=0)


def test_grey_becomes_rgb():
    for value in (Image.fromarray(GREY), GREY, GREY[..., None], torch.from_numpy(GREY)[None]):
        assert np.array_equal(values(value), np.repeat(GREY[..., None], 3, axis=2))


def test_one_bit(tmp_path):
    bits = GREY > 127
    Image.fromarray(bits).save(tmp_path / "image.png")
    assert np.array_equal(values(tmp_path / "image.png"), np.repeat(bits[..., None] * np.uint8(255), 3, axis=2))
    assert np.array_equal(values(bits), values(tmp_path / "image.png"))


@pytest.mark.parametrize("name", ["image.png", "image.tif"])
def test_sixteen_bits_keep_their_precision(tmp_path, name):
    deep = random.integers(0, 65536, (6, 9), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / name)
    expected = torch.from_numpy(deep.astype(np.float32) / 65535 * 2 - 1).expand(3, -1, -1)
    for value in (tmp_path / name, deep, Image.fromarray(deep.astype(np.int32))):
        torch.testing.assert_close(read_image(value).pixels, expected, atol=1e-6, rtol=0)


def test_float_tiff(tmp_path):
    unit = random.random((6, 9), dtype=np.float32)
    Image.fromarray(unit).save(tmp_path / "image.tif")
    torch.testing.assert_close(read_image(tmp_path / "image.tif").pixels[0], torch.from_numpy(unit) * 2 - 1)
    Image.fromarray(unit * 255).save(tmp_path / "wide.tif")
    with pytest.raises(ImageError, match=r"wide.tif\) has values from .* float images in \[0, 1\]"):
        read_image(tmp_path / "wide.tif")


def test_cmyk(tmp_path):
    ink = Image.new("CMYK", (9, 6), (0, 255, 255, 0))
    for name in ("image.tif", "image.jpg"):
        ink.save(tmp_path / name)
        assert np.abs(values(tmp_path / name).astype(int) - (255, 0, 0)).max() <= 3


def test_palette(tmp_path):
    image = Image.fromarray(COLOR).quantize(8)
    image.save(tmp_path / "image.png")
    assert Image.open(tmp_path / "image.png").mode == "P"
    assert np.array_equal(values(tmp_path / "image.png"), np.asarray(image.convert("RGB")))


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((4, 4, 4), dtype=np.uint8)
    rgba[0, :] = (10, 20, 30, 255)
    rgba[1, :] = (10, 20, 30, 0)
    rgba[2:, :] = (0, 0, 0, 102)  # 40 percent of black
    expected = [(10, 20, 30), (255, 255, 255), (153, 153, 153)]
    Image.fromarray(rgba).save(tmp_path / "image.png")
    for value in (rgba, rgba / 255.0, tmp_path / "image.png", torch.from_numpy(rgba).permute(2, 0, 1)):
        assert [tuple(color) for color in values(value)[:3, 0]] == expected
    assert read_image(tmp_path / "image.png").notes == ("Transparent areas were laid on white.",)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_transparent_palette(tmp_path, transparency):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(1, (0, 0, 4, 2))
    image.save(tmp_path / "image.png", transparency=transparency)
    assert [tuple(color) for color in values(tmp_path / "image.png")[[0, 3], 0]] == [(255, 255, 255), (10, 20, 30)]


def test_one_transparent_color(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "grey.png", transparency=7)
    Image.new("RGB", (4, 4), (7, 8, 9)).save(tmp_path / "color.png", transparency=(7, 8, 9))
    Image.new("LA", (4, 4), (7, 0)).save(tmp_path / "la.png")
    for name in ("grey.png", "color.png", "la.png"):
        assert (values(tmp_path / name) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    flipped = COLOR if orientation in (1, 3, 6, 8) else COLOR[:, ::-1]
    stored = np.rot90(flipped, {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: -1, 8: -1}[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "image.png", exif=exif)
    assert np.array_equal(values(tmp_path / "image.png"), COLOR)
    with Image.open(tmp_path / "image.png") as image:
        assert np.array_equal(values(image), COLOR)


def test_broken_exif_does_not_lose_the_picture(tmp_path):
    Image.fromarray(COLOR).save(tmp_path / "image.png", exif=b"Exif\0\0MM\0*\0\0\0\xff\xff\xff")
    assert np.array_equal(values(tmp_path / "image.png"), COLOR)


@pytest.mark.parametrize("name", ["image.gif", "image.png", "image.webp", "image.tif"])
def test_of_an_animation_the_first_frame_is_used(tmp_path, name):
    first, second = Image.new("RGB", (9, 6), (200, 0, 0)), Image.new("RGB", (9, 6), (0, 0, 200))
    first.save(tmp_path / name, save_all=True, append_images=[second], lossless=True)
    assert (values(tmp_path / name) == (200, 0, 0)).all()
    assert read_image(tmp_path / name).notes == ("The file holds several frames; only the first is used.",)


def test_several_images(tmp_path):
    for name in ("b.png", "a.png"):
        Image.fromarray(COLOR if name == "a.png" else COLOR[:4]).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "more").mkdir()
    assert [read.path.name for read in read_images(tmp_path)] == ["a.png", "b.png"]
    assert [read.height for read in read_images([COLOR[:4], tmp_path / "a.png"])] == [4, 6]
    assert len(read_images(np.stack([COLOR] * 3))) == 3
    assert len(read_images(torch.rand(2, 3, 5, 5))) == 2
    assert len(read_images(COLOR)) == len(read_images(tmp_path / "a.png")) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((1, 1, 3), np.uint8), "`image` is 1 x 1 pixels; both sides must be at least 2"),
        (Image.new("L", (4000, 1)), "`image` is 4000 x 1 pixels; both sides"),
        (torch.zeros(3, 4000, 1), "`image` is 1 x 4000 pixels; both sides"),
        (np.zeros((0, 4, 3), np.uint8), "`image` is 4 x 0 pixels"),
        (np.zeros((10_000, 20_000), np.bool_), "20000 x 10000 pixels .200 megapixels.; at most 50 megapixels"),
        (torch.zeros(1, dtype=torch.uint8).expand(3, 10_000, 20_000), "200 megapixels.*TRANSLATION_HUB_MAX_PIXELS"),
        (torch.full((3, 4, 4), float("nan")), "`image` holds NaN or infinite values"),
        (np.full((4, 4, 3), np.inf), "`image` holds NaN or infinite values"),
        (torch.full((3, 4, 4), -1.0), r"values from -1 to -1; float images in \[0, 1\] are accepted"),
        (np.full((4, 4, 3), 255.0), r"values from 255 to 255; float images in \[0, 1\]"),
        (torch.zeros(4, 4), r"shape \(4, 4\); \(channels, height, width\) with 1, 3 or 4 channels"),
        (torch.zeros(2, 4, 4), r"tensor of shape \(2, 4, 4\)"),
        (torch.zeros(2, 3, 4, 4), r"tensor of shape \(2, 3, 4, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "tensor of torch.int64; torch.uint8, or float"),
        (np.zeros((3, 40, 50), np.uint8), r"numpy array of shape \(3, 40, 50\); \(height, width\) or"),
        (np.zeros(5, np.uint8), r"numpy array of shape \(5,\)"),
        (np.zeros((4, 4, 3), np.int64), "numpy array of int64; uint8, uint16, bool, or float"),
        (Image.new("I", (4, 4), 70_000), "mode I. has values from 70000 to 70000; 16 bits"),
        (Image.new("LAB", (4, 4)), "mode LAB; convert it to RGB"),
        (7, "`image` is of type int; a PIL image, a numpy array, a tensor, or a path"),
        (None, "`image` is of type NoneType"),
        ("https://example.org/cat.png", "is a web address"),
        ("nowhere.png", r"`image` \(nowhere.png\) does not exist"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(value, message):
    with pytest.raises(ImageError, match=message):
        read_image(value)


def test_slight_overshoot_of_resizing_is_clamped():
    assert read_image(torch.full((3, 4, 4), 1.0005)).pixels.max() == 1


def test_files_that_are_no_images(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("not an image")
    Image.fromarray(COLOR).resize((300, 300)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:2000])
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    for name, message in [
        ("empty.png", "is an empty file; PNG, JPEG"),
        ("text.png", "is not an image that can be read; PNG, JPEG"),
        ("cut.png", "is broken and cannot be decoded"),
        ("page.eps", "is not an image that can be read"),
        ("", "is a folder; one image file"),
    ]:
        with pytest.raises(ImageError, match=message):
            read_image(tmp_path / name)
    with pytest.raises(ImageError, match="empty.png"):
        read_images([tmp_path / "whole.png", tmp_path / "empty.png"])


def test_lists_that_hold_nothing(tmp_path):
    with pytest.raises(ImageError, match="`exemplar` is empty"):
        read_images([], name="exemplar")
    with pytest.raises(ImageError, match="is a folder without image files"):
        read_images(tmp_path)
    with pytest.raises(ImageError, match=r"`image\[1\]` is of type int"):
        read_images([COLOR, 3])


def bomb(path, width, height):
    """A PNG of a few bytes whose header promises a huge picture."""
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize("action", ["default", "error"])
@pytest.mark.parametrize("width", [6_000, 10_000, 20_000, 60_000])
def test_huge_files_are_refused_from_the_header(tmp_path, width, action):
    bomb(tmp_path / "bomb.png", width, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match="bomb.png.*at most 50 megapixels"):
            read_image(tmp_path / "bomb.png")


def test_the_limit_can_be_set(tmp_path, monkeypatch):
    Image.fromarray(COLOR).save(tmp_path / "image.png")
    with pytest.raises(ImageError, match="at most 53 pixels"):
        read_image(tmp_path / "image.png", max_pixels=53)
    monkeypatch.setenv("TRANSLATION_HUB_MAX_PIXELS", "53")
    with pytest.raises(ImageError, match=r"9 x 6 pixels \(54 pixels\); at most 53 pixels"):
        read_image(COLOR)
    monkeypatch.setenv("TRANSLATION_HUB_MAX_PIXELS", "54")
    assert read_image(COLOR).width == 9
    monkeypatch.setenv("TRANSLATION_HUB_MAX_PIXELS", "many")
    with pytest.raises(ImageError, match="TRANSLATION_HUB_MAX_PIXELS is 'many'"):
        read_image(COLOR)


def test_pil_keeps_its_settings_and_threads_do_not_meet(tmp_path):
    before = Image.MAX_IMAGE_PIXELS
    Image.fromarray(COLOR).save(tmp_path / "good.png")
    bomb(tmp_path / "bomb.png", 20_000, 10_000)
    results = []

    def work():
        for _ in range(20):
            results.append(np.array_equal(values(tmp_path / "good.png"), COLOR))
            with pytest.raises(ImageError):
                read_image(tmp_path / "bomb.png")
            results.append(before == Image.MAX_IMAGE_PIXELS)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 160
    assert all(results)


def test_the_input_is_not_changed():
    array, tensor = COLOR.astype(np.float32) / 255, torch.rand(4, 5, 5)
    image = Image.fromarray(COLOR)
    copies = array.copy(), tensor.clone()
    for value in (array, tensor, image):
        read_image(value).pixels.zero_()
    assert np.array_equal(array, copies[0])
    assert torch.equal(tensor, copies[1])
    assert np.array_equal(np.asarray(image), COLOR)


def test_outputs_agree():
    pixels = [read_image(COLOR).pixels, read_image(COLOR[::-1].copy()).pixels * 1.5]
    pil, array, tensor = (to_output(pixels, kind) for kind in ("pil", "np", "pt"))
    assert array.shape == (2, 6, 9, 3)
    assert tensor.shape == (2, 3, 6, 9)
    assert array.dtype == np.float32
    assert array.min() >= 0
    assert array.max() <= 1
    assert np.array_equal(array, tensor.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(np.stack(pil), (array * 255).round().astype(np.uint8))
    assert np.array_equal(np.asarray(pil[0]), COLOR)


def test_outputs_of_mixed_sizes():
    pixels = [read_image(COLOR).pixels, read_image(COLOR[:4]).pixels]
    assert [array.shape for array in to_output(pixels, "np")] == [(6, 9, 3), (4, 9, 3)]
    assert [tensor.shape for tensor in to_output(pixels, "pt")] == [(3, 6, 9), (3, 4, 9)]
    with pytest.raises(ImageError, match="`output_type` is 'latent'; one of pil, np, pt"):
        to_output(pixels, "latent")
