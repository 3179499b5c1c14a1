"""Training BigGAN."""

import math

import pytest
import torch
from accelerate import Accelerator

from pipelines.training.balanced import BalancedBatches
from pipelines.training.gan import BigGANTrainer
from tests.tiny import tiny_oeft
from tests.unit import tiny_deepi2i as tiny
from tests.unit.test_training_loop import same
from tests.unit.tiny_training import newest_state


def test_ten_steps_equal_five_and_resume_and_five(tmp_path):
    assert tiny.run(tiny.gan_trainer(), tmp_path / "whole", 10) == 10
    tiny.run(tiny.gan_trainer(), tmp_path / "parts", 5)
    torch.manual_seed(999)
    tiny.run(tiny.gan_trainer(), tmp_path / "parts", 10)
    assert same(newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts"))


def test_the_class_embedding_has_a_learning_rate_of_its_own():
    trainer = tiny.gan_trainer(lr_generator=2e-4, embedding_rate=5.0)
    others, embedding = trainer.optimizers["generator"].param_groups
    assert embedding["params"] == [trainer.generator.embedding.weight]
    assert (others["lr"], embedding["lr"]) == (2e-4, pytest.approx(1e-3))
    assert len(others["params"]) == len(list(trainer.generator.parameters())) - 1
    assert len(tiny.gan_trainer().optimizers["generator"].param_groups) == 1
    before = trainer.generator.embedding.weight.detach().clone()
    plain = tiny.gan_trainer(lr_generator=2e-4)
    for each in (trainer, plain):
        each.step(tiny.batch())
    ways = [(each.generator.embedding.weight - before).abs().max() for each in (trainer, plain)]
    assert ways[0] > 3 * ways[1]


def test_with_that_rate_too_a_resumed_run_is_a_whole_one(tmp_path):
    tiny.run(tiny.gan_trainer(embedding_rate=5.0), tmp_path / "whole", 10)
    tiny.run(tiny.gan_trainer(embedding_rate=5.0), tmp_path / "parts", 5)
    tiny.run(tiny.gan_trainer(embedding_rate=5.0), tmp_path / "parts", 10)
    assert same(newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts"))


def test_a_rate_of_zero_is_refused():
    with pytest.raises(ValueError, match="embedding_rate is 0; it must be above 0"):
        tiny.gan_config(embedding_rate=0.0)


def test_it_learns_which_class_is_dark_and_which_is_light():
    config = tiny.gan_config(augmentation=("none",), batch_size=16, lr_generator=2e-3, lr_discriminator=4e-3)
    trainer = BigGANTrainer(config, 2, Accelerator(cpu=True))
    labels = torch.arange(16) % 2
    images = (labels * 200 + 20).to(torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32)
    for step in range(60):
        trainer.step({"image": images, "label": labels, "generator": torch.Generator().manual_seed(step)})
    generator = trainer.result()
    latent = torch.randn(8, config.latent_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        dark, light = (generator(latent, generator.embedding(torch.full((8,), label))).mean() for label in (0, 1))
    assert light - dark > 0.3


def test_both_networks_move_and_the_average_follows():
    trainer = tiny.gan_trainer()
    before = {name: [p.clone() for p in network.parameters()] for name, network in trainer.networks.items()}
    trainer.step(tiny.batch())
    for name, network in trainer.networks.items():
        assert any(not torch.equal(p, q) for p, q in zip(network.parameters(), before[name], strict=True)), name
    followed = torch.cat([p.flatten() for p in trainer.ema.module.parameters()])
    start = torch.cat([p.flatten() for p in before["generator"]])
    now = torch.cat([p.flatten() for p in trainer.generator.parameters()])
    assert 0 < (followed - start).norm() < (now - start).norm()


def feature_trainer(**config):
    with torch.random.fork_rng():
        backbone = tiny_oeft().backbone
    return BigGANTrainer(tiny.gan_config(**config), 3, Accelerator(cpu=True), backbone=backbone)


def test_the_backbones_features_get_discriminators_and_the_backbone_stays():
    trainer = feature_trainer()
    judge = trainer.networks["feature_discriminator"]
    backbone = judge._backbone[0]
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    heads = [parameter.clone() for parameter in judge.parameters()]
    losses = trainer.step(tiny.batch())
    assert set(judge.heads) == {"relu1_1", "relu2_1"}
    assert all(math.isfinite(value) for value in losses.values())
    assert any(not torch.equal(p, q) for p, q in zip(judge.parameters(), heads, strict=True))
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict().items())
    assert not any("backbone" in name for name in judge.state_dict())
    assert [logits.shape for logits in judge(torch.zeros(2, 3, 32, 32))] == [(2, 1, 4, 4)] * 2


def test_features_of_any_size_are_brought_to_one_by_the_first_batch_alone():
    trainer = feature_trainer()
    judge = trainer.networks["feature_discriminator"]
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    judge(images)
    scale = judge.scale.clone()
    assert (scale > 0).all()
    judge(images * 0.1)
    assert torch.equal(judge.scale, scale)


def test_with_a_backbone_too_a_resumed_run_is_a_whole_one(tmp_path):
    tiny.run(feature_trainer(), tmp_path / "whole", 4)
    tiny.run(feature_trainer(), tmp_path / "parts", 2)
    tiny.run(feature_trainer(), tmp_path / "parts", 4)
    assert same(newest_state(tmp_path / "whole"), newest_state(tmp_path / "parts"))


def test_in_the_warm_up_only_discriminators_move():
    trainer = feature_trainer(discriminator_warmup=2)
    generator = [parameter.clone() for parameter in trainer.generator.parameters()]
    discriminator = [parameter.clone() for parameter in trainer.discriminator.parameters()]

    def stays(network, before):
        return all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))

    for seed in range(2):
        trainer.step(tiny.batch(seed))
        assert stays(trainer.generator, generator)
    assert not stays(trainer.discriminator, discriminator)
    trainer.step(tiny.batch(2))
    assert not stays(trainer.generator, generator)


