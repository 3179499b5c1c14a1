import functools
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.__main__ import main
from pipelines.base import TranslationOutput, TranslationPipeline
from pipelines.commands import UsageError, call
from pipelines.images.formats import read_image, to_output
from pipelines.images.provenance import read_record, save_png
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.pipeline import OEFTPipeline
from pipelines.oeft.settings import PRESETS
from tests.tiny import tiny_refining_oeft


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A real pipeline, as small as it can be."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    torch.manual_seed(0)
    backbone = VGGBackbone(blocks=((4,), (8,)), taps=("relu1_1", "relu2_1"))
    OEFTPipeline(backbone, preset="fast").save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A working folder with photos/{a,b}.png, photos/broken.png and exemplar.png in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
    monkeypatch.setitem(PRESETS, "fast", replace(PRESETS["fast"], size=64, grid=16, render_grid=16))
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for name in ("photos/a.png", "photos/b.png", "exemplar.png"):
        Image.fromarray(random.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(name)
    Path("photos/broken.png").write_text("no image")
    return tmp_path


def translate(checkpoint, *words) -> int:
    return main(["translate", str(checkpoint), "--exemplar", "exemplar.png", "--num-steps", "1", *words])


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_folder_with_a_broken_file(checkpoint, pictures, capsys):
    assert translate(checkpoint, "--image", "photos", "nowhere.png", "--seed", "5") == 1
    assert sorted(os.listdir("outputs")) == ["a.png", "b.png"]
    said = capsys.readouterr()
    table = said.out.splitlines()
    assert [line.split()[:2] for line in table[:4]] == [
        ["written", "photos/a.png"],
        ["written", "photos/b.png"],
        ["failed", "photos/broken.png"],
        ["failed", "nowhere.png"],
    ]
    assert "is not an image that can be read" in table[2]
    assert "does not exist" in table[3]
    assert table[4] == "2 written, 2 failed"
    assert "[2/4] photos/b.png" in said.err
    record = read_record("outputs/a.png")
    assert (record["seed"], record["arguments"]) == (5, {"num_steps": 1})
    assert record["checkpoint"] == str(checkpoint)
    assert [record["inputs"][name][0]["name"] for name in ("image", "exemplar")] == ["photos/a.png", "exemplar.png"]
    assert pixels("outputs/a.png").shape == (40, 48, 3)


def test_the_result_is_the_pipelines(checkpoint, pictures):
    assert translate(checkpoint, "--image", "photos/a.png", "--output", "new/one.png", "--seed", "5") == 0
    pipe = OEFTPipeline.from_pretrained(checkpoint)
    generator = torch.Generator().manual_seed(5)
    (expected,) = pipe("photos/a.png", exemplar="exemplar.png", num_steps=1, generator=generator).images
    assert np.array_equal(pixels("new/one.png"), np.asarray(expected))


def test_a_saved_png_is_repeated_to_the_same_pixels(checkpoint, pictures, capsys):
    assert translate(checkpoint, "--image", "photos/a.png", "--seed", "5") == 0
    threads = torch.get_num_threads()
    save_png(Image.open("outputs/a.png"), "outputs/a.png", read_record("outputs/a.png") | {"threads": threads + 1})
    assert main(["translate", "--from-png", "outputs/a.png"]) == 0
    assert torch.get_num_threads() == threads
    assert "outputs/a-2.png: the same pixels as outputs/a.png" in capsys.readouterr().out
    assert np.array_equal(pixels("outputs/a-2.png"), pixels("outputs/a.png"))
    assert read_record("outputs/a-2.png") == read_record("outputs/a.png")


def test_refinement_is_set_and_repeated_from_its_png(pictures, capsys):
    pipe = tiny_refining_oeft()
    pipe.register_to_config(preset="fast")
    pipe.save_pretrained("refining")
    words = ["--num-refine-steps", "2", "--set-refine", "decide=1", "drop_ratio=0"]
    assert translate("refining", "--image", "photos/a.png", "--refine", *words) == 0
    arguments = read_record("outputs/a.png")["arguments"]
    assert (arguments["refine"], arguments["num_refine_steps"]) == (True, 2)
    assert arguments["refine_settings"] == {"decide": 1, "drop_ratio": 0}
    assert main(["translate", "--from-png", "outputs/a.png", "--output", "again"]) == 0
    assert "the same pixels" in capsys.readouterr().out
    assert translate("refining", "--image", "photos/a.png", "--no-refine", "--output", "warp") == 0
    assert read_record("warp/a.png")["arguments"]["refine"] is False
    assert not np.array_equal(pixels("warp/a.png"), pixels("outputs/a.png"))


def test_inputs_are_found_beside_the_png_and_checked(checkpoint, pictures, capsys, monkeypatch):
    translate(checkpoint, "--image", "photos/a.png", "--output", "one.png")
    elsewhere = pictures / "elsewhere"
    elsewhere.mkdir()
    for name in ("photos/a.png", "exemplar.png", "one.png"):
        shutil.move(name, elsewhere)
    assert main(["translate", "--from-png", "elsewhere/one.png"]) == 0  # beside the PNG
    shutil.move("elsewhere/a.png", "renamed.png")
    assert main(["translate", "--from-png", "elsewhere/one.png"]) == 1
    assert "`image` of elsewhere/one.png is missing" in capsys.readouterr().err
    assert main(["translate", "--from-png", "elsewhere/one.png", "--image", "renamed.png"]) == 0
    assert main(["translate", "--from-png", "elsewhere/one.png", "--image", "photos/b.png"]) == 1
    assert "`image` (photos/b.png) has changed" in capsys.readouterr().err


def test_a_changed_checkpoint_is_noticed(checkpoint, pictures, capsys):
    shutil.copytree(checkpoint, "copy")
    translate("./copy", "--image", "photos/a.png", "--output", "one.png")
    pipe = OEFTPipeline.from_pretrained("./copy")
    with torch.no_grad():
        next(pipe.backbone.parameters()).mul_(2)
    pipe.save_pretrained("copy")
    capsys.readouterr()
    assert main(["translate", "--from-png", "one.png"]) == 1
    assert "weights of './copy' are not those" in capsys.readouterr().err


def test_other_pixels_are_reported(checkpoint, pictures, capsys):
    translate(checkpoint, "--image", "photos/a.png", "--output", "one.png")
    record = read_record("one.png")
    record["versions"]["torch"] = "1.0"
    save_png(Image.new("RGB", (48, 40)), "one.png", record)
    assert main(["translate", "--from-png", "one.png"]) == 1
    assert "the pixels differ from one.png by up to" in (said := capsys.readouterr().out)
    assert "torch 1.0 then" in said


@pytest.mark.parametrize("arguments", [{"output_type": "np"}, {"num_steps": "many"}, {"preset": "none"}, {"size": 3}])
def test_a_hostile_record_is_one_sentence(checkpoint, pictures, capsys, arguments):
    translate(checkpoint, "--image", "photos/a.png", "--output", "one.png")
    save_png(Image.open("one.png"), "one.png", read_record("one.png") | {"arguments": arguments})
    capsys.readouterr()
    assert main(["translate", "--from-png", "one.png"]) in (1, 2)
    assert capsys.readouterr().err.splitlines()[-1].startswith("pipelines: ")


def test_inputs_are_never_overwritten(checkpoint, pictures, capsys):
    before = {path: path.read_bytes() for path in Path("photos").iterdir()}
    assert translate(checkpoint, "--image", "photos/a.png", "--output", "photos/a.png") == 2
    assert "is one of the inputs, which are never overwritten" in capsys.readouterr().err
    assert translate(checkpoint, "--image", "photos/a.png", "--output", "exemplar.png") == 2
    os.link("photos/a.png", "link.png")
    assert translate(checkpoint, "--image", "photos/a.png", "--output", "link.png") == 2
    assert translate(checkpoint, "--image", "photos/a.png", "--output", "photos") == 0
    assert {path: path.read_bytes() for path in before} == before
    assert Path("photos/a-2.png").exists()


def test_images_of_one_name_get_a_file_each(checkpoint, pictures):
    Path("more").mkdir()
    shutil.copy("photos/b.png", "more/a.png")
    assert translate(checkpoint, "--image", "photos/a.png", "more/a.png", "photos/a.png") == 0
    assert sorted(os.listdir("outputs")) == ["a-2.png", "a.png"]
    assert not np.array_equal(pixels("outputs/a.png"), pixels("outputs/a-2.png"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["X", "--image", "photos/a.png", "--output", "one.jpg"], "only PNG is written"),
        (["X", "--image", "photos", "--output", "one.png"], "is one file, for 3 images; give a folder"),
        (["X", "--image", "photos/a.png", "--output", "notes.txt"], "is a file that is not a PNG"),
        (["X", "--image", "photos/a.png"], "OEFTPipeline needs --exemplar"),
        (["X", "--image", "photos/a.png", "--device", "cuda:77"], "--device cuda:77 cannot be used here"),
        (["X"], "needs a CHECKPOINT and --image"),
        (["--image", "photos/a.png"], "needs a CHECKPOINT and --image"),
        (["--from-png", "one.png", "--seed", "3"], "--from-png takes seed from the PNG"),
    ],
)
def test_wrong_usage(checkpoint, pictures, capsys, words, message):
    Path("notes.txt").write_text("notes")
    assert main(["translate", *[str(checkpoint) if word == "X" else word for word in words]]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-checkpoint", "--image", "photos/a.png"], "There is no checkpoint 'no-such-checkpoint'"),
        (["./no-folder", "--image", "photos/a.png"], "'./no-folder' does not exist"),
        (["X", "--image", "photos/a.png", "--exemplar", "photos/broken.png"], "`exemplar` (photos/broken.png) is not"),
        (["--from-png", "photos/a.png"], "holds no record"),
    ],
)
def test_expected_errors_are_one_sentence(checkpoint, pictures, capsys, words, message):
    assert main(["translate", *[str(checkpoint) if word == "X" else word for word in words]]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_ctrl_c(checkpoint, pictures, capsys, monkeypatch):
    @functools.wraps(OEFTPipeline.__call__)
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(OEFTPipeline, "__call__", interrupted)
    assert translate(checkpoint, "--image", "photos/a.png") == 130
    assert capsys.readouterr().err.splitlines()[-1] == "pipelines: stopped."


class NegativePipeline(TranslationPipeline):
    """Takes an image and nothing else."""

    def __init__(self, backbone):
        super().__init__()
        self.register_modules(backbone=backbone)

    def __call__(self, image):
        return TranslationOutput(images=to_output([-read_image(image).pixels]))


def test_only_what_the_pipeline_takes_is_passed(pictures):
    pipe = NegativePipeline(VGGBackbone(blocks=((4,),), taps=("relu1_1",)))
    call.check_arguments(pipe, {"image"}, seeded=False)
    call.translate(pipe, {"image": Path("photos/a.png")}, {}, 0, [Path("one.png")])
    assert np.array_equal(pixels("one.png"), 255 - pixels("photos/a.png"))
    for names, seeded, option in [
        ({"image", "exemplar"}, False, "--exemplar"),
        ({"image", "num_steps"}, False, "--num-steps"),
        ({"image"}, True, "--seed"),
    ]:
        with pytest.raises(UsageError, match=f"NegativePipeline takes no {option}; it takes --image."):
            call.check_arguments(pipe, names, seeded=seeded)
