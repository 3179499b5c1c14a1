import argparse
import json
import re

import pytest
from PIL import Image

from pipelines.commands import UsageError, train
from pipelines.commands.training_options import add_config_options, config_from
from pipelines.networks.vgg import VGGBackbone
from pipelines.training.classifier_config import ClassifierConfig

NETWORK = ["--size", "16", "--blocks", "4/8", "--taps", "relu1_1,relu2_1", "--precision", "fp32"]
ARGUMENTS = [*NETWORK, "--batch-size", "4", "--dense-points", "16"]


def call(*words):
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    return train.run(parser.parse_args(["train", *map(str, words)]))


@pytest.fixture
def data(tmp_path):
    for name, color in (("red", "red"), ("blue", "blue"), ("monkey", "green")):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(8):
            Image.new("RGB", (24, 20), color).save(tmp_path / "data" / name / f"{index}.png")
    (tmp_path / "data" / "red" / "torn.png").write_bytes(b"x")
    return tmp_path / "data"


def test_classifier_from_folder_to_backbone(data, tmp_path, capsys):
    output = tmp_path / "run"
    words = ["classifier", "--data", data, "--exclude", "monk*", "--held-out", 0.25, "--output", output, *ARGUMENTS]
    assert call(*words, "--steps", 3) == 0
    assert "torn.png" in capsys.readouterr().err
    assert json.loads((output / "classes.json").read_text()) == ["blue", "red"]
    metrics = json.loads((output / "metrics.json").read_text())
    assert metrics["train_pictures"] + metrics["held_out_pictures"] == 16
    assert metrics["config"]["seed"] == 0
    assert VGGBackbone.from_pretrained(output / "backbone", use_safetensors=True).config.blocks == [[4], [8]]
    assert call(*words, "--steps", 5) == 1
    assert "steps = 3, this run asks for 5" in capsys.readouterr().err


def test_a_run_goes_on_with_its_own_data_only(data, tmp_path, capsys):
    output = tmp_path / "run"
    words = ["classifier", "--data", data, "--output", output, *ARGUMENTS, "--steps", 1]
    assert call(*words, "--held-out", 0.25) == 0
    split = (output / "split.json").read_text()
    assert call(*words, "--held-out", 0.5) == 1
    assert "held_out = 0.25, this run asks for 0.5" in capsys.readouterr().err
    (data / "red" / "0.png").rename(data / "red" / "other.png")
    assert call(*words, "--held-out", 0.25) == 1
    assert re.search(r"train_files = '\d+ pictures, sha256 .*', this run asks for '", capsys.readouterr().err)
    (data / "red" / "other.png").rename(data / "red" / "0.png")
    (data / "monkey").rename(data / "green")
    assert call(*words, "--held-out", 0.25) == 1
    assert "classes = ['blue', 'monkey', 'red'], this run asks for ['blue', 'green'" in capsys.readouterr().err
    assert (output / "split.json").read_text() == split


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0, "the share is 0; it must be above 0 and below 1"),
        (1.5, "the share is 1.5"),
        (0.01, "a share of 0.01 leaves 25 pictures to train on and 0 to measure; both need some"),
    ],
)
def test_a_held_out_share_of_no_use_is_refused(data, tmp_path, capsys, share, message):
    assert call("classifier", "--data", data, "--output", tmp_path / "run", "--held-out", share) == 1
    assert f"pipelines: held-out: {message}" in capsys.readouterr().err


def test_failures_are_one_sentence(data, tmp_path, capsys):
    assert call("classifier", "--data", tmp_path / "none", "--output", tmp_path / "run") == 1
    assert "none is not a folder" in capsys.readouterr().err
    with pytest.raises(UsageError, match="must be one of adamw, sgd"):
        call("classifier", "--data", data, "--output", tmp_path / "run", "--optimizer", "lion")


def test_options_take_their_type_from_the_config():
    parser = argparse.ArgumentParser()
    add_config_options(parser, ClassifierConfig, {"blocks": "widths", "crop_scale": "area", "lr": "rate"})
    args = parser.parse_args(["--blocks", "8,8/16", "--crop-scale", "0.5,1", "--lr", "1e-3"])
    assert (args.blocks, args.crop_scale, args.lr) == (((8, 8), (16,)), (0.5, 1.0), 0.001)


def test_options_that_are_not_given_leave_the_preset_alone():
    parser = argparse.ArgumentParser()
    add_config_options(parser, ClassifierConfig, {"blocks": "widths", "lr": "rate", "seed": "number"})
    config = config_from(parser.parse_args(["--lr", "1e-3"]), ClassifierConfig, {"lr": 0.5, "seed": 7})
    assert (config.blocks, config.lr, config.seed) == (ClassifierConfig.blocks, 0.001, 7)
