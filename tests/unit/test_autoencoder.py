"""Training BigGAN's generator as the decoder of a variational autoencoder."""

import json

import pytest
import torch
from accelerate import Accelerator

from pipelines.__main__ import main
from pipelines.networks.vgg import VGGBackbone
from pipelines.training.autoencoder import AutoencoderTrainer, Encoder, kl_divergence, taps_of
from pipelines.training.autoencoder_config import AutoencoderConfig, learning_rate_factor
from pipelines.training.pretrained_gan import read_gan
from tests.tiny import tiny_cut, tiny_oeft
from tests.unit import tiny_deepi2i as tiny
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state

SIZES = [
    *("--resolution", "64", "--base-channels", "4", "--discriminator-channels", "4", "--encoder-channels", "4"),
    *("--max-channels", "16", "--latent-dim", "10", "--embedding-dim", "4"),
]


def tiny_backbone():
    with torch.random.fork_rng():
        return tiny_oeft().backbone


def trainer_of(backbone=None, num_classes=3, **changes):
    config = AutoencoderConfig(
        **{**tiny.SIZES, "encoder_channels": 4, "batch_size": 4, "precision": "fp32", "steps": 10, **changes}
    )
    return AutoencoderTrainer(config, num_classes, Accelerator(cpu=True), backbone or tiny_backbone())


def light_and_dark(step):
    """Pictures of two classes: one shade each, a little of noise."""
    source = torch.Generator().manual_seed(step)
    labels = torch.arange(16) % 2
    images = labels[:, None, None, None] * 160 + torch.randint(20, 60, (16, 3, 32, 32), generator=source)
    return {"image": images.to(torch.uint8), "label": labels, "generator": source}


