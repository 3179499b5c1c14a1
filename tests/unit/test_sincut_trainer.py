import copy

import pytest
import torch
from accelerate import Accelerator

from pipelines.losses.gan import r1_penalty
from pipelines.sincut.trainer import PREVIEW_SIDE, PicturePair, small
from pipelines.training.loop import train
from tests.tiny import picture, seeded
from tests.unit.tiny_sincut import pair, tiny_trainer


def run(trainer, steps, generator=None):
    generator = generator or seeded(5)
    return [trainer.step({**pair(), "generator": generator}) for _ in range(steps)]


def weights(trainer):
    return torch.cat([value.flatten() for network in trainer.networks.values() for value in network.parameters()])


def test_weights_and_steps_come_from_the_generators_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, again, other = (tiny_trainer(seed) for seed in (1, 1, 2))
    assert run(first, 2) == run(again, 2)
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    assert torch.equal(before, torch.get_rng_state())


def test_weights_start_as_in_stylegan2():
    trainer = tiny_trainer(base_channels=32)
    convolution = trainer.generator.blocks[0].conv1
    assert convolution.weight.std().item() == pytest.approx(1, abs=0.05)
    assert not convolution.bias.any()
    assert not trainer.generator.up.noise_weight.any()
    assert 0 < trainer.sampler.mlps[1][0].weight.std() < 0.02


def test_every_network_learns_and_the_average_follows():
    trainer = tiny_trainer()
    before = {name: copy.deepcopy(network.state_dict()) for name, network in trainer.networks.items()}
    average = copy.deepcopy(trainer.result().state_dict())
    losses = run(trainer, 2)[-1]
    assert set(losses) == {"d_fake", "d_real", "r1", "g_gan", "nce", "nce_identity", "identity", "g"}
    assert trainer.steps_done == 2
    for name, network in trainer.networks.items():
        assert all(not torch.equal(value, before[name][key]) for key, value in network.state_dict().items()), name
    moved = [not torch.equal(value, average[key]) for key, value in trainer.result().state_dict().items()]
    assert all(moved)


def test_without_an_average_the_trained_generator_is_the_result():
    trainer = tiny_trainer(ema_decay=0)
    assert trainer.result() is trainer.generator


def test_the_generator_minimizes_the_weighted_sum():
    losses = run(tiny_trainer(lambda_gan=2, lambda_nce=3, lambda_identity=5), 1)[0]
    expected = 2 * losses["g_gan"] + 3 * (losses["nce"] + losses["nce_identity"]) / 2 + 5 * losses["identity"]
    assert losses["g"] == pytest.approx(expected, rel=1e-5)


def test_r1_is_taken_at_every_nth_step_and_counts_for_the_others():
    every, third = (tiny_trainer(r1_every=number, ema_decay=0) for number in (1, 3))
    real = torch.rand(3, 3, 16, 16, generator=seeded()) * 2 - 1
    images = real.clone().requires_grad_(True)
    penalty = r1_penalty(every.discriminator(images), images).item()
    batch = (real.flip(0), real)
    assert every.optimize(*batch, seeded())["r1"] == pytest.approx(penalty, rel=1e-4)
    found = [third.optimize(*batch, seeded())["r1"] for _ in range(4)]
    assert found[0] == pytest.approx(3 * penalty, rel=1e-4)
    assert found[1:3] == [0, 0]
    assert found[3] > 0


def test_the_discriminator_sees_crops_as_tiles():
    trainer = tiny_trainer(crop_size=32)
    crops = torch.rand(2, 3, 32, 32, generator=seeded())
    tiles = trainer._tiles(crops)
    assert tiles.shape == (8, 3, 16, 16)
    assert torch.equal(tiles[0], crops[0, :, :16, :16])
    assert torch.equal(tiles[1], crops[0, :, :16, 16:])
    assert torch.equal(tiles[6], crops[1, :, 16:, :16])
    assert run(trainer, 1)


def test_the_learning_rate_waits_for_the_length():
    trainer = tiny_trainer(num_steps=None, minutes=1, ema_decay=0)
    rates = []
    for length in (None, None, 4, 4):
        trainer.num_steps = length
        run(trainer, 1)
        rates.append(trainer.optimizers["generator"].param_groups[0]["lr"])
    assert rates == pytest.approx([0.002, 0.002, 0.002 * 2 / 3, 0.002 / 3])


def test_given_places_and_noise_decide_a_step():
    places = [[torch.tensor([3]), torch.tensor([2]), torch.tensor([1])]] * 2
    noise = torch.randn(6, 1, 16, 16, generator=seeded())
    real = torch.rand(3, 3, 16, 16, generator=seeded()) * 2 - 1
    first, again = (tiny_trainer().optimize(real, real.flip(0), None, places, noise) for _ in range(2))
    assert first == again


def test_bf16_agrees_with_fp32():
    plain, fast = (run(tiny_trainer(precision=name, base_channels=16), 1)[0] for name in ("fp32", "bf16"))
    assert plain != fast
    for name, value in plain.items():
        assert fast[name] == pytest.approx(value, rel=0.05, abs=0.02), name


def test_a_callers_modes_do_not_reach_in():
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        inside = run(tiny_trainer(), 2)
    assert inside == run(tiny_trainer(), 2)


def test_it_learns_to_leave_the_exemplar_alone():
    trainer = tiny_trainer(base_channels=8, num_steps=200, lambda_nce=0, lambda_gan=0)
    losses = run(trainer, 60)
    early, late = (sum(loss["identity"] for loss in part) / 5 for part in (losses[:5], losses[-5:]))
    assert late < 0.6 * early


def test_a_layer_that_the_generator_does_not_have_is_named():
    with pytest.raises(ValueError, match="`nce_layers` names 'block7'; the generator has input, conv, down, block1"):
        tiny_trainer(nce_layers=("block7",))


def test_four_steps_are_two_a_resume_and_two(tmp_path):
    accelerator = Accelerator(cpu=True)

    def train_to(steps, output):
        trainer = tiny_trainer(accelerator=accelerator, r1_every=2)
        data = PicturePair(*pair().values())
        train(trainer, data, accelerator, output=output, config={"x": 1}, steps=steps, seed=3, checkpoint_every=2)
        return trainer

    straight = train_to(4, tmp_path / "straight")
    train_to(2, tmp_path / "resumed")
    resumed = train_to(4, tmp_path / "resumed")
    assert torch.equal(weights(straight), weights(resumed))
    for one, other in zip(straight.ema.module.parameters(), resumed.ema.module.parameters(), strict=True):
        assert torch.equal(one, other)
    assert resumed.steps_done == 4


def test_the_preview_shows_the_whole_picture_small():
    assert small(picture(1000, 500)).shape == (1, 3, PREVIEW_SIDE // 2, PREVIEW_SIDE)
    assert small(picture(41, 27)).shape == (1, 3, 27, 41)
    assert tiny_trainer().preview({"a": picture(41, 27), "b": picture(30, 30)}).size == (82, 27)
