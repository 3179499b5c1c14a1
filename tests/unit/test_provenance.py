import json
import os
import zlib

import numpy as np
import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from PIL import Image, PngImagePlugin

from pipelines.base import TranslationPipeline
from pipelines.images.formats import ImageError, read_image
from pipelines.images.provenance import KEYWORD, installed_version, make_record, pixel_hash, read_record, save_png
from pipelines.oeft.settings import OEFTSettings

COLOR = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLOR)


class Gain(ModelMixin, ConfigMixin):
    @register_to_config
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(1, dtype=torch.float32))


class GainPipeline(TranslationPipeline):
    def __init__(self, network: ModelMixin):
        super().__init__()
        self.register_modules(network=network)


@pytest.fixture
def record(tmp_path):
    PICTURE.save(tmp_path / "grüße.png")
    inputs = {"image": [read_image(tmp_path / "grüße.png")], "exemplar": [PICTURE]}
    arguments = {"num_steps": 3, "settings": OEFTSettings()}
    return make_record(GainPipeline(Gain()), inputs=inputs, arguments=arguments, seed=7)


def test_the_record_says_how_the_picture_was_made(record, tmp_path):
    sha256 = pixel_hash(read_image(COLOR))
    size = {"sha256": sha256, "width": 9, "height": 6}
    assert record["inputs"] == {
        "image": [{"name": (tmp_path / "grüße.png").as_posix(), **size}],
        "exemplar": [{"name": None, **size}],
    }
    assert record["pipeline"] == "GainPipeline"
    assert (record["checkpoint"], record["revision"], record["sha256"]) == (None, None, {})
    assert record["arguments"]["num_steps"] == 3
    assert OEFTSettings(**record["arguments"]["settings"]) == OEFTSettings()
    assert record["seed"] == 7
    assert (record["device"], record["dtype"], record["threads"]) == ("cpu", "float32", torch.get_num_threads())
    assert torch.__version__.startswith(record["versions"]["torch"])
    assert {"python", "diffusers", "numpy", "pillow"} < record["versions"].keys()
    assert installed_version("a-package-that-is-not-here") is None


def test_a_saved_png_gives_back_picture_and_record(record, tmp_path):
    save_png(PICTURE, tmp_path / "out.png", record)
    assert read_record(tmp_path / "out.png") == record
    with Image.open(tmp_path / "out.png") as image:
        assert np.array_equal(np.asarray(image), COLOR)
    assert sorted(os.listdir(tmp_path)) == ["grüße.png", "out.png"]


def test_a_name_that_is_not_utf8_survives(record, tmp_path):
    record["inputs"]["image"][0]["name"] = os.fsdecode(b"\xff.png")
    save_png(PICTURE, tmp_path / "out.png", record)
    assert read_record(tmp_path / "out.png") == record


def test_a_failed_save_leaves_the_old_file_and_nothing_else(record, tmp_path):
    save_png(PICTURE, tmp_path / "out.png", record)
    before = (tmp_path / "out.png").read_bytes()
    with pytest.raises(OSError, match="PNG"):  # a mode that PNG does not have
        save_png(PICTURE.convert("CMYK"), tmp_path / "out.png", record)
    with pytest.raises(ValueError, match="JSON"):
        save_png(PICTURE, tmp_path / "out.png", {**record, "seed": float("nan")})
    assert (tmp_path / "out.png").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["grüße.png", "out.png"]


def test_only_png_names_are_taken(record, tmp_path):
    with pytest.raises(ImageError, match="out.jpg'; a name that ends in .png"):
        save_png(PICTURE, tmp_path / "out.jpg", record)


def test_the_hash_is_of_the_pixels_alone(tmp_path):
    PICTURE.save(tmp_path / "a.png")
    PICTURE.save(tmp_path / "b.tif")
    same = [
        tmp_path / "a.png",
        tmp_path / "b.tif",
        PICTURE,
        COLOR,
        COLOR / 255,
        torch.from_numpy(COLOR.transpose(2, 0, 1)),
    ]
    assert len({pixel_hash(read_image(value)) for value in same}) == 1
    changed = COLOR.copy()
    changed[5, 8, 2] ^= 1
    other = [changed, COLOR[:, ::-1].copy(), COLOR.reshape(9, 6, 3), np.ascontiguousarray(COLOR[..., ::-1])]
    assert len({pixel_hash(read_image(value)) for value in [COLOR, *other]}) == 5


def with_text(path, text: str, keyword: str = KEYWORD):
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(keyword, text)
    PICTURE.save(path, pnginfo=chunks)


def test_files_without_a_record(tmp_path):
    PICTURE.save(tmp_path / "plain.png")
    PICTURE.save(tmp_path / "photo.jpg")
    (tmp_path / "empty.png").touch()
    with_text(tmp_path / "other.png", "{}", keyword="parameters")
    for name, message in [
        ("plain.png", "holds no record of how it was made"),
        ("other.png", "holds no record of how it was made"),
        ("photo.jpg", "photo.jpg. is not a PNG"),
        ("empty.png", "is not a PNG"),
        ("nowhere.png", "does not exist"),
    ]:
        with pytest.raises(ImageError, match=message):
            read_record(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "is damaged: it is not JSON"),
        ("[" * 50_000, "is damaged: it is not JSON"),
        ("[1]", "has format 'list'; format 1"),
        ('{"format": 2}', "has format 2; format 1"),
        ('{"format": 1}', "is damaged: the field 'pipeline' is missing or of another type"),
        ("x" * 200_000, "has 200000 characters; at most 100000"),
    ],
)
def test_damaged_records(tmp_path, text, message):
    with_text(tmp_path / "bad.png", text)
    with pytest.raises(ImageError, match=f"bad.png {message}"):
        read_record(tmp_path / "bad.png")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "7"),
        ("seed", True),
        ("checkpoint", 3),
        ("arguments", []),
        ("threads", None),
        ("versions", "2"),
        ("inputs", {"image": {}}),
        ("inputs", {"image": [{"name": 3, "sha256": ""}]}),
        ("inputs", {"image": [{"name": "a.png"}]}),
    ],
)
def test_fields_of_another_type(record, tmp_path, field, value):
    with_text(tmp_path / "bad.png", json.dumps({**record, field: value}))
    with pytest.raises(ImageError, match=f"is damaged: the field '{field}'"):
        read_record(tmp_path / "bad.png")


def test_hostile_chunks(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    PICTURE.save(tmp_path / "plain.png")
    data = (tmp_path / "plain.png").read_bytes()
    head, tail = data[:33], data[33:]
    packed = KEYWORD.encode() + b"\0\1\0\0\0" + zlib.compress(b" " * 50_000_000)  # 50 MB in 50 kB
    (tmp_path / "packed.png").write_bytes(head + chunk(b"iTXt", packed) + tail)
    (tmp_path / "cut.png").write_bytes(head + (2**31 - 1).to_bytes(4, "big") + b"iTXt" + KEYWORD.encode())
    for name in ("packed.png", "cut.png"):
        with pytest.raises(ImageError, match=name):
            read_record(tmp_path / name)
