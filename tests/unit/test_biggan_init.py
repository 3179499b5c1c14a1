"""Training BigGAN that begins from a trained one: its weights, its classes, its growth."""

import json

import pytest
import torch
from accelerate import Accelerator

from pipelines.__main__ import main
from pipelines.training.checkpoint import TrainingError
from pipelines.training.gan import BigGANTrainer, initial_networks
from pipelines.training.pretrained_gan import begin, random_gan, read_gan, sizes_of
from tests.unit import tiny_deepi2i as tiny
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state

SIZES = [
    *("--resolution", "64", "--base-channels", "4", "--discriminator-channels", "4"),
    *("--max-channels", "16", "--latent-dim", "10", "--embedding-dim", "4"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_folders(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module", params=["fp32", "half"])
def gan(request, data, tmp_path_factory):
    output = tmp_path_factory.mktemp("gan")
    half = ["--half"] if request.param == "half" else []
    assert train(data, output, *SIZES, *half, steps=2) == 0
    return output / "gan"


def train(data, output, *words, steps):
    short = ["--batch-size", 4, "--precision", "fp32", "--steps", steps]
    return main([str(word) for word in ("train", "biggan", "--data", data, "--output", output, *words, *short)])


def known_gan(names=tiny.NAMES, **changes):
    config = tiny.gan_config(seed=1, **changes)
    found = initial_networks(config, len(names))
    found.class_names = list(names)
    return found


def begun(source, names=tiny.NAMES, **changes):
    target = initial_networks(tiny.gan_config(**changes), len(names))
    return target, begin(source, target, names)


def picture_of(gan, name, names):
    generator = gan.generator.eval()
    latent = torch.randn(2, generator.config["latent_dim"], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return generator(latent, generator.embedding(torch.full((2,), names.index(name))))


def logits(gan, label):
    images = tiny.as_floats(2)
    with torch.no_grad():
        return gan.discriminator.eval()(images, torch.full((2,), label))


def test_before_the_first_step_it_is_the_given_gan():
    source = known_gan()
    target, note = begun(source)
    trainer = BigGANTrainer(tiny.gan_config(), 3, Accelerator(cpu=True), target)
    for generator in (trainer.generator, trainer.ema.module):
        assert same(generator.state_dict(), source.generator.state_dict())
    assert torch.equal(picture_of(target, "lemon", tiny.NAMES), picture_of(source, "lemon", tiny.NAMES))
    torch.testing.assert_close(logits(target, 1), logits(source, 1), rtol=1e-3, atol=1e-5)
    assert not any(optimizer.state for optimizer in trainer.optimizers.values())
    count = len(source.generator.state_dict())
    assert note.startswith(f"{count} of {count} tensors of the generator")
    assert "3 of 3 classes keep the pretrained GAN's embedding" in note


def test_classes_are_kept_by_name_reused_and_new():
    source, names = known_gan(), ["plum", "quince", "fig", "date", "apple"]
    target, note = begun(source, names)
    for name in ("plum", "apple"):
        assert torch.equal(picture_of(target, name, names), picture_of(source, name, tiny.NAMES))
        torch.testing.assert_close(
            target.discriminator.embedding.weight[names.index(name)],
            source.discriminator.embedding.weight[tiny.NAMES.index(name)],
        )
    assert torch.equal(picture_of(target, "quince", names), picture_of(source, "lemon", tiny.NAMES))
    torch.testing.assert_close(target.generator.embedding.weight[3], source.generator.embedding.weight.mean(dim=0))
    assert "2 of 5 classes keep the pretrained GAN's embedding of the same name, 1 begin from that of" in note
    assert "2 from the mean of all; 0 of its 3 are dropped" in note


def test_classes_are_dropped():
    source = known_gan()
    target, note = begun(source, ["plum"])
    assert target.generator.config["num_classes"] == len(target.discriminator.embedding.weight) == 1
    assert torch.equal(picture_of(target, "plum", ["plum"]), picture_of(source, "plum", tiny.NAMES))
    assert "2 of its 3 are dropped" in note


def test_it_grows():
    source = known_gan(resolution=64, latent_dim=10)
    sizes = sizes_of(source, 128)
    assert (sizes["resolution"], sizes["latent_dim"]) == (128, 12)
    target = initial_networks(tiny.gan_config(**sizes), 3)
    fresh = initial_networks(tiny.gan_config(**sizes), 3)
    note = begin(source, target, tiny.NAMES)
    latent = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))
    row = source.generator.embedding(torch.tensor([1, 2]))
    with torch.no_grad():
        small, large = (gan.generator.eval() for gan in (source, target))
        before = small.run(*small.start(latent[:, :10], row))
        assert torch.equal(large.run(*large.start(latent, row), stop=64), before)
    for part in ("blocks.4", "head", "head_norm"):
        made, drawn = (gan.generator.get_submodule(part).state_dict() for gan in (target, fresh))
        assert same(made, drawn), part
    features = {side: torch.randn(2, 16, side, side, generator=torch.Generator().manual_seed(1)) for side in (8, 4)}
    for side, (mine, theirs) in {8: (4, 3), 4: (5, 4)}.items():  # 16 channels at both in either network
        with torch.no_grad():
            expected = source.discriminator.eval().trunk.blocks[theirs](features[side])
            assert torch.equal(target.discriminator.eval().trunk.blocks[mine](features[side]), expected)
    for index in range(4):  # twice as many channels as at the same resolution before, or another number coming in
        assert same(
            target.discriminator.trunk.blocks[index].state_dict(), fresh.discriminator.trunk.blocks[index].state_dict()
        )
    kept = len([name for name in source.generator.state_dict() if not name.startswith("head")])
    assert note.startswith(f"{kept} of {len(target.generator.state_dict())} tensors of the generator and ")
    assert "grown from 64 to 128 px; the others are new" in note


def test_what_cannot_grow():
    source = known_gan(max_channels=64)
    target = random_gan(tiny.gan_config(resolution=64, latent_dim=10, max_channels=64), 3)
    with pytest.raises(TrainingError, match="cannot grow from 32 to 64 px: it has 32 channels at 8 px, .* has 64"):
        begin(source, target, tiny.NAMES)


def test_parts_of_two_gans_are_refused():
    source = known_gan()
    source.discriminator = known_gan(attention_resolution=8).discriminator
    with pytest.raises(TrainingError, match="generator has attention_resolution 16, the discriminator 8"):
        sizes_of(source)


def test_a_gan_without_a_limit_of_channels():
    source = known_gan()
    for network in (source.generator, source.discriminator):
        network.register_to_config(max_channels=None)
    assert sizes_of(source)["max_channels"] == 64


def test_the_command_takes_all_sizes_from_the_given_gan_and_goes_on_exactly(data, gan, tmp_path, capsys):
    assert train(data, tmp_path / "whole", "--init", gan, steps=3) == 0
    assert "3 of 3 classes keep" in capsys.readouterr().out
    made, given = read_gan(tmp_path / "whole" / "gan"), read_gan(gan)
    assert dict(made.generator.config)["base_channels"] == given.generator.config["base_channels"] == 4
    assert made.generator.config["latent_dim"] == 10
    assert made.generator.embedding.weight.dtype == torch.float32
    assert json.loads((tmp_path / "whole" / "training.json").read_text())["init"] == "gan"

    assert train(data, tmp_path / "parts", "--init", gan, steps=1) == 0
    capsys.readouterr()
    assert train(data, tmp_path / "parts", "--init", gan, steps=3) == 0
    assert "classes keep" not in capsys.readouterr().out
    whole, parts = newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts")
    assert same([whole["trainer"], whole["data"]], [parts["trainer"], parts["data"]])
    assert train(data, tmp_path / "parts", *SIZES, steps=3) == 1
    assert "was trained with init = 'gan', this run asks for None" in capsys.readouterr().err


def test_the_command_lets_it_grow(data, gan, tmp_path, capsys):
    assert train(data, tmp_path, "--init", gan, "--resolution", 128, steps=1) == 0
    assert "grown from 64 to 128 px" in capsys.readouterr().out
    made = read_gan(tmp_path / "gan").generator.config
    assert (made["resolution"], made["latent_dim"], made["embedding_dim"]) == (128, 12, 4)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--base-channels", 8], 2, "--base-channels is 8, but --init makes it 4."),
        (["--resolution", 32], 2, "--resolution is 32, but --init makes it 64; only a higher resolution is accepted."),
        (["--resolution", 128, "--latent-dim", 10], 2, "--latent-dim is 10, but --init makes it 12."),
        (["--init", "nowhere"], 1, "nowhere is no GAN (generator, discriminator, classes.json)"),
    ],
)
def test_what_contradicts_is_refused(data, gan, tmp_path, capsys, words, code, sentence):
    assert train(data, tmp_path / "run", "--init", gan, *words, steps=1) == code
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