def test_a_run_draws_from_its_own_generators_only():
    before = torch.get_rng_state()
    trainer = tiny.gan_trainer()
    trainer.step(tiny.batch())
    trainer.result()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_result_has_statistics_of_its_own_weights():
    trainer = tiny.gan_trainer(ema_decay=0.9)
    for seed in range(3):
        trainer.step(tiny.batch(seed))
    result, followed = trainer.result(), trainer.ema.module
    assert not result.training
    latent = torch.randn(256, 8, generator=torch.Generator().manual_seed(9))
    embedding = result.embedding(torch.arange(256) % 3)
    with torch.no_grad():
        hidden, conditions = result.start(latent, embedding)
        true = result.run(hidden, conditions).mean(dim=(0, 2, 3))
    own, others = ((each.head_norm.running_mean - true).norm() for each in (result, followed))
    assert own < 0.5 * others


def test_balanced_batches_take_every_class_equally_and_every_picture_once():
    found = tiny.pictures(12)
    labels = torch.tensor([0] * 8 + [1] * 3 + [2])
    data = BalancedBatches(type(found)(found.images, labels, ()), 6, seed=1)
    drawn = torch.cat([data.stream.take(6) for _ in range(8)])
    assert labels[drawn].bincount().tolist() == [16, 16, 16]
    first = [index for index in drawn.tolist() if labels[index] == 0][:8]
    assert sorted(first) == list(range(8))
    state = data.state_dict()
    expected = data.next_batch()
    other = BalancedBatches(type(found)(found.images, labels, ()), 6, seed=1)
    other.load_state_dict(state)
    assert torch.equal(other.next_batch()["image"], expected["image"])


def test_two_processes_share_a_balanced_batch():
    whole = BalancedBatches(tiny.pictures(), 4, 7).next_batch()["image"]
    parts = [BalancedBatches(tiny.pictures(), 4, 7, rank, 2).next_batch()["image"] for rank in range(2)]
    assert torch.equal(whole[0::2], parts[0])
    assert torch.equal(whole[1::2], parts[1])
