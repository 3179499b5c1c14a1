"""Conversion of the authors' SinCUT generators, on a file made here."""

import math
import re

import pytest
import torch
import torch.nn.functional as F

from pipelines.conversion.report import ConversionError
from pipelines.sincut.convert import convert_generator
from tests.tiny import seeded

BASE = 4


def authors_file(num_blocks: int = 4) -> dict[str, torch.Tensor]:
    """Tensors under the names and in the shapes of the authors' generator."""
    half, wide = num_blocks // 2, BASE * 2
    shapes = {
        "encoder.convs.1.0.weight": (BASE, 3, 1, 1),
        "encoder.convs.1.1.bias": (1, BASE, 1, 1),
        "encoder.convs.2.conv1.0.weight": (BASE, BASE, 3, 3),
        "encoder.convs.2.conv1.1.bias": (1, BASE, 1, 1),
        "encoder.convs.2.conv2.1.weight": (wide, BASE, 3, 3),
        "encoder.convs.2.conv2.2.bias": (1, wide, 1, 1),
        "encoder.convs.2.skip.1.weight": (wide, BASE, 1, 1),
    }
    for block in [f"encoder.convs.{3 + i}" for i in range(half)] + [f"decoder.convs.{i}" for i in range(half)]:
        for conv in ("conv1", "conv2"):
            shapes |= {f"{block}.{conv}.0.weight": (wide, wide, 3, 3), f"{block}.{conv}.1.bias": (1, wide, 1, 1)}
    shapes |= {
        f"decoder.convs.{half}.conv.weight": (1, BASE, wide, 3, 3),
        f"decoder.convs.{half}.noise.weight": (1,),
        f"decoder.convs.{half}.activate.bias": (1, BASE, 1, 1),
        f"decoder.convs.{half + 1}.0.weight": (3, BASE, 1, 1),
        f"decoder.convs.{half + 1}.1.bias": (1, 3, 1, 1),
    }
    generator = seeded()
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = torch.outer(taps, taps)
    filters = {"encoder.convs.2.conv2.0.kernel": kernel / 64, "encoder.convs.2.skip.0.kernel": kernel / 64}
    return {**state, **filters, f"decoder.convs.{half}.conv.blur.kernel": kernel / 16}


def what_the_file_means(state: dict[str, torch.Tensor], image: torch.Tensor, noise: torch.Tensor | None):
    """The network written out step by step from the file's tensors: scale, convolve, add, rectify."""

    def filtered(hidden, name, padding):
        channels = hidden.shape[1]
        return F.conv2d(hidden, state[name].expand(channels, 1, 4, 4), padding=padding, groups=channels)

    def conv(hidden, name, **options):
        weight = state[name]
        return F.conv2d(hidden, weight / math.sqrt(weight[0].numel()), **options)

    def rectified(hidden, bias):
        return F.leaky_relu(hidden + state[bias], 0.2) * math.sqrt(2)

    def block(hidden, name):
        inner = rectified(conv(hidden, f"{name}.conv1.0.weight", padding=1), f"{name}.conv1.1.bias")
        inner = rectified(conv(inner, f"{name}.conv2.0.weight", padding=1), f"{name}.conv2.1.bias")
        return (inner + hidden) / math.sqrt(2)

    half = max(int(name.split(".")[2]) for name in state if name.startswith("encoder")) - 2
    hidden = rectified(conv(image, "encoder.convs.1.0.weight"), "encoder.convs.1.1.bias")
    down = "encoder.convs.2"
    inner = rectified(conv(hidden, f"{down}.conv1.0.weight", padding=1), f"{down}.conv1.1.bias")
    inner = conv(filtered(inner, f"{down}.conv2.0.kernel", 2), f"{down}.conv2.1.weight", stride=2)
    skip = conv(filtered(hidden, f"{down}.skip.0.kernel", 1), f"{down}.skip.1.weight", stride=2)
    hidden = (rectified(inner, f"{down}.conv2.2.bias") + skip) / math.sqrt(2)
    for index in range(half):
        hidden = block(hidden, f"encoder.convs.{3 + index}")
    for index in range(half):
        hidden = block(hidden, f"decoder.convs.{index}")
    up = f"decoder.convs.{half}"
    weight = state[f"{up}.conv.weight"][0]
    weight = weight / weight.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
    hidden = F.conv_transpose2d(hidden, weight.transpose(0, 1), stride=2)
    hidden = filtered(hidden, f"{up}.conv.blur.kernel", 1)
    if noise is not None:
        hidden = hidden + state[f"{up}.noise.weight"] * noise
    hidden = rectified(hidden, f"{up}.activate.bias")
    head = f"decoder.convs.{half + 1}"
    return rectified(conv(hidden, f"{head}.0.weight"), f"{head}.1.bias")


