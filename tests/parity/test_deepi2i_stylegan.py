"""DeepI2I on StyleGAN against the recorded networks, pictures and losses of the authors' code."""

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pipelines import DeepI2IStyleGANPipeline
from pipelines.deepi2i.convert_stylegan import StyleGANNetworks, convert_stylegan
from pipelines.deepi2i.losses import reconstruction
from pipelines.deepi2i.stylegan import LEVELS, StyleGANAdaptor
from pipelines.deepi2i.stylegan_file import WIDTHS, DiscriminatorOfFile, GeneratorOfFile, adaptor_names
from pipelines.losses.gan import nonsaturating, r1_penalty
from pipelines.losses.wgan import gradient_penalty, wasserstein
from pipelines.networks.stylegan import StyleGANGenerator
from tests.parity.fixtures import Fixture, read_fixture, read_key_list

DRIFT, GP_FACTOR, R1_FACTOR = 0.001, 10, 10 / 2  # of the authors' code
TRUNCATION = 0.7


@pytest.fixture(scope="module")
def recorded() -> Fixture:
    fixture = read_fixture("deepi2i_stylegan")
    return fixture._replace(tensors=fixture.tensors | load_file(fixture.folder / "images.safetensors"))


@pytest.fixture(scope="module")
def networks(recorded) -> StyleGANNetworks:
    path = recorded.folder / recorded.meta["checkpoint_files"]["deepi2i"]
    return convert_stylegan(path, recorded.meta["config"]["resolution"])


@pytest.fixture(scope="module")
def pipe(networks, tmp_path_factory) -> DeepI2IStyleGANPipeline:
    folder = tmp_path_factory.mktemp("saved")
    DeepI2IStyleGANPipeline(networks.encoder, networks.adaptor, networks.generator).save_pretrained(folder)
    loaded = DeepI2IStyleGANPipeline.from_pretrained(folder)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def noise(recorded) -> dict[int, Tensor]:
    return {4 << step: recorded.tensors[f"noise_{step}"] for step in range(recorded.meta["config"]["step"] + 1)}


def assert_close(found: Tensor, wanted: Tensor):
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)


def assert_picture_close(found: Tensor, wanted: Tensor):
    """Pictures of these untrained networks go up to 10; the recorded ones are up to 1.1e-4 from double precision."""
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    assert (found - wanted).abs().max() <= 2e-5 * wanted.abs().max()


@torch.no_grad()
def test_features(networks, recorded):
    features = networks.encoder(recorded.tensors["source"])
    adapted = networks.adaptor(features)
    assert features.keys() == adapted.keys() == set(recorded.meta["config"]["RESOLUTION"])
    for level in LEVELS:
        assert_close(features[level], recorded.tensors[f"enc_feat_{level}"])
        assert_close(adapted[level], recorded.tensors[f"align_feat_{level}"])


@torch.no_grad()
def test_style(networks, recorded):
    for style in networks.generator.style(recorded.tensors["z1"]).unbind(1):
        assert_close(style, recorded.tensors["w1"])


@torch.no_grad()
def test_generator(networks, recorded, noise):
    assert_picture_close(networks.generator(recorded.tensors["z1"], noise=noise), recorded.tensors["G_plain"])


@torch.no_grad()
def test_truncation(networks, recorded, noise):
    generator = networks.generator
    estimated = generator.mean_style.clone()
    try:
        generator.mean_style.copy_(generator.style(recorded.tensors["z2"])[:, 0].mean(dim=0))
        found = generator(recorded.tensors["z1"], noise=noise, truncation=TRUNCATION)
    finally:
        generator.mean_style.copy_(estimated)
    assert_picture_close(found, recorded.tensors["G_trunc"])


def test_translation(pipe, recorded, monkeypatch):
    """The picture of every latent: noise and latents are the recorded ones, and so are the level weights."""
    assert pipe.config["level_weights"] == recorded.meta["config"]["E1_fea_w"]
    tensors = recorded.tensors
    for index, source in enumerate(tensors["source"]):
        first, second = translated(pipe, recorded, index, source, monkeypatch)
        assert_picture_close(first, tensors["G_out"][index])
        assert_picture_close(second, tensors["G_out_mixing"][index])


