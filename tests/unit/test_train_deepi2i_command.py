"""`train biggan` and `train deepi2i`, from folders of pictures to a pipeline."""

import json
import shutil

import pytest
import torch

from pipelines import DeepI2IPipeline
from pipelines.__main__ import main
from pipelines.deepi2i.transfer import read_pretrained
from pipelines.networks.biggan import BigGANDiscriminator
from pipelines.training.gan_config import BigGANConfig
from tests.tiny import picture
from tests.unit.tiny_deepi2i import NAMES, write_folders

SIZES = [
    *("--resolution", "64", "--base-channels", "4", "--discriminator-channels", "4"),
    *("--max-channels", "16", "--latent-dim", "10", "--embedding-dim", "4"),
]
SHORT = ["--batch-size", "4", "--precision", "fp32", "--steps"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def gan(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("gan")
    assert main(["train", "biggan", "--data", str(data), "--output", str(output), *SIZES, *SHORT, "2"]) == 0
    return output / "gan"


def train(data, output, *words):
    return main(["train", "deepi2i", "--data", str(data), "--output", str(output), *map(str, words)])


def test_a_gan_folder_holds_networks_and_names(gan):
    assert json.loads((gan / "classes.json").read_text()) == NAMES
    assert {path.name for path in gan.iterdir()} == {"classes.json", "generator", "discriminator"}
    split = json.loads((gan.parent / "split.json").read_text())
    assert len(split["held_out"]) == 3
    assert not set(split["held_out"]) & set(split["train"])


def test_from_a_gan_to_a_pipeline_and_on_from_there(data, gan, tmp_path, capsys):
    assert train(data, tmp_path / "run", "--init", gan, *SHORT, 2, "--adaptor-steps", 1, "--half") == 0
    assert "3 of 3 classes keep the pretrained GAN's embedding" in capsys.readouterr().out
    assert train(data, tmp_path / "run", "--init", gan, *SHORT, 3, "--adaptor-steps", 1, "--half") == 0
    assert "the networks after 3 steps" in capsys.readouterr().out
    pipe = DeepI2IPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    assert pipe.class_names == NAMES
    image = pipe(picture(80, 60), "lemon", generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (64, 64)
    card = (tmp_path / "run" / "pipeline" / "README.md").read_text()
    assert "3 classes: apple, lemon, plum" in card
    assert train(data, tmp_path / "on", "--init", tmp_path / "run" / "pipeline", *SHORT, 1) == 0
    again = read_pretrained(tmp_path / "run" / "pipeline").discriminator
    written = BigGANDiscriminator.from_pretrained(tmp_path / "run" / "discriminator")
    assert torch.equal(again.linear.weight, written.linear.weight)


@pytest.fixture(scope="module")
def pipeline(data, gan, tmp_path_factory):
    output = tmp_path_factory.mktemp("pipeline")
    words = ["--levels", "16,8", "--level-weights", "0.3,0.2", "--adaptor-steps", 0]
    assert train(data, output, "--init", gan, *words, *SHORT, 1) == 0
    return output / "pipeline"


def configured(pipe_or_run):
    return DeepI2IPipeline.from_pretrained(pipe_or_run).config["level_weights"]


def test_going_on_from_a_pipeline_keeps_its_levels_weights_and_adaptor(data, pipeline, tmp_path, capsys):
    assert train(data, tmp_path, "--init", pipeline, *SHORT, 1) == 0
    assert "adaptor: levels kept 16, 8, dropped none; levels that begin at random: none" in capsys.readouterr().out
    assert configured(tmp_path / "pipeline") == {"16": 0.3, "8": 0.2}
    assert json.loads((tmp_path / "training.json").read_text())["config"]["levels"] == [16, 8]


def test_going_on_from_a_pipeline_without_its_discriminator_says_what_is_random(data, pipeline, tmp_path, capsys):
    alone = shutil.copytree(pipeline, tmp_path / "alone" / "pipeline")
    assert train(data, tmp_path / "run", "--init", alone, *SHORT, 1) == 0
    printed = capsys.readouterr().out
    assert "no discriminator beside the pipeline: the first 3 of its 5 blocks are the encoder's" in printed
    assert train(data, tmp_path / "beside", "--init", pipeline, *SHORT, 1) == 0
    assert "no discriminator" not in capsys.readouterr().out


def test_going_on_from_a_pipeline_with_other_levels_or_weights(data, pipeline, tmp_path, capsys):
    assert train(data, tmp_path / "levels", "--init", pipeline, "--levels", "8,4", *SHORT, 1) == 0
    assert "adaptor: levels kept 8, dropped 16; levels that begin at random: 4." in capsys.readouterr().out
    assert configured(tmp_path / "levels" / "pipeline") == {"8": 0.2, "4": 0.1}
    assert train(data, tmp_path / "weights", "--init", pipeline, "--level-weights", "1,2", *SHORT, 1) == 0
    assert configured(tmp_path / "weights" / "pipeline") == {"16": 1.0, "8": 2.0}


def test_titles_go_into_the_pipeline(data, gan, tmp_path, capsys):
    titles = tmp_path / "titles.json"
    titles.write_text('{"lemon": "sour lemon"}')
    assert train(data, tmp_path / "run", "--init", gan, "--class-titles", titles, *SHORT, 1) == 0
    pipe = DeepI2IPipeline.from_pretrained(tmp_path / "run" / "pipeline")
    assert pipe.class_titles == ["apple", "sour lemon", "plum"]
    titles.write_text('{"pear": "sweet pear"}')
    assert train(data, tmp_path / "no", "--init", gan, "--class-titles", titles, *SHORT, 1) == 2
    assert "--class-titles: titles.json: `class_titles` has a title for 'pear'" in capsys.readouterr().err
    assert not (tmp_path / "no" / "pipeline").exists()


def test_weights_follow_the_levels(data, gan, tmp_path):
    assert train(data, tmp_path, "--init", gan, "--levels", "8,4", *SHORT, 1) == 0
    config = json.loads((tmp_path / "training.json").read_text())["config"]
    assert (config["level_weights"], config["reconstruction_weights"]) == ([0.1, 0.1], [0.1, 0.1])


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_the_defaults_fit_every_resolution(resolution):
    assert BigGANConfig(resolution=resolution).latent_dim == 120


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 100}, "resolution is 100; it must be one of 32, 64, 128"),
        ({"latent_dim": 80, "resolution": 128}, "latent_dim is 80; at 128 pixels it must be a multiple of 6"),
        ({"augmentation": ("none", "color")}, "augmentation names 'none'; .* or none alone"),
    ],
)
def test_settings_of_biggan_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        BigGANConfig(**changes)


