"""One training iteration of each phase, against the authors'."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from pipelines.conversion.biggan import convert_discriminator, convert_generator
from pipelines.conversion.reader import read_state_dict
from pipelines.deepi2i.convert import convert_adaptor, convert_encoder
from pipelines.deepi2i.trainer import DeepI2ITrainer, Draw
from pipelines.deepi2i.training_config import DeepI2IConfig
from pipelines.deepi2i.transfer import DeepI2INetworks
from pipelines.training.datasets import ImageSet
from pipelines.training.diff_augment import DiffAugment
from tests.parity.fixtures import read_fixture

WEIGHTS = "result/animals/weights/DeepI2I_animals"
CONVERSIONS = {
    "generator": ("G", convert_generator),
    "discriminator": ("D", convert_discriminator),
    "encoder": ("E1", convert_encoder),
    "adaptor": ("A1", convert_adaptor),
}
UNCHANGED = DiffAugment(None, None, None, None)


@pytest.fixture(scope="module")
def fixture():
    found = read_fixture("deepi2i_biggan")
    return SimpleNamespace(
        folder=found.folder,
        meta=found.meta,
        tensors=found.tensors,
        images=load_file(found.folder / "images.safetensors"),
    )


def read(fixture, state=lambda name, values: values):
    """The four networks; `state` may change what a file holds before it is converted."""
    networks = {}
    for name, (letter, convert) in CONVERSIONS.items():
        values = state(letter, read_state_dict(fixture.folder / WEIGHTS / f"{letter}.pth"))
        networks[name] = convert(values, letter)
    return networks


def draw(fixture, chunk, number):
    one = slice(chunk, chunk + 1)
    tensors, latent = fixture.tensors, slice(number, number + 1)
    return Draw(
        fixture.images["x_all"][one],
        tensors["y"][one].long(),
        fixture.images["t_x_all"][one],
        tensors["gy"][latent].long(),
        tensors["z"][latent],
        UNCHANGED,
        UNCHANGED,
    )


@pytest.fixture(scope="module")
def iterations(fixture):
    """By phase: the authors' record, our losses, and what our networks hold afterwards; phase 2 follows phase 1."""
    config = DeepI2IConfig(
        batch_size=2,
        accumulate=2,
        squared_reconstruction=True,
        freeze_statistics=False,
        adaptor_steps=1,
        precision="fp32",
    )
    networks = DeepI2INetworks(**read(fixture))
    nothing = ImageSet(torch.zeros(1, 3, 128, 128, dtype=torch.uint8), torch.zeros(1), ())
    trainer = DeepI2ITrainer(config, networks, nothing, Accelerator(cpu=True))
    found = {}
    for record in fixture.meta["training_iterations"]:
        order, chunks = record["z_order"], record["x_index"]
        draws = [draw(fixture, chunk, number) for chunk, number in zip(chunks * 2, order, strict=True)]
        losses = trainer.optimize(draws[:2], draws[2:])
        trainer.steps_done += 1
        states = {
            name: {key: value.clone() for key, value in network.state_dict().items()}
            for name, network in trainer.networks.items()
        }
        found[record["stage"]] = SimpleNamespace(phase=record["stage"], record=record, losses=losses, states=states)
    return found


@pytest.fixture(params=[1, 2])
def iteration(iterations, request):
    return iterations[request.param]


def test_losses(iteration):
    chunks = iteration.record["logits_per_chunk"]
    fake = [chunk["D_fake"][0] for chunk in chunks[:2]]
    real = [chunk["D_real"][0] for chunk in chunks[:2]]
    adversarial = [-chunk["G_fake"][0] for chunk in chunks[2:]]
    total = [chunk["G_total_before_division"] for chunk in chunks[2:]]
    wanted = {
        "d_fake": sum(max(0, 1 + logit) for logit in fake) / 2,
        "d_real": sum(max(0, 1 - logit) for logit in real) / 2,
        "adversarial": sum(adversarial) / 2,
        "reconstruction": (sum(total) - sum(adversarial)) / 2,
    }
    for name, value in wanted.items():
        assert iteration.losses[name] == pytest.approx(value, rel=1e-3, abs=2e-4), name


def test_weights_and_statistics_after_the_step(fixture, iteration):
    prefix = f"stage{iteration.phase}_after_"
    after = {key.removeprefix(prefix): value for key, value in fixture.tensors.items() if key.startswith(prefix)}

    def stepped(letter, values):
        changed = {key: after.get(f"{letter}.{key}", value) for key, value in values.items()}
        assert any(f"{letter}.{key}" in after for key in values)
        return changed

    tolerance = fixture.meta["tolerance"]["after_step"]
    checked = 0
    for name, network in read(fixture, stepped).items():
        found = iteration.states[name]
        recorded = {key for key, value in network.state_dict().items() if found[key].shape == value.shape}
        letter = CONVERSIONS[name][0]
        untouched = read(fixture)[name].state_dict() if name in ("encoder", "generator") else {}
        for key in recorded:
            wanted = network.state_dict()[key]
            if key in untouched and torch.equal(wanted, untouched[key]) and not torch.equal(found[key], wanted):
                continue  # not among the tensors that were recorded
            bound = tolerance["u0_atol"] if key.endswith(".u") else tolerance["atol"]
            difference = (found[key] - wanted).abs()
            allowed = bound + 1e-3 * wanted.abs()
            if f"{letter}.{key}" in after or key.endswith((".u", "running_mean", "running_var")):
                assert (difference <= allowed).float().mean() > 0.99, f"{letter} {key}"
                checked += 1
    assert checked > 40
