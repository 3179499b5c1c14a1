"""Generator, discriminator and sampler of CUT against what the authors' networks compute from the same weights."""

import pytest
import torch
from torch import Tensor, nn

from pipelines.cut.networks import PatchDiscriminator, ResnetGenerator
from pipelines.losses.gan import lsgan
from pipelines.losses.patch_nce import patch_nce
from pipelines.networks.patch_sampler import PatchSampler
from tests.parity.fixtures import Fixture, read_fixture

FIXTURES = ["cut_resnet9_aa", "cut_resnet9_noaa", "cut_resnet6_aa", "cut_resnet6_noaa"]
LAYERS = (0, 4, 8, 12, 16)


@pytest.fixture(scope="module", params=FIXTURES)
def fixture(request) -> Fixture:
    return read_fixture(request.param)


def in_order(module: nn.Module, folder, letter: str) -> nn.Module:
    """Load the authors' file into `module`: both hold the same parameters in the same order; filters are left out."""
    state = torch.load(folder / f"latest_net_{letter}.pth", weights_only=True)
    given = [value for name, value in state.items() if not name.endswith("filt")]
    own = list(module.state_dict())
    assert len(own) == len(given)
    module.load_state_dict(dict(zip(own, given, strict=True)))
    return module.eval()


def generator_of(fixture: Fixture) -> ResnetGenerator:
    config = fixture.meta["config"]
    antialias = {"antialias_down": not config["no_antialias"], "antialias_up": not config["no_antialias_up"]}
    generator = ResnetGenerator(base_channels=config["ngf"], num_blocks=config["n_blocks"], **antialias)
    return in_order(generator, fixture.folder, "G")


def layer_names(fixture: Fixture) -> dict[int, str]:
    """Our names of the authors' layers. Without anti-aliasing theirs are not the paper's; one is in the decoder."""
    if not fixture.meta["config"]["no_antialias"]:
        return dict(zip(LAYERS, ("input", "down1", "down2", "block1", "block5"), strict=True))
    names = {0: "input", 4: "down1", 12: "block3"}  # 8 is read behind the rectifier there
    return names if fixture.meta["config"]["n_blocks"] == 6 else {**names, 16: "block7"}


def assert_close(found: Tensor, wanted: Tensor):
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@torch.no_grad()
def test_generator(fixture):
    generator = generator_of(fixture)
    assert_close(generator(fixture.tensors["A"]), fixture.tensors["G_A"])
    assert_close(generator(fixture.tensors["rect"]), fixture.tensors["G_rect"])


@torch.no_grad()
def test_features(fixture):
    generator, names = generator_of(fixture), layer_names(fixture)
    _, features = generator.encode(fixture.tensors["A"], tuple(names.values()), stop=True)
    for layer, found in zip(names, features, strict=True):
        assert_close(found[:1], fixture.tensors[f"feat_A_layer{layer}"])
        torch.testing.assert_close(
            found.sum(dim=(1, 2, 3)), fixture.tensors[f"featsum_A_layer{layer}"], atol=1e-2, rtol=1e-4
        )


@torch.no_grad()
def test_discriminator(fixture):
    config = fixture.meta["config"]
    discriminator = PatchDiscriminator(base_channels=config["ndf"], antialias=not config["no_antialias"])
    in_order(discriminator, fixture.folder, "D")
    for name, image in (("D_A", "A"), ("D_GA", "G_A"), ("D_rect", "rect")):
        assert_close(discriminator(fixture.tensors[image]), fixture.tensors[name])
    recorded = fixture.meta["losses"]["gan"]
    fake, real = fixture.tensors["D_GA"], discriminator(fixture.tensors["B"])
    assert lsgan(fake, real=False).item() == pytest.approx(recorded["lsgan_D_fake"], rel=1e-5)
    assert lsgan(real, real=True).item() == pytest.approx(recorded["lsgan_D_real"], rel=1e-5)
    assert lsgan(fake, real=True).item() == pytest.approx(recorded["lsgan_G"], rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", ["cut_resnet9_aa", "cut_resnet6_aa"])
def test_sampler_and_patch_nce(name):
    fixture = read_fixture(name)
    generator, names, config = generator_of(fixture), tuple(layer_names(fixture).values()), fixture.meta["config"]
    channels = tuple(generator.layer_channels()[layer] for layer in names)
    sampler = in_order(PatchSampler(channels, config["netF_nc"]), fixture.folder, "F")
    places = [fixture.tensors[f"patch_ids_layer{layer}"].long() for layer in LAYERS]
    keys = sampler(generator.encode(fixture.tensors["A"], names, stop=True)[1], places)
    queries = sampler(generator.encode(fixture.tensors["G_A"], names, stop=True)[1], places)
    for layer, key, query in zip(LAYERS, keys, queries, strict=True):
        assert_close(key.flatten(0, 1), fixture.tensors[f"F_k_layer{layer}"])
        assert_close(query.flatten(0, 1), fixture.tensors[f"F_q_layer{layer}"])
    recorded = fixture.meta["losses"]["nce_keys_A_queries_GA"]
    for across in (False, True):
        total = patch_nce(queries, keys, config["nce_T"], across_batch=across)
        assert total.item() == pytest.approx(recorded[f"all_negatives_from_minibatch={across}"]["total"], rel=1e-5)