def translated(pipe, recorded, index, source, monkeypatch) -> Tensor:
    """The results of the index-th latents of z1 and z2, whose coarse styles are those of z1."""
    steps = range(recorded.meta["config"]["step"] + 1)
    noise = {4 << step: recorded.tensors[f"noise_{step}"][index, None] for step in steps}
    latents = torch.stack([recorded.tensors[name][index] for name in ("z1", "z2")])
    monkeypatch.setattr(StyleGANGenerator, "draw_noise", lambda *_: noise)
    monkeypatch.setattr(pipe, "_draw_styles", lambda *_: (latents, [0, 0]))
    (block,) = recorded.meta["config"]["mixing_crossover_index"]
    seen = []
    output = pipe(
        (source + 1) / 2,
        num_images=2,
        crossover=2 * (block + 1),
        batch_size=2,
        output_type="pt",
        callback_on_step_end=lambda *arguments: seen.append(arguments[-1]["images"]),
    )
    (pictures,) = seen
    assert torch.equal(output.images, ((pictures + 1) / 2).clamp(0, 1))
    return pictures


@torch.no_grad()
def test_discriminator(networks, recorded):
    for name, image in (("D_fake", "G_out"), ("D_source", "source"), ("D_target", "target")):
        assert_close(networks.discriminator(recorded.tensors[image])[:, None], recorded.tensors[name])


@torch.no_grad()
def test_reconstruction(networks, recorded):
    trunk = networks.discriminator.trunk
    source, result = (trunk(recorded.tensors[name]) for name in ("source", "G_out"))
    weights = {int(level): weight for level, weight in recorded.meta["config"]["D_fea_w"].items() if weight}
    found = reconstruction(source, result, weights, squared=True)
    assert found.item() == pytest.approx(recorded.meta["losses"]["rec"], rel=1e-4)


def test_wasserstein(networks, recorded):
    wanted, judge, tensors = recorded.meta["losses"]["wgan_gp"], networks.discriminator, recorded.tensors
    real, fake = judge(tensors["target"]), judge(tensors["G_out"])
    mixed = torch.lerp(tensors["G_out"], tensors["target"], tensors["gp_eps"]).requires_grad_()
    found = {
        "G": wasserstein(fake, real=True) + recorded.meta["losses"]["rec"],
        "D_real_term": wasserstein(real, real=True) + DRIFT * real.square().mean(),
        "D_fake_term": wasserstein(fake, real=False),
        "gp": GP_FACTOR * gradient_penalty(judge(mixed), mixed),
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_r1(networks, recorded):
    wanted, judge = recorded.meta["losses"]["r1"], networks.discriminator
    real = recorded.tensors["target"].clone().requires_grad_()
    logits, fakes = judge(real), judge(recorded.tensors["G_out"])
    found = {
        "G": nonsaturating(fakes, real=True) + recorded.meta["losses"]["rec"],
        "D_real": nonsaturating(logits, real=True),
        "D_fake": nonsaturating(fakes, real=False),
        "r1": R1_FACTOR * r1_penalty(logits, real),
    }
    assert {name: value.item() for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_pretrained_file(networks, recorded):
    """The recorded translation began with this GAN, so generator and discriminator are the same."""
    path = recorded.folder / "stylegan-256px-new.model"
    pretrained = convert_stylegan(path, recorded.meta["config"]["resolution"])
    assert pretrained.encoder is None
    assert pretrained.adaptor is None
    for part in ("generator", "discriminator"):
        found, wanted = (getattr(of, part).state_dict() for of in (pretrained, networks))
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("letter", ["g", "d", "d_noact", "e", "a"])
def test_names_of_the_full_size(letter):
    """The lists have every name of the file, in the full widths, and nothing else."""
    listed = {key: tuple(shape) for key, shape, _ in read_key_list(f"deepi2i_stylegan_{letter}")["state_dict"]}
    with torch.device("meta"):
        if letter == "g":
            network = GeneratorOfFile(WIDTHS, latent_dim=512, mapping_layers=8)
        elif letter == "a":
            network = StyleGANAdaptor()
        else:
            network = DiscriminatorOfFile(WIDTHS, activate_rgb=letter != "d_noact")
    names, filters = (adaptor_names(), {}) if letter == "a" else (network.names(), network.filters())
    assert set(names.values()) | filters.keys() == listed.keys()
    assert names.keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        shape = listed[names[key]]
        if "noise" in key:
            shape = shape[1:2]
        elif letter == "g" and names[key].endswith(".conv1.0.weight"):
            shape = (shape[1], shape[0], *shape[2:])
        assert tuple(value.shape) == shape, key
    assert all(tuple(value.shape) == listed[key] for key, value in filters.items())
