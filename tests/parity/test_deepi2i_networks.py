"""DeepI2I's networks, converted from the authors' files, against what the authors' networks compute."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.conversion.biggan import convert_discriminator, convert_generator
from pipelines.conversion.reader import read_state_dict
from pipelines.deepi2i.convert import convert_adaptor, convert_encoder
from pipelines.deepi2i.level_factors import LEVELS
from tests.parity.fixtures import read_fixture, read_key_list

WEIGHTS = "result/animals/weights/DeepI2I_animals"
STRENGTH = 0.1  # w_l of every level


@pytest.fixture(scope="module")
def fixture():
    return read_fixture("deepi2i_biggan")


@pytest.fixture(scope="module")
def networks(fixture):
    conversions = {"G": convert_generator, "D": convert_discriminator, "E1": convert_encoder, "A1": convert_adaptor}
    return {
        name: convert(read_state_dict(fixture.folder / WEIGHTS / f"{name}.pth"), f"{name}.pth")
        for name, convert in conversions.items()
    }


@pytest.fixture(scope="module")
def images(fixture) -> dict[str, Tensor]:
    return load_file(fixture.folder / "images.safetensors")


@pytest.fixture(scope="module")
def added(networks, images) -> dict[int, Tensor]:
    """What the adaptor gives for both pictures, weighted."""
    with torch.no_grad():
        features = networks["A1"](networks["E1"](images["t_x_all"][:2]))
    return {level: STRENGTH * value for level, value in features.items()}


def assert_close(found: Tensor, wanted: Tensor):
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


FULL_SIZE = {
    "deepi2i_biggan_g": (convert_generator, {"base_channels": 96, "latent_dim": 120, "embedding_dim": 128}),
    "deepi2i_biggan_d": (convert_discriminator, {"base_channels": 96, "num_classes": 1000}),
    "deepi2i_biggan_e1": (convert_encoder, {"base_channels": 96, "resolution": 128, "attention_resolution": 64}),
    "deepi2i_biggan_a1": (convert_adaptor, {"in_channels": [192, 384, 768, 1536]}),
}


@pytest.mark.parametrize("name", FULL_SIZE)
def test_full_size_files_are_recognized(name):
    convert, wanted = FULL_SIZE[name]
    listing = read_key_list(name)
    network = convert({key: torch.zeros(()).expand(shape) for key, shape, _ in listing["state_dict"]})
    assert wanted.items() <= dict(network.config).items()
    unused = 1 + 1536 + 1000 * 1536 if name.endswith(("e1", "a1")) else 0  # linear and embed
    assert sum(value.numel() for value in network.parameters()) == listing["n_params"] - unused


def test_sizes_are_recognized(fixture, networks):
    config = fixture.meta["config"]
    generator = {
        "resolution": config["resolution"],
        "base_channels": config["G_ch"],
        "num_classes": config["n_classes"],
        "latent_dim": config["dim_z_used"],
        "embedding_dim": config["shared_dim"],
        "attention_resolution": int(config["attention"]),
    }
    assert generator.items() <= dict(networks["G"].config).items()
    assert networks["G"].num_slots == config["num_slots"]
    for name in ("D", "E1"):
        assert networks[name].config["base_channels"] == config["D_ch"]
        assert networks[name].config["attention_resolution"] == int(config["attention"])


@torch.no_grad()
def test_encoder_and_adaptor(fixture, networks, images):
    features = networks["E1"](images["t_x_all"][:2])
    adapted = networks["A1"](features)
    assert tuple(features) == tuple(adapted) == LEVELS
    for level in LEVELS:
        assert_close(features[level], fixture.tensors[f"enc_feat_{level}"])
        assert_close(adapted[level], fixture.tensors[f"adaptor_feat_{level}"])


@torch.no_grad()
def test_translation(fixture, networks, added):
    generator, latent = networks["G"], fixture.tensors["z"][:2]
    embedding = generator.embedding(fixture.tensors["gy"][:2])
    assert_close(generator(latent, embedding, added), fixture.tensors["G_out"])
    assert_close(generator(latent, embedding), fixture.tensors["G_out_w0"])


@torch.no_grad()
def test_between_classes(fixture, networks, added):
    """Half way between two classes; of the first picture they are the same."""
    start, end = networks["G"].embedding(fixture.tensors["gy"][:4]).chunk(2)
    found = networks["G"](fixture.tensors["z"][:2], torch.lerp(start, end, 0.5), added)
    assert_close(found, fixture.tensors["G_out_interp"])


@torch.no_grad()
def test_discriminator(fixture, networks, images):
    discriminator, tensors = networks["D"], fixture.tensors
    assert_close(discriminator(images["x_all"][:2], tensors["y"][:2]), tensors["D_real_logit"].squeeze(1))
    assert_close(discriminator(tensors["G_out"], tensors["gy"][:2]), tensors["D_fake_logit"].squeeze(1))
    features = discriminator.trunk(tensors["G_out"][:1])
    for level in LEVELS:
        assert_close(features[level], tensors[f"D_fake_feat_{level}"])