def test_ten_steps_equal_five_and_resume_and_five(tmp_path):
    assert tiny.run(trainer_of(), tmp_path / "whole", 10) == 10
    tiny.run(trainer_of(), tmp_path / "parts", 5)
    torch.manual_seed(999)
    tiny.run(trainer_of(), tmp_path / "parts", 10)
    assert same(newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts"))


def test_it_learns_and_its_draws_depend_on_the_class():
    trainer = trainer_of(num_classes=2, steps=80, warmup_steps=5, lr=5e-3, batch_size=16, kl_weight=0.1)
    losses = [trainer.step(light_and_dark(step)) for step in range(80)]
    for name in ("l1", "features"):
        first, last = (sum(loss[name] for loss in part) for part in (losses[:10], losses[-10:]))
        assert last < 0.5 * first, name
    generator = trainer.result()
    latent = torch.randn(8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        dark, light = (generator(latent, generator.embedding(torch.full((8,), label))) for label in (0, 1))
    assert light.mean() - dark.mean() > 0.5
    assert max(dark.abs().max(), light.abs().max()) <= 1


def test_the_backbone_stays_as_it_is_and_the_others_move():
    backbone = tiny_oeft().backbone.train().requires_grad_(True)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    trainer = trainer_of(backbone)
    start = {name: [p.clone() for p in network.parameters()] for name, network in trainer.networks.items()}
    trainer.step(tiny.batch())
    assert same(trainer.backbone.state_dict(), before)
    assert same(backbone.state_dict(), before)
    assert backbone.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in backbone.parameters())
    for name, network in trainer.networks.items():
        assert any(not torch.equal(p, q) for p, q in zip(network.parameters(), start[name], strict=True)), name


def test_a_run_draws_from_its_own_generators_only_and_a_preview_changes_nothing():
    random = torch.get_rng_state()
    trainer = trainer_of()
    trainer.step(tiny.batch())
    before = {name: value.clone() for name, value in trainer.encoder.state_dict().items()}
    assert trainer.preview(tiny.batch()).size == (4 * 32, 5 * 32)
    assert same(trainer.encoder.state_dict(), before)
    assert trainer.encoder.training
    assert torch.equal(torch.get_rng_state(), random)


def test_the_divergence_is_that_of_normal_distributions():
    mean, log_variance = (torch.randn(3, 5, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0, 1)).sum(dim=1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_the_encoder_limits_its_log_variance():
    encoder = Encoder(64, 4, 16, 10)
    assert [layer.out_channels for layer in encoder.features if isinstance(layer, torch.nn.Conv2d)] == [
        4,
        8,
        16,
        16,
        16,
    ]
    mean, log_variance = encoder(1e6 * torch.randn(2, 3, 64, 64))
    assert mean.shape == log_variance.shape == (2, 10)
    torch.nn.init.constant_(encoder.moments.bias, 100)
    assert encoder(torch.zeros(2, 3, 64, 64))[1].tolist() == [[4.0] * 10] * 2


def test_the_learning_rate_warms_up_and_falls_to_a_twentieth():
    factors = [learning_rate_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == 0.1
    assert factors[50] == 0.5
    assert factors[99] == 0.05
    assert learning_rate_factor(0, 100, 0) == 1


def test_shallow_taps_leave_the_deepest_block_out():
    backbone = VGGBackbone(blocks=((4, 4), (8,), (8, 8)), taps=("relu1_1",))
    assert taps_of(backbone, ("shallow",)) == ("relu1_2", "relu2_1")
    assert taps_of(backbone, ("relu3_1",)) == ("relu3_1",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kl_weight": -1.0}, "kl_weight is -1; it must be at least 0"),
        ({"feature_weight": float("nan")}, "feature_weight is nan; it must be at least 0"),
        ({"lr": 0.0}, "lr is 0; it must be above 0"),
        ({"encoder_channels": 0}, "encoder_channels is 0; it must be at least 1"),
        ({"latent_dim": 9}, "latent_dim is 9; at 32 pixels it must be a multiple of 4"),
        ({"precision": "fp8"}, "precision is 'fp8'; it must be bf16 or fp32"),
    ],
)
def test_values_out_of_range_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        trainer_of(**changes)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny.write_folders(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny-oeft"
    tiny_oeft().save_pretrained(folder)
    return folder


def train(kind, data, output, *words, steps=2):
    short = ["--batch-size", 4, "--precision", "fp32", "--steps", steps]
    return main([str(word) for word in ("train", kind, "--data", data, "--output", output, *words, *short)])


@pytest.fixture(scope="module")
def run(data, backbone, tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    assert train("autoencoder", data, output, "--backbone", backbone, *SIZES) == 0
    return output


def test_a_gan_begins_from_what_the_command_writes(data, run, tmp_path):
    written = read_gan(run / "gan")
    assert written.class_names == tiny.NAMES
    assert written.discriminator.config["base_channels"] == 4
    record = json.loads((run / "training.json").read_text())
    assert (record["backbone"], record["init"], record["steps"]) == ("tiny-oeft", None, 2)
    assert set(newest_state(run)["trainer"]["networks"]) == {"generator", "encoder"}
    latent = torch.randn(2, 10, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn = written.generator.eval()(latent, written.generator.embedding(torch.tensor([0, 1])))
    assert drawn.shape == (2, 3, 64, 64)
    assert drawn.abs().max() <= 1
    assert train("biggan", data, tmp_path, "--init", run / "gan", steps=1) == 0
    assert read_gan(tmp_path / "gan").generator.config["base_channels"] == 4


def test_it_begins_from_a_gan_and_lets_it_grow(data, backbone, run, tmp_path, capsys):
    words = ["--backbone", backbone, "--init", run / "gan", "--encoder-channels", 4, "--resolution", 128]
    assert train("autoencoder", data, tmp_path, *words, steps=1) == 0
    assert "grown from 64 to 128 px" in capsys.readouterr().out
    made = read_gan(tmp_path / "gan").generator.config
    assert (made["resolution"], made["latent_dim"], made["base_channels"]) == (128, 12, 4)


def test_another_length_is_another_schedule(data, backbone, run, capsys):
    assert train("autoencoder", data, run, "--backbone", backbone, *SIZES, steps=3) == 1
    assert "was trained with steps = 2, this run asks for 3" in capsys.readouterr().err


def test_what_the_command_refuses(data, backbone, run, tmp_path, capsys):
    tiny_cut().save_pretrained(tmp_path / "cut")
    cases = [
        (["--backbone", tmp_path / "cut"], "is a CUTPipeline; an OEFTPipeline is needed."),
        (
            ["--backbone", backbone, "--feature-taps", "relu9_1"],
            "feature_taps names 'relu9_1'; this backbone has relu1",
        ),
        (["--init", run / "gan", "--base-channels", 8], "--base-channels is 8, but --init makes it 4."),
        (["--warmup-steps", -1], "warmup_steps is -1; it must be at least 0"),
    ]
    for words, sentence in cases:
        assert train("autoencoder", data, tmp_path / "out", *words) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
