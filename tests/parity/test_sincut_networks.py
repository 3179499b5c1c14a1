"""SinCUT's networks and training steps against the recorded ones of the authors' code."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from pipelines.sincut.convert import convert_generator
from pipelines.sincut.networks import NCE_LAYERS, SinCUTDiscriminator, SinCUTGenerator
from pipelines.sincut.settings import SinCUTSettings
from pipelines.sincut.trainer import SinCUTTrainer
from tests.parity.fixtures import Fixture, read_fixture, read_key_list

LAYERS = dict(zip(("0", "2", "4"), NCE_LAYERS, strict=True))
NETWORKS = {"G": "generator", "D": "discriminator", "F": "sampler"}


@pytest.fixture(scope="module", params=["sincut_stylegan2", "sincut_smallstylegan2"])
def recorded(request) -> Fixture:
    return read_fixture(request.param)


def authors_state(recorded: Fixture, letter: str) -> dict[str, Tensor]:
    return torch.load(recorded.folder / "before" / f"latest_net_{letter}.pth", weights_only=True)


def generator_of(recorded: Fixture) -> SinCUTGenerator:
    return convert_generator(authors_state(recorded, "G"))


def layers_of(recorded: Fixture) -> dict[str, str]:
    """The compared layers by the authors' number: their small encoder ends in front of layer 4."""
    return {number: name for number, name in LAYERS.items() if f"feat_A_layer{number}" in recorded.tensors}


