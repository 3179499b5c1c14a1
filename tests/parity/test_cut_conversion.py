"""The authors' files of CUT, converted: what the generators compute, and that every full-size layout is recognized."""

import pytest
import torch
from torch import Tensor

from pipelines import SinCUTPipeline
from pipelines.__main__ import main
from pipelines.conversion.report import ConversionError
from pipelines.cut.convert import convert_generator, read_generator
from tests.authors_cut import DOWN, UP
from tests.parity.fixtures import read_fixture, read_key_list

NETWORKS = ["cut_resnet9_aa", "cut_resnet9_noaa", "cut_resnet6_aa", "cut_resnet6_noaa"]
STEPS = ["cut_step", "cut_step_batch2", "fastcut_step"]
GENERATORS = {
    "cut_resnet9_g": (9, True),
    "cut_resnet9_noaa_g": (9, False),
    "cut_resnet6_g": (6, True),
    "cut_resnet6_noaa_g": (6, False),
    "fastcut_resnet9_g": (9, True),
    "cyclegan_g": (9, True),
}
OTHERS = {
    "cut_resnet9_d": "is a discriminator",
    "cut_resnet9_noaa_d": "is a discriminator",
    "cut_resnet9_f": "is CUT's patch sampler",
    "sincut_stylegan2_d": "is a discriminator",
    "sincut_stylegan2_g": "is a generator of SinCUT",
    "deepi2i_biggan_g": "is no ResNet generator",
}


def assert_close(found: Tensor, wanted: Tensor):
    torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_generator_computes_the_same(name):
    fixture = read_fixture(name)
    generator = read_generator(fixture.folder / "latest_net_G.pth")
    assert_close(generator(fixture.tensors["A"]), fixture.tensors["G_A"])
    assert_close(generator(fixture.tensors["rect"]), fixture.tensors["G_rect"])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("letter", "message"), [("D", "is a discriminator"), ("F", "is CUT's patch sampler")])
def test_other_files_of_a_training_are_refused(name, letter, message):
    path = read_fixture(name).folder / f"latest_net_{letter}.pth"
    with pytest.raises(ConversionError, match=rf"^latest_net_{letter}\.pth {message}"):
        read_generator(path)


def test_three_formats_of_one_generator():
    folder = read_fixture("cut_resnet6_aa").folder
    wanted = read_generator(folder / "latest_net_G.pth").state_dict()
    for other in ("torch14_format", "cpu_trained"):
        found = read_generator(folder / other / "latest_net_G.pth").state_dict()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[key], value) for key, value in wanted.items())


@pytest.mark.parametrize("name", STEPS)
@torch.no_grad()
def test_generator_of_a_training_computes_the_same(name):
    fixture = read_fixture(name)
    generator = read_generator(fixture.folder / "before" / "latest_net_G.pth")
    image = fixture.tensors["it0_A"]
    if fixture.meta["iterations"][0]["flipped"]:
        image = image.flip(3)
    assert_close(generator(image), fixture.tensors["it0_fake_B"])


@pytest.mark.parametrize("name", ["sincut_stylegan2", "sincut_smallstylegan2"])
@torch.no_grad()
def test_sincut_through_the_command(name, tmp_path):
    fixture, folder = read_fixture(name), tmp_path / "converted"
    source = fixture.folder / "before" / "latest_net_G.pth"
    assert main(["convert", "sincut", "--source", str(source), "--output", str(folder)]) == 0
    generator = SinCUTPipeline.from_pretrained(folder).generator
    for image, result in (("it0_A", "G_A"), ("rect", "G_rect")):
        found = generator(fixture.tensors[image], fixture.tensors.get(f"{result}_noise"))
        assert_close(found, fixture.tensors[result])


def zeros(name: str) -> dict[str, Tensor]:
    """A full-size file of zeros, with the right blur filters; zeros take no memory here."""
    state = {}
    for key, shape, _ in read_key_list(name)["state_dict"]:
        state[key] = torch.zeros(()).expand(shape)
        if key.endswith(".filt"):
            taps = DOWN if shape[-1] == 3 else UP
            state[key] = (torch.outer(taps, taps) / taps.sum() ** 2 * (1 if shape[-1] == 3 else 4)).expand(shape)
    return state


@pytest.mark.parametrize("name", GENERATORS)
def test_full_size_generators_are_recognized(name):
    num_blocks, antialias = GENERATORS[name]
    listing = read_key_list(name)
    generator = convert_generator(zeros(name))
    wanted = {"base_channels": 64, "num_blocks": num_blocks, "antialias_down": antialias, "antialias_up": antialias}
    assert wanted.items() <= dict(generator.config).items()
    assert sum(value.numel() for value in generator.parameters()) == listing["n_params"]


@pytest.mark.parametrize("name", OTHERS)
def test_full_size_files_of_other_networks_are_refused(name):
    with pytest.raises(ConversionError, match=OTHERS[name]):
        convert_generator(zeros(name))
