"""Files of StyleGAN and of DeepI2I on it: every network of them is taken whole, or refused with all that is wrong."""

import math
import re

import pytest
import torch
from torch import Tensor

from pipelines.conversion.report import ConversionError
from pipelines.deepi2i.convert_stylegan import convert_stylegan
from tests.tiny import seeded

WIDTHS = (5, 5, 4, 4, 4, 3, 3, 2, 2)  # from 4 to 1024 pixels
DIM = 6
FILTER = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


def random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = seeded()
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def scaled(place: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{place}.weight_orig": shape, f"{place}.bias": shape[:1]}


def filters(place: str, width: int) -> dict[str, Tensor]:
    return {f"{place}.{name}": FILTER.expand(width, 1, 3, 3).clone() for name in ("weight", "weight_flip")}


def generator_of_file() -> dict[str, Tensor]:
    shapes, constants = {"generator.progression.0.conv1.input": (1, WIDTHS[0], 4, 4)}, {}
    for step, width in enumerate(WIDTHS):
        place, before = f"generator.progression.{step}", WIDTHS[step - 1]
        if 1 <= step <= 4:
            shapes |= scaled(f"{place}.conv1.1.conv", width, before, 3, 3)
            constants |= filters(f"{place}.conv1.2", width)
        elif step:
            shapes |= {f"{place}.conv1.0.weight": (before, width, 3, 3), f"{place}.conv1.0.bias": (width,)}
            constants |= filters(f"{place}.conv1.1", width)
        shapes |= scaled(f"{place}.conv2.conv", width, width, 3, 3)
        for layer in "12":
            shapes[f"{place}.noise{layer}.weight_orig"] = (1, width, 1, 1)
            shapes |= scaled(f"{place}.adain{layer}.style.linear", 2 * width, DIM)
        shapes |= scaled(f"generator.to_rgb.{step}.conv", 3, width, 1, 1)
    for layer in range(1, 6, 2):
        shapes |= scaled(f"style.{layer}.linear", DIM, DIM)
    return random(shapes) | constants


def discriminator_of_file(stem: str = ".0") -> dict[str, Tensor]:
    shapes, constants, descending = {}, {}, WIDTHS[::-1]
    for index, width in enumerate(descending):
        shapes |= scaled(f"from_rgb.{index}{stem}.conv", width, 3, 1, 1)
    for index, (before, width) in enumerate(zip(descending, descending[1:], strict=False)):
        place = f"progression.{index}"
        shapes |= scaled(f"{place}.conv1.0.conv", width, before, 3, 3)
        constants |= filters(f"{place}.conv2.0", width)
        if index <= 3:
            shapes |= {f"{place}.conv2.1.weight": (width, width, 3, 3), f"{place}.conv2.1.bias": (width,)}
        else:
            shapes |= scaled(f"{place}.conv2.1.conv", width, width, 3, 3)
    shapes |= scaled("progression.8.conv1.0.conv", WIDTHS[0], WIDTHS[0] + 1, 3, 3)
    shapes |= scaled("progression.8.conv2.0.conv", WIDTHS[0], WIDTHS[0], 4, 4)
    return random(shapes | scaled("linear.linear", 1, WIDTHS[0])) | constants


def adaptor_of_file(level_32: int = WIDTHS[3]) -> dict[str, Tensor]:
    shapes = {}
    for index, width in enumerate((WIDTHS[4], level_32, WIDTHS[2], WIDTHS[1], WIDTHS[0])):
        for conv in ("conv1", "conv2"):
            shapes |= scaled(f"progression.{index}.{conv}.0.conv", width, width, 3, 3)
    return random(shapes)


@pytest.fixture
def parts() -> dict[str, dict]:
    discriminator = discriminator_of_file()
    optimizer = {"state": {0: {"step": torch.ones(1)}}, "param_groups": [{"lr": 0.001, "params": [0]}]}
    return {
        "generator": generator_of_file(),
        "discriminator": discriminator,
        "encoder": {key: value + 0 for key, value in discriminator.items()},
        "align": adaptor_of_file(),
        "g_optimizer": optimizer,
    }


@pytest.fixture
def convert(tmp_path):
    def convert(parts, resolution=128):
        torch.save(parts, tmp_path / "train_step-000001.model")
        return convert_stylegan(tmp_path / "train_step-000001.model", resolution)

    return convert


def test_a_translator(parts, convert):
    networks = convert(parts)
    assert networks.generator.config["widths"] == list(WIDTHS[:6])
    assert networks.generator.config["mapping_layers"] == 3
    assert networks.generator.mean_style.abs().sum() > 0
    assert networks.encoder.config["activate_rgb"]
    for network, name, part, key in (
        (networks.generator, "head.weight", "generator", "generator.to_rgb.5.conv.weight_orig"),
        (networks.generator, "blocks.5.conv.weight", "generator", "generator.progression.5.conv2.conv.weight_orig"),
        (networks.discriminator, "trunk.stem.weight", "discriminator", "from_rgb.3.0.conv.weight_orig"),
        (networks.discriminator, "trunk.blocks.0.conv.bias", "discriminator", "progression.3.conv1.0.conv.bias"),
        (networks.encoder, "trunk.blocks.4.conv.bias", "encoder", "progression.7.conv1.0.conv.bias"),
        (networks.adaptor, "blocks.64.conv2.bias", "align", "progression.0.conv2.0.conv.bias"),
    ):
        assert torch.equal(network.state_dict()[name], parts[part][key])
        assert not network.training


def test_the_running_mean_is_preferred(parts, convert):
    parts["g_running"] = {**parts["generator"], "generator.to_rgb.1.conv.bias": torch.full((3,), 7.0)}
    generator = convert({"g_running": parts["g_running"], "generator": parts["generator"]}, resolution=8).generator
    assert generator.head.bias.tolist() == [7, 7, 7]


def test_a_gan_of_any_resolution(parts, convert):
    for resolution in (8, 256):
        networks = convert({"generator": parts["generator"], "discriminator": discriminator_of_file("")}, resolution)
        assert not networks.discriminator.config["activate_rgb"]
        assert networks.encoder is networks.adaptor is None
        image = networks.generator(torch.ones(1, DIM))
        assert image.shape[-1] == resolution
        assert networks.discriminator(image).shape == (1,)


def test_everything_that_does_not_fit_is_reported_at_once(parts, convert):
    state = parts["generator"]
    del state["generator.to_rgb.8.conv.bias"]  # of a resolution that is left out
    state["generator.progression.9.conv1.0.weight"] = torch.zeros(1)
    state["generator.progression.2.noise1.weight_orig"] = torch.zeros(4, 1, 1)
    state["generator.progression.6.conv1.1.weight_flip"] = torch.full((3, 1, 3, 3), 1 / 9)
    state["style.1.linear.bias"] = torch.full((DIM,), math.nan)
    with pytest.raises(ConversionError) as caught:
        convert(parts)
    message = str(caught.value)
    assert message.startswith("`generator` of train_step-000001.model")
    assert "1 missing, 1 unexpected, 1 misshapen, 1 not finite, 1 of other values" in message
    for name in (
        "generator.to_rgb.8.conv.bias",
        "generator.progression.9.conv1.0.weight",
        "generator.progression.2.noise1.weight_orig",
        "generator.progression.6.conv1.1.weight_flip",
        "style.1.linear.bias",
    ):
        assert name in message


@pytest.mark.parametrize("part", ["discriminator", "encoder", "align"])
def test_a_missing_tensor_is_named(parts, convert, part):
    name = list(parts[part])[2]
    del parts[part][name]
    with pytest.raises(ConversionError, match=f"(?s)`{part}` of .*missing: {re.escape(name)}"):
        convert(parts)


@pytest.mark.parametrize(
    "left", [("encoder", "align"), ("generator", "encoder"), ("generator", "g_optimizer", "more")]
)
def test_other_parts_are_refused(parts, convert, left):
    parts["more"] = parts["align"]
    with pytest.raises(ConversionError, match="accepted are `generator` or `g_running`"):
        convert({name: parts[name] for name in left})


def test_a_single_network_is_refused(parts, convert):
    with pytest.raises(ConversionError, match="does not hold several networks by name"):
        convert(parts["generator"])


def test_a_resolution_of_no_network_is_refused(parts, convert):
    with pytest.raises(ConversionError, match="`resolution` is 64; these networks may have 128, 256, 512, 1024"):
        convert(parts, resolution=64)
    with pytest.raises(ConversionError, match="`resolution` is 100; these networks may have 8, 16"):
        convert({"generator": parts["generator"]}, resolution=100)
