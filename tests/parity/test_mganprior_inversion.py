"""Multi-code inversion against numbers that mganprior's code produced."""

import pytest
import torch
from safetensors.torch import load_file

from pipelines.conversion.pggan import convert_generator
from pipelines.conversion.reader import read_state_dict
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft.degradations import area_to, masked, to_gray
from pipelines.oeft.distance import InversionDistance
from pipelines.oeft.inversion import Code, Inversion, compose
from pipelines.oeft.inversion_settings import InversionSettings
from pipelines.oeft.priors import PGGANPrior
from tests.parity.fixtures import read_fixture

TAP = "relu3_3"  # torchvision's features[:16] of VGG-16
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}
RUNS = {"GD": ("sgd", 1.0), "GDlr30": ("sgd", 30.0), "Adam": ("adam", 0.01)}


@pytest.fixture(scope="module")
def fixture():
    return read_fixture("mganprior_pggan")


@pytest.fixture(scope="module")
def images(fixture):
    parts = (load_file(fixture.folder / f"images_{part}.safetensors") for part in "abc")
    return {name: value for part in parts for name, value in part.items()}


@pytest.fixture(scope="module")
def prior(fixture):
    path = fixture.folder / fixture.meta["checkpoint_files"]["generator"]
    generator = convert_generator(read_state_dict(path), path.name)
    return PGGANPrior(generator.eval().requires_grad_(False))


@pytest.fixture(scope="module")
def vgg(fixture):
    state = read_state_dict(fixture.folder / fixture.meta["checkpoint_files"]["vgg"])
    widths = [tensor.shape[0] for name, tensor in state.items() if name.endswith("weight")]
    network = VGGBackbone(blocks=(tuple(widths[:2]), tuple(widths[2:4]), tuple(widths[4:7])), taps=(TAP,))
    state = {name if name.startswith("features.") else f"features.{name}": value for name, value in state.items()}
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def distance(vgg, target, degrade=lambda image: image, weight=0.001):
    return InversionDistance(vgg, degrade(target), degrade, tap=TAP, weight=weight, size=256, precision=torch.float32)


def code(fixture, importance):
    codes = fixture.tensors["z0"][0].clone().requires_grad_()
    return Code(6, codes, fixture.tensors[importance][0].clone().requires_grad_(), codes[:1].detach())


@torch.no_grad()
def test_composition_at_the_first_codes(fixture, images, prior):
    picture = compose(prior, [code(fixture, "alpha0")], divide_by_codes=True)
    torch.testing.assert_close(picture, images["composed_init"], **TOLERANCE)
    picture = compose(prior, [code(fixture, "alpha_rand")], divide_by_codes=True)
    torch.testing.assert_close(picture, images["composed_rand"], **TOLERANCE)


@torch.no_grad()
def test_losses_of_the_tasks(fixture, images, vgg):
    recorded = fixture.meta["losses_of_composed_rand_vs_target"]
    picture, target, mask = images["composed_rand"], images["target"], images["mask"]
    assert distance(vgg, target)(picture).item() == pytest.approx(recorded["combine"], rel=1e-4)
    assert distance(vgg, target, weight=0)(picture).item() == pytest.approx(recorded["l2"], rel=1e-4)
    assert distance(vgg, target, to_gray)(picture).item() == pytest.approx(recorded["color"], rel=1e-4)
    known = masked(mask)
    assert distance(vgg, target, known)(picture).item() == pytest.approx(recorded["inpaint_masked"], rel=1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_three_steps_of_the_optimizers(fixture, images, prior, vgg, name):
    optimizer, rate = RUNS[name]
    # Gradients differ by rounding, and a step is as many times larger as the rate.
    tolerance = {"rtol": 1e-4, "atol": 1e-4 if rate <= 1 else 1e-3}
    settings = InversionSettings.preset(
        "paper", hypotheses=((6, 4),), num_steps=3, optimizer=optimizer, learning_rate=rate
    )
    inversion = Inversion(prior, distance(vgg, images["target"]), settings, torch.Generator())
    (hypothesis,) = inversion.hypotheses
    with torch.no_grad():
        hypothesis.codes.copy_(fixture.tensors["z0"][0])
    torch.testing.assert_close(hypothesis.importance.detach(), fixture.tensors["alpha0"][0])
    for step, loss in enumerate(fixture.meta["inversion_runs"][name]["losses"], 1):
        assert inversion.step().losses[0] == pytest.approx(loss, rel=1e-4)
        torch.testing.assert_close(hypothesis.codes.detach(), fixture.tensors[f"{name}_it{step}_z"][0], **tolerance)
        expected = fixture.tensors[f"{name}_it{step}_alpha"][0]
        torch.testing.assert_close(hypothesis.importance.detach(), expected, **tolerance)
    with torch.no_grad():
        picture = compose(prior, [hypothesis], divide_by_codes=True)
    # Rounding that differs in the first step has grown by the third.
    torch.testing.assert_close(picture, images[f"{name}_final_image"], rtol=1e-4, atol=1e-3)


def test_areas_are_what_super_resolution_compares():
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = image.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-2, -1))
    torch.testing.assert_close(area_to((2, 2))(image), expected)
