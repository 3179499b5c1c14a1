"""`python -m pipelines add-prior`."""

import json

import pytest
import torch

from pipelines import OEFTPipeline
from pipelines.__main__ import main
from pipelines.networks.biggan import BigGANDiscriminator, BigGANGenerator
from tests.tiny import TINY_SETTINGS, TINY_SIZES, picture, seeded, tiny_oeft


@pytest.fixture
def base(tmp_path):
    tiny_oeft().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def gan(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = BigGANGenerator(num_classes=2, latent_dim=16, embedding_dim=8, **TINY_SIZES)
    generator.save_pretrained(tmp_path / "gan" / "generator")
    (tmp_path / "gan" / "classes.json").write_text('["a", "b"]')
    return tmp_path / "gan"


def add(base, gan, output, *options):
    return main(["add-prior", str(base), "--prior", str(gan), "--output", str(output), "--size", "32", *options])


def photographs(folder, count=12):
    (folder / "cat").mkdir(parents=True)
    for index in range(count):
        picture(40, 40, seed=index).save(folder / "cat" / f"{index}.png")
    return folder


def test_it_writes_a_checkpoint_that_refines(base, gan, tmp_path, capsys):
    settings = '{"hypotheses": [[4, 2]], "num_steps": 2}'
    output = tmp_path / "out"
    assert add(base, gan, output, "--samples", "60", "--prior-class", "1", "--refine-settings", settings) == 0
    assert "60 of the generator's own pictures" in capsys.readouterr().out
    pipe = OEFTPipeline.from_pretrained(output)
    assert pipe.config["prior_class"] == 1
    assert pipe.domain.config["num_images"] == 60
    assert pipe.domain.config["reach"] > 0
    result = pipe(picture(), picture(36, 36, seed=1), settings=TINY_SETTINGS, generator=seeded())
    assert [(each.layer, each.num_codes) for each in result.hypotheses[0]] == [(4, 2)]
    assert "layer `relu1_1`" in (output / "README.md").read_text()


def test_the_reach_holds_95_of_100_of_the_priors_own_pictures(base, gan, tmp_path):
    from pipelines.commands.add_prior import sample

    add(base, gan, tmp_path / "out", "--samples", "100")
    pipe = OEFTPipeline.from_pretrained(tmp_path / "out")
    distances = [value for batch in sample(pipe, 100, seed=0) for value in pipe.domain.distance(pipe.backbone, batch)]
    assert sum(value > pipe.domain.config["reach"] for value in distances) == 5


def test_the_statistics_are_those_of_the_places(base, gan, tmp_path):
    data = photographs(tmp_path / "data")
    add(base, gan, tmp_path / "out", "--data", str(data), "--held-out", "0.25", "--samples", "2", "--tap", "relu2_1")
    pipe = OEFTPipeline.from_pretrained(tmp_path / "out")
    assert pipe.domain.config["num_images"] == 9
    assert pipe.domain.config["origin"] == "photographs"
    assert pipe.domain.config["tap"] == "relu2_1"
    from pipelines.commands.add_prior import photographs as read

    arguments = type("Arguments", (), {"data": [data], "held_out": 0.25, "split_seed": 0})
    with torch.no_grad():
        places = torch.cat([pipe.domain.places(pipe.backbone, batch) for batch in read(arguments, 32)]).flatten(0, 1)
    torch.testing.assert_close(pipe.domain.mean, places.double().mean(dim=0).float())
    torch.testing.assert_close(
        pipe.domain.covariance, places.double().T.cov(correction=0).float(), rtol=1e-4, atol=1e-6
    )


def test_half_precision_is_that_of_the_file(base, gan, tmp_path):
    add(base, gan, tmp_path / "out", "--samples", "2", "--half")
    half = (tmp_path / "out" / "prior" / "diffusion_pytorch_model.safetensors").stat().st_size
    full = (gan / "generator" / "diffusion_pytorch_model.safetensors").stat().st_size
    assert half < 0.6 * full


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samples", "1"], "--samples is 1; at least 2"),
        (["--tap", "relu9_9"], "relu9_9"),
        (["--prior-class", "5"], "`prior_class` is 5; the generator has the classes 0 to 1"),
        (["--refine-settings", '{"speed": 1}'], "'speed' is no setting of inversion"),
    ],
)
def test_bad_options_are_named_and_nothing_is_written(base, gan, tmp_path, capsys, options, message):
    assert add(base, gan, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_generator_is_refused(base, gan, tmp_path, capsys):
    assert add(base, tmp_path / "none", tmp_path / "out") == 2
    assert "holds no generator/config.json" in capsys.readouterr().err
    BigGANDiscriminator(**TINY_SIZES, num_classes=2).save_pretrained(tmp_path / "other" / "generator")
    assert add(base, tmp_path / "other", tmp_path / "out") == 2
    assert "holds a BigGANDiscriminator; accepted are BigGANGenerator" in capsys.readouterr().err
    config = json.loads((gan / "generator" / "config.json").read_text())
    (gan / "generator" / "config.json").write_text(json.dumps({**config, "latent_dim": 24}))
    assert add(base, gan, tmp_path / "out") == 2
    assert "--prior cannot be used" in capsys.readouterr().err