@pytest.mark.parametrize("num_blocks", [2, 4, 6])
@torch.no_grad()
def test_the_network_computes_what_the_file_means(num_blocks):
    state = authors_file(num_blocks)
    network = convert_generator(state)
    noisy = num_blocks != 2  # the authors' small network injects none
    assert network.config["num_blocks"] == num_blocks
    assert network.config["base_channels"] == BASE
    assert network.config["inject_noise"] == noisy
    assert not network.training
    image = torch.randn(2, 3, 16, 12, generator=seeded(1))
    noise = torch.randn(2, 1, 16, 12, generator=seeded(2)) if noisy else None
    wanted = what_the_file_means(state, image, noise)
    assert (network(image, noise) - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_everything_that_does_not_fit_is_reported_at_once():
    state = authors_file()
    del state["decoder.convs.0.conv1.1.bias"]
    state["decoder.convs.9.weight"] = torch.zeros(1)
    state["encoder.convs.2.conv1.0.weight"] = torch.zeros(BASE, BASE, 1, 1)
    state["encoder.convs.2.skip.0.kernel"] = torch.full((4, 4), 1 / 16)
    state["decoder.convs.3.1.bias"] = torch.full((1, 3, 1, 1), math.nan)
    with pytest.raises(ConversionError) as caught:
        convert_generator(state, "my.pth")
    message = str(caught.value)
    assert message.startswith("my.pth")
    for name in (
        "decoder.convs.0.conv1.1.bias",
        "decoder.convs.9.weight",
        "encoder.convs.2.conv1.0.weight",
        "encoder.convs.2.skip.0.kernel",
        "decoder.convs.3.1.bias",
    ):
        assert name in message


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no generator of SinCUT"),
        (["encoder.convs", "encoder.convs.", "encoder.convs.2.x", "encoder.convs.99999.x"], "no generator of SinCUT"),
        (["mlp_0.0.weight"], r"the patch sampler \(F\)"),
        (["convs.0.0.weight", "final_linear.0.weight"], r"a discriminator \(D\)"),
        (["model.1.weight"], "a network of CUT, FastCUT or CycleGAN: convert it with `convert cut`"),
        (["stem.weight", "blocks.0.conv1.weight"], "a generator of this library already"),
    ],
)
def test_other_files_are_named(names, message):
    with pytest.raises(ConversionError, match=f"my.pth is {message}"):
        convert_generator({name: torch.zeros(1) for name in names}, "my.pth")


@pytest.mark.parametrize("name", list(authors_file()))
def test_every_missing_tensor_is_named(name):
    state = authors_file()
    del state[name]
    with pytest.raises(ConversionError, match=f"missing: {re.escape(name)}"):
        convert_generator(state)


def test_huge_shapes_allocate_nothing():
    state = authors_file(2)
    state["encoder.convs.1.0.weight"] = torch.zeros(1).expand(10**6, 3, 1, 1)  # a million channels, one number
    with pytest.raises(ConversionError, match="misshapen"):
        convert_generator(state)


def test_a_wild_number_of_blocks_is_refused():
    state = {**authors_file(2), "encoder.convs.9999.conv1.0.weight": torch.zeros(1)}
    with pytest.raises(ConversionError, match=r"unexpected: encoder\.convs\.9999"):
        convert_generator(state)
