import argparse
import json

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines import SinCUTPipeline
from pipelines.__main__ import main
from pipelines.commands import UsageError, train
from pipelines.images.provenance import read_record
from pipelines.training.checkpoint import list_checkpoints, load_checkpoint
from tests.tiny import picture

NETWORK = {"base_channels": 4, "num_blocks": 4, "discriminator_channels": 4, "batch_size": 2, "precision": "fp32"}
OPTIONS = [word for name, value in NETWORK.items() for word in (f"--{name.replace('_', '-')}", str(value))]
SET = [f"{name}={value}" for name, value in NETWORK.items()]


@pytest.fixture
def pair(tmp_path):
    picture(90, 70, seed=1).save(tmp_path / "image.png")
    picture(80, 90, seed=2).save(tmp_path / "exemplar.png")
    return ["--image", tmp_path / "image.png", "--exemplar", tmp_path / "exemplar.png"]


def call(*words):
    parser = argparse.ArgumentParser()
    train.add_parser(parser.add_subparsers())
    return train.run(parser.parse_args(["train", "sincut", *map(str, words)]))


def weights_of(folder):
    networks = load_checkpoint(list_checkpoints(folder / "checkpoints")[-1])["trainer"]["networks"]
    return torch.cat([value.flatten() for network in networks.values() for value in network.values()])


def test_train_writes_a_pipeline_and_the_picture(pair, tmp_path, capsys):
    output = tmp_path / "run"
    assert call(*pair, *OPTIONS, "--num-steps", 3, "--output", output) == 0
    assert "result.png: the picture after 3 steps" in capsys.readouterr().out
    result = Image.open(output / "result.png")
    assert result.size == (90, 70)
    pipe = SinCUTPipeline.from_pretrained(output / "pipeline")
    assert np.array_equal(np.asarray(pipe(tmp_path / "image.png").images[0]), np.asarray(result))
    assert read_record(output / "result.png")["pipeline"] == "SinCUTPipeline"
    record = json.loads((output / "training.json").read_text())
    assert (record["steps"], record["seed"], record["settings"]["r1_every"]) == (3, 0, 16)
    assert (output / "previews").is_dir()


def test_trained_pipeline_can_be_published(pair, tmp_path, capsys):
    output = tmp_path / "run"
    assert call(*pair, *OPTIONS, "--num-steps", 1, "--license", "cc-by-4.0", "--output", output) == 0
    card = (output / "pipeline/README.md").read_text()
    assert str(tmp_path) not in card
    assert json.loads(card.split("```json")[1].split("```")[0])["base_channels"] == 4
    capsys.readouterr()
    assert main(["publish", str(output / "pipeline"), "--repo-id", "org/pair", "--dry-run"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["title"], entry["task"], entry["license"]) == ("run", "single-image", "cc-by-4.0")
    assert entry["training_data"].endswith("alone, `image.png` and `exemplar.png`: 1 steps of 2 crops of each.")


def test_train_goes_on_where_it_stopped(pair, tmp_path, capsys):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    words = [*pair, *OPTIONS, "--num-steps", 4, "--checkpoint-every", 2]
    assert call(*words, "--output", straight) == 0
    assert call(*words, "--output", resumed) == 0
    list_checkpoints(resumed / "checkpoints")[-1].unlink()
    assert call(*words, "--output", resumed) == 0
    assert torch.equal(weights_of(straight), weights_of(resumed))
    assert call(*words, "--output", resumed, "--lr", 0.1) == 1
    assert "lr = 0.002, this run asks for 0.1" in capsys.readouterr().err
    picture(90, 70, seed=9).save(tmp_path / "image.png")
    assert call(*words, "--output", resumed) == 1
    assert "pictures = " in capsys.readouterr().err


def test_train_names_what_it_cannot_use(pair, tmp_path):
    with pytest.raises(UsageError, match="`num_blocks` is 3"):
        call(*pair, "--num-blocks", 3, "--output", tmp_path / "run")


def test_translate_and_repeat_to_the_same_pixels(pair, tmp_path, capsys):
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    words = ["translate", "sincut", *pair, "--num-steps", 2, "--seed", 3, "--set", *SET, "--output", first]
    assert main([str(word) for word in words]) == 0
    record = read_record(first)
    assert record["arguments"]["num_steps"] == 2
    assert record["arguments"]["settings"]["base_channels"] == 4
    capsys.readouterr()
    assert main(["translate", "--from-png", str(first), "--output", str(again)]) == 0
    assert "the same pixels" in capsys.readouterr().out
    assert np.array_equal(np.asarray(Image.open(first)), np.asarray(Image.open(again)))


def test_translate_without_an_exemplar_says_what_is_missing(pair, tmp_path, capsys):
    assert main(["translate", "sincut", *map(str, pair[:2]), "--output", str(tmp_path / "x.png")]) == 1
    assert "`exemplar` is missing: this pipeline is untrained" in capsys.readouterr().out
