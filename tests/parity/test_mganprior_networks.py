"""PGGAN and StyleGAN generators against the recorded maps and pictures of mGANprior, and against its full sizes."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines.conversion.pggan import convert_generator as convert_pggan
from pipelines.conversion.pggan import names
from pipelines.conversion.reader import read_state_dict
from pipelines.conversion.stylegan import TRUNCATED_LAYERS, TRUNCATION
from pipelines.conversion.stylegan import convert_generator as convert_stylegan
from pipelines.networks.pggan import PGGANGenerator
from pipelines.networks.stylegan import StyleGANGenerator
from pipelines.networks.stylegan_blocks import blur_kernel
from tests.parity.fixtures import Fixture, read_fixture, read_key_list

LAYER = 6  # of the recorded compositions


@pytest.fixture(scope="module")
def pggan() -> tuple[Fixture, PGGANGenerator]:
    recorded = read_fixture("mganprior_pggan")
    for images in ("images_a", "images_b"):
        recorded.tensors.update(load_file(recorded.folder / f"{images}.safetensors"))
    path = recorded.folder / recorded.meta["checkpoint_files"]["generator"]
    return recorded, convert_pggan(read_state_dict(path), path.name)


@pytest.fixture(scope="module")
def stylegan() -> tuple[Fixture, StyleGANGenerator]:
    recorded = read_fixture("mganprior_stylegan")
    path = recorded.folder / recorded.meta["checkpoint_files"]["generator"].split()[0]
    return recorded, convert_stylegan(read_state_dict(path), path.name)


def assert_close(found: Tensor, wanted: Tensor, atol: float = 2e-5):
    torch.testing.assert_close(found, wanted, atol=atol, rtol=1e-4)


# PGGAN


@torch.no_grad()
def test_pggan_single_latent(pggan):
    recorded, generator = pggan
    latents = recorded.tensors["z0"][0]
    assert_close(generator(latents[:1]), recorded.tensors["single_z_image"])
    assert_close(generator.run(latents[:1], stop=LAYER), recorded.tensors["feat_before_alpha_code0"])


@torch.no_grad()
@pytest.mark.parametrize(
    ("picture", "layer", "alpha"),
    [
        ("composed_init", LAYER, "alpha0"),
        ("composed_rand", LAYER, "alpha_rand"),
        ("composed_layer_plus2", LAYER + 2, "alpha0"),
    ],
)
def test_pggan_composition(pggan, picture, layer, alpha):
    """Maps of all latents, weighted by channel, and their mean: the recorded code divides twice by their number."""
    recorded, generator = pggan
    maps = generator.run(recorded.tensors["z0"][0], stop=layer)
    composed = (maps * recorded.tensors[alpha][0, :, :, None, None]).mean(dim=0, keepdim=True)
    assert_close(generator.finish(generator.run(composed, start=layer)), recorded.tensors[picture])


@pytest.mark.parametrize(("name", "resolution"), [("bedroom_256", 256), ("celebahq_1024", 1024)])
def test_pggan_full_size(name, resolution):
    recorded = read_key_list(f"mganprior_pggan_{name}")
    generator = convert_pggan(full_size(recorded))
    with torch.device("meta"):
        assert shapes(generator) == shapes(PGGANGenerator(resolution))
    highest = len(generator.layers) // 2 - 1
    lower = {f"output{index}." for index in range(highest)}
    taken = {key for key, _, _ in recorded["state_dict"] if key != "lod" and not key.startswith(tuple(lower))}
    assert set(names(generator).values()) == taken
    for row in recorded["composing_table"][:-1]:
        assert (*generator.channels_at(row["composing_layer"]), row["feature_shape"][1]) == tuple(row["feature_shape"])


# StyleGAN


@torch.no_grad()
def test_stylegan_styles(stylegan):
    recorded, generator = stylegan
    config, latent = recorded.meta["config"], recorded.tensors["z"]
    assert (config["truncation_psi"], config["truncation_layers"]) == (TRUNCATION, TRUNCATED_LAYERS)
    for style in generator.style(latent).unbind(1):
        assert_close(style, recorded.tensors["w"])
    assert_close(generator.style(latent, TRUNCATION, TRUNCATED_LAYERS), recorded.tensors["wp"])


@torch.no_grad()
@pytest.mark.parametrize(("styles", "picture"), [("wp", "image"), ("wp_perturbed", "image_from_wp_perturbed")])
def test_stylegan_pictures(stylegan, styles, picture):
    """Pictures of this untrained network go up to 10; the recorded ones are up to 1.6e-4 from double precision."""
    recorded, generator = stylegan
    found, wanted = generator.synthesize(recorded.tensors[styles]), recorded.tensors[picture]
    assert (found - wanted).abs().max() <= 2e-5 * wanted.abs().max()
    assert torch.isclose(found, wanted, atol=2e-5, rtol=1e-4).float().mean() > 0.99


@torch.no_grad()
def test_stylegan_from_latents(stylegan):
    recorded, generator = stylegan
    found = generator(recorded.tensors["z"], truncation=TRUNCATION, truncated_layers=TRUNCATED_LAYERS)
    assert_close(found, generator.synthesize(recorded.tensors["wp"]), atol=1e-4)


@pytest.mark.parametrize(("name", "resolution"), [("bedroom_256", 256), ("celebahq_1024", 1024)])
def test_stylegan_full_size(name, resolution):
    """Every tensor of the full size is taken, merged or known to be unused, so that the report is empty."""
    generator = convert_stylegan(full_size(read_key_list(f"mganprior_stylegan_{name}")))
    channels = generator.channels()
    assert max(channels) == resolution
    with torch.device("meta"):
        wanted = StyleGANGenerator(tuple(channels.values()), fixed_noise=True)
    assert shapes(generator) == shapes(wanted)
    assert list(channels.values()) == [512, 512, 512, 512, 256, 128, 64, 32, 16][: len(channels)]


def full_size(listed: dict) -> dict[str, Tensor]:
    """A file of these names and shapes, which takes no memory: zeros, and the blur."""
    state = {key: torch.zeros(()).expand(shape) for key, shape, _ in listed["state_dict"]}
    return state | {key: blur_kernel(len(value)) for key, value in state.items() if key.endswith("blur.kernel")}


def shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    return {key: value.shape for key, value in network.state_dict().items()}