def test_another_architecture_is_refused_on_resume(data, tmp_path, capsys):
    assert train(data, tmp_path, "--preset", "scratch", *SIZES, *SHORT, 1) == 0
    assert train(data, tmp_path, "--preset", "scratch", *SIZES, "--base-channels", 8, *SHORT, 2) == 1
    assert "was trained with networks" in capsys.readouterr().err


def test_from_scratch(data, tmp_path):
    assert train(data, tmp_path, "--preset", "scratch", *SIZES, *SHORT, 1) == 0
    assert DeepI2IPipeline.from_pretrained(tmp_path / "pipeline").config["level_weights"]["4"] == 1.0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ([], 2, "--init is missing"),
        (["--init", "GAN", "--base-channels", "8"], 2, "--base-channels is given, but --init says how large"),
        (["--init", "nowhere"], 1, "nowhere is neither a GAN"),
        (["--init", "GAN", "--transfer", "none"], 2, "adaptor_steps is 500 and the generator begins at random"),
        (["--init", "GAN", "--held-out", "2"], 1, "the share is 2; it must be above 0 and below 1"),
    ],
)
def test_what_cannot_be_trained(data, gan, tmp_path, capsys, words, code, sentence):
    words = [str(gan) if word == "GAN" else word for word in words]
    assert train(data, tmp_path, *words) == code
    assert sentence in capsys.readouterr().err


def test_a_damaged_gan_is_refused(data, gan, tmp_path, capsys):
    damaged = tmp_path / "gan"
    for name in ("generator", "discriminator"):
        (damaged / name).mkdir(parents=True)
        for file in (gan / name).iterdir():
            content = file.read_bytes()
            (damaged / name / file.name).write_bytes(
                content if file.suffix == ".json" else content[: len(content) // 2]
            )
    (damaged / "classes.json").write_bytes((gan / "classes.json").read_bytes())
    assert train(data, tmp_path / "run", "--init", damaged) == 1
    assert "cannot be loaded" in capsys.readouterr().err