def weights_in(names: Iterable[str], network: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters by the authors' names: both stand in the same order; filters and unused noise are left out."""
    parameters = dict(network.named_parameters())
    left_out = "kernel" if "up.noise_weight" in parameters else ("kernel", "noise.weight")
    theirs = [name for name in names if not name.endswith(left_out)]
    return dict(zip(theirs, parameters.values(), strict=True))


@torch.no_grad()
def load(network: nn.Module, state: dict[str, Tensor]) -> None:
    for name, parameter in weights_in(state, network).items():
        parameter.copy_(state[name].reshape(parameter.shape))


def assert_close(found: Tensor, wanted: Tensor):
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize(("name", "num_blocks"), [("stylegan2", 6), ("smallstylegan2", 2)])
def test_parameters_of_the_full_size(name, num_blocks):
    generator = SinCUTGenerator(num_blocks=num_blocks, inject_noise=num_blocks == 6)
    for letter, network in (("g", generator), ("d", SinCUTDiscriminator())):
        listed = read_key_list(f"sincut_{name}_{letter}")
        wanted = {key: shape for key, shape, _ in listed["state_dict"]}
        for key, parameter in weights_in(wanted, network).items():
            shape = wanted[key]
            assert list(parameter.shape) == ([shape[1]] if key.endswith("bias") and len(shape) == 4 else shape[-4:]), (
                key
            )
    widths = generator.layer_channels()
    features = read_key_list(f"sincut_{name}_g")["io"]["nce_feature_shapes"]
    assert [widths[layer] for layer in list(LAYERS.values())[: len(features)]] == [shape[1] for shape in features]


@torch.no_grad()
def test_generator(recorded):
    generator, tensors = generator_of(recorded), recorded.tensors
    assert generator.config["inject_noise"] == ("G_A_noise" in tensors)
    assert_close(generator(tensors["it0_A"], tensors.get("G_A_noise")), tensors["G_A"])
    assert_close(generator(tensors["rect"], tensors.get("G_rect_noise")), tensors["G_rect"])


@torch.no_grad()
def test_features(recorded):
    layers = layers_of(recorded)
    _, features = generator_of(recorded).encode(recorded.tensors["it0_A"][:2], list(layers.values()), stop=True)
    for number, found in zip(layers, features, strict=True):
        assert_close(found, recorded.tensors[f"feat_A_layer{number}"])


@torch.no_grad()
def test_discriminator(recorded):
    discriminator = SinCUTDiscriminator(base_channels=4)
    load(discriminator, authors_state(recorded, "D"))
    assert_close(discriminator(recorded.tensors["it0_A"]), recorded.tensors["D_A"])


@pytest.fixture
def trainer(recorded) -> SinCUTTrainer:
    config, layers = recorded.meta["config"], layers_of(recorded)
    settings = SinCUTSettings.preset(
        "paper",
        base_channels=config["ngf"] * 8,
        num_blocks=6 if len(layers) == 3 else 2,
        inject_noise=len(layers) == 3,
        discriminator_channels=config["ndf"] * 4,
        embedding=config["netF_nc"],
        batch_size=config["batch_size"],
        nce_layers=tuple(layers.values()),
        lambda_nce=config["lambda_NCE"] * len(layers) / 3,  # the authors divide by 3 layers, also where they have 2
        precision="fp32",
    )
    for own, theirs in (("lr", "lr"), ("beta1", "beta1"), ("beta2", "beta2"), ("lambda_gan", "lambda_GAN")):
        assert getattr(settings, own) == config[theirs]
    assert (settings.lambda_r1, settings.lambda_identity) == (config["lambda_R1"], config["lambda_identity"])
    trainer = SinCUTTrainer(settings, torch.Generator().manual_seed(0), torch.device("cpu"))
    for letter, name in NETWORKS.items():
        load(trainer.networks[name], authors_state(recorded, letter))
    return trainer


def run_step(trainer: SinCUTTrainer, recorded: Fixture, number: int) -> dict[str, float]:
    tensors = recorded.tensors
    places = [
        [tensors[f"it{number}_ids_call{call}_layer{layer}"] for layer in layers_of(recorded)] for call in range(2)
    ]
    batch = tensors[f"it{number}_A"], tensors[f"it{number}_B"]
    return trainer.optimize(*batch, places=places, noise=tensors.get(f"it{number}_noise"))


def test_losses_of_two_steps(trainer, recorded):
    settings = trainer.settings
    names = {"G_GAN": "g_gan", "D_real": "d_real", "D_fake": "d_fake", "idt": "identity", "G": "g"}
    weighted = {"NCE": ("nce", settings.lambda_nce), "NCE_Y": ("nce_identity", settings.lambda_nce)}
    weighted |= {"D_R1": ("r1", settings.lambda_r1 / 2)} | {name: (own, 1) for name, own in names.items()}
    for number, iteration in enumerate(recorded.meta["iterations"]):
        found = run_step(trainer, recorded, number)
        assert weighted.keys() == iteration["losses"].keys()
        for name, (own, weight) in weighted.items():
            assert found[own] * weight == pytest.approx(iteration["losses"][name], rel=1e-5), (number, name)


def test_gradients_of_the_first_step(trainer, recorded):
    run_step(trainer, recorded, 0)
    for letter in "GF":
        wanted = recorded.meta["iterations"][0][f"grad_{letter}"]
        for name, parameter in weights_in(wanted, trainer.networks[NETWORKS[letter]]).items():
            assert parameter.grad.norm().item() == pytest.approx(wanted[name]["l2"], rel=1e-4), name


def test_weights_after_the_first_step(trainer, recorded):
    run_step(trainer, recorded, 0)
    for letter, network in NETWORKS.items():
        before, moved = authors_state(recorded, letter), recorded.meta["iterations"][0][f"delta_{letter}"]
        compared = 0
        for name, parameter in weights_in(moved, trainer.networks[network]).items():
            own = parameter.detach().flatten()
            assert (own - before[name].flatten()).norm().item() == pytest.approx(moved[name]["l2_delta"], rel=1e-4)
            assert own.norm().item() == pytest.approx(moved[name]["l2_after"], rel=1e-5)
            if (after := recorded.tensors.get(f"after1_{letter}.{name}")) is not None:
                compared += 1
                # Adam moves every entry by the learning rate; rounding may turn the sign of a gradient near zero.
                assert ((own - after.flatten()).abs() > 2e-6).float().mean() < 0.01, name
        assert compared
