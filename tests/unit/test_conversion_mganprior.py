"""Conversion of PGGAN and StyleGAN generators in the layout of mGANprior, on files made here."""

import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.__main__ import main
from pipelines.conversion.pggan import convert_generator as convert_pggan
from pipelines.conversion.report import ConversionError
from pipelines.conversion.stylegan import convert_generator as convert_stylegan
from pipelines.networks.pggan import PGGANGenerator
from pipelines.networks.stylegan import StyleGANGenerator
from pipelines.networks.stylegan_blocks import blur_kernel
from tests.tiny import seeded

WIDTHS = (6, 5, 4)  # 16 pixels
DIM, HIDDEN = 7, 8  # of latents and of the mapping


def pggan_file(widths=WIDTHS) -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"lod": ()}
    for step, (before, width) in enumerate(zip([DIM, *widths], widths, strict=False)):
        kernel = 3 if step else 4
        shapes[f"layer{2 * step}.conv.weight"] = (width, before, kernel, kernel)
        shapes[f"layer{2 * step + 1}.conv.weight"] = (width, width, 3, 3)
        shapes[f"output{step}.conv.weight"] = (3, width, 1, 1)
        for layer in (f"layer{2 * step}", f"layer{2 * step + 1}", f"output{step}"):
            shapes[f"{layer}.wscale.bias"] = shapes[f"{layer}.conv.weight"][:1]
    return random(shapes)


def stylegan_file(widths=WIDTHS, fused: int = 16) -> dict[str, Tensor]:
    """Resolutions from `fused` on have upsampling and convolution as one layer."""
    shapes: dict[str, tuple[int, ...]] = {"truncation.w_avg": (DIM,), "synthesis.lod": ()}
    for index, (before, after) in enumerate(((DIM, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, DIM))):
        shapes[f"mapping.dense{index}.fc.weight"] = (after, before)
        shapes[f"mapping.dense{index}.wscale.bias"] = (after,)
    shapes["synthesis.layer0.const"] = (1, widths[0], 4, 4)
    for step, width in enumerate(widths):
        for layer in (2 * step, 2 * step + 1):
            name, before = f"synthesis.layer{layer}", width if layer % 2 else widths[step - 1]
            if layer % 2 == 0 and 4 << step >= fused:
                shapes[f"{name}.weight"] = (3, 3, before, width)
            elif layer:
                shapes[f"{name}.conv.weight"] = (width, before, 3, 3)
            shapes[f"{name}.epilogue.bias"] = shapes[f"{name}.epilogue.apply_noise.weight"] = (width,)
            shapes[f"{name}.epilogue.apply_noise.noise"] = (1, 1, 4 << step, 4 << step)
            shapes[f"{name}.epilogue.style_mod.dense.fc.weight"] = (2 * width, DIM)
            shapes[f"{name}.epilogue.style_mod.dense.wscale.bias"] = (2 * width,)
        shapes[f"synthesis.output{step}.conv.weight"] = (3, width, 1, 1)
        shapes[f"synthesis.output{step}.bias"] = (3,)
    filters = {
        f"synthesis.layer{2 * step}.blur.kernel": blur_kernel(widths[step]) + 0 for step in range(1, len(widths))
    }
    return random(shapes) | filters


def random(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    generator = seeded()
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


KINDS = {"pggan": (pggan_file, convert_pggan), "stylegan": (stylegan_file, convert_stylegan)}
WEIGHT = {"pggan": "layer3.conv.weight", "stylegan": "synthesis.layer3.conv.weight"}
BIAS = {"pggan": "layer2.wscale.bias", "stylegan": "synthesis.layer2.epilogue.bias"}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


# PGGAN


def test_pggan_places():
    state = pggan_file()
    generator = convert_pggan(state)
    config = generator.config
    assert (config["resolution"], config["latent_dim"], tuple(config["widths"])) == (16, DIM, WIDTHS)
    found = generator.state_dict()
    assert torch.equal(found["layers.0.conv.weight"], state["layer0.conv.weight"])
    assert torch.equal(found["layers.4.conv.bias"], state["layer4.wscale.bias"])
    assert torch.equal(found["head.bias"], state["output2.wscale.bias"])


@torch.no_grad()
def test_pggan_layer_to_rgb_is_scaled_for_no_activation():
    state = pggan_file()
    generator = convert_pggan(state)
    hidden = torch.ones(1, WIDTHS[-1], 16, 16)  # its pixel norm is itself
    wanted = F.conv2d(hidden, state["output2.conv.weight"] / math.sqrt(WIDTHS[-1]), state["output2.wscale.bias"])
    torch.testing.assert_close(generator.finish(hidden), wanted, atol=1e-5, rtol=1e-5)


# StyleGAN


def test_stylegan_places():
    state = stylegan_file()
    generator = convert_stylegan(state)
    config, found = generator.config, generator.state_dict()
    assert (tuple(config["widths"]), config["latent_dim"], config["mapping_layers"]) == (WIDTHS, DIM, 3)
    assert (config["mapping_dim"], config["bias_after_blur"], config["fixed_noise"]) == (HIDDEN, True, True)
    assert torch.equal(found["mean_style"], state["truncation.w_avg"])
    assert torch.equal(found["blocks.1.up.weight"], state["synthesis.layer2.conv.weight"])
    assert torch.equal(found["blocks.2.conv.bias"], state["synthesis.layer5.epilogue.bias"])
    assert torch.equal(found["blocks.0.style2.noise_strength"], state["synthesis.layer1.epilogue.apply_noise.weight"])
    for layer in (0, 1):
        noise = state[f"synthesis.layer{2 + layer}.epilogue.apply_noise.noise"]
        assert torch.equal(found["noise_8"][:, layer : layer + 1], noise)


@torch.no_grad()
def test_stylegan_fused_layers_are_the_same_network():
    """A transposed convolution with its kernel summed over four shifts, against upsampling and convolution."""
    state = stylegan_file()
    up = convert_stylegan(state).blocks[2].up
    hidden = torch.randn(1, WIDTHS[1], 8, 8, generator=seeded(3))
    kernel = F.pad(state["synthesis.layer4.weight"].permute(2, 3, 0, 1), (1, 1, 1, 1))
    kernel = kernel[..., 1:, 1:] + kernel[..., :-1, 1:] + kernel[..., 1:, :-1] + kernel[..., :-1, :-1]
    scale = math.sqrt(2 / (9 * WIDTHS[1]))
    wanted = F.conv_transpose2d(hidden, kernel * scale, stride=2, padding=1)
    wanted = F.conv2d(wanted, blur_kernel(WIDTHS[2]), padding=1, groups=WIDTHS[2])
    wanted += state["synthesis.layer4.epilogue.bias"][:, None, None]
    torch.testing.assert_close(up(hidden), wanted, atol=1e-5, rtol=1e-5)


def test_stylegan_with_the_strength_of_truncation():
    state = stylegan_file()
    found = convert_stylegan(state | {"truncation.truncation": torch.ones(1, 6, 1)}).state_dict()
    wanted = convert_stylegan(state).state_dict()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_stylegan_with_another_blur():
    state = stylegan_file() | {"synthesis.layer2.blur.kernel": torch.full((WIDTHS[1], 1, 3, 3), 1 / 9)}
    with pytest.raises(ConversionError, match="1 of other values"):
        convert_stylegan(state)


# Both


def test_a_file_stays_as_it_is(kind):
    make, convert = KINDS[kind]
    state, before = make(), torch.random.get_rng_state()
    generator = convert(state)
    assert not generator.training
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(state[key], value) for key, value in make().items())


def test_one_report_for_everything(kind):
    make, convert = KINDS[kind]
    state = make()
    del state[BIAS[kind]]
    state["extra"] = torch.zeros(2, 3)
    state[WEIGHT[kind]] = torch.zeros(5, 5)
    state[BIAS[kind].replace("layer2", "layer4")][0] = math.nan
    with pytest.raises(ConversionError, match="1 missing, 1 unexpected, 1 misshapen, 1 not finite") as error:
        convert(state, "file.pth")
    for line in (f"missing: {BIAS[kind]} 5", "unexpected: extra 2x3", f"misshapen: {WEIGHT[kind]} 5x5", "holds 1 NaN"):
        assert line in str(error.value)


def test_every_missing_tensor_is_named(kind):
    make, convert = KINDS[kind]
    unused = ("lod", "synthesis.lod", "output0.", "output1.", "synthesis.output0.", "synthesis.output1.")
    for key in make():
        state = make()
        del state[key]
        if key.startswith(unused):
            convert(state)
        else:
            with pytest.raises(ConversionError, match=key.replace(".", r"\.").removesuffix("weight")):
                convert(state)


def test_networks_are_told_apart():
    with pytest.raises(ConversionError, match="is a network of PGGAN: convert it with `convert pggan`"):
        convert_stylegan(pggan_file())
    with pytest.raises(ConversionError, match="is a network of the StyleGAN type: convert it with `convert stylegan`"):
        convert_pggan(stylegan_file())
    with pytest.raises(ConversionError, match="is a network of StyleGAN2"):
        convert_stylegan({"synthesis.early_layer.const": torch.zeros(1, 4, 4, 4)})
    for _, convert in KINDS.values():
        with pytest.raises(ConversionError, match=r"its tensors begin with model\.1\.weight"):
            convert({"model.1.weight": torch.zeros(1)})


def test_names_and_shapes_that_are_made_up(kind):
    make, convert = KINDS[kind]
    with pytest.raises(ConversionError, match="has 50 resolutions; at most 9 are supported"):
        convert(make() | {WEIGHT[kind].replace("layer3", "layer99"): torch.zeros(1)})
    with pytest.raises(ConversionError, match="misshapen"):
        convert(make() | {BIAS[kind]: torch.zeros(())})


# The command


def convert_command(method, source, output, *options) -> int:
    return main(["convert", method, "--source", str(source), "--output", str(output), *options])


def test_command_writes_a_gan(kind, tmp_path, capsys):
    make, convert = KINDS[kind]
    source = tmp_path / "generator.pth"
    torch.save({f"module.{key}": value for key, value in make().items()}, source)
    assert convert_command(kind, source, tmp_path / "gan") == 0
    title, network = {"pggan": ("PGGAN", PGGANGenerator), "stylegan": ("StyleGAN", StyleGANGenerator)}[kind]
    assert f"a {title} of generator" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "gan").iterdir()) == ["README.md", "generator"]
    text = (tmp_path / "gan/README.md").read_text()
    assert "`generator.pth` (sha256 `" in text
    assert ("truncation=0.7, truncated_layers=8" in text) == (kind == "stylegan")
    found, wanted = network.from_pretrained(tmp_path / "gan/generator").state_dict(), convert(make()).state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)

    assert convert_command(kind, source, tmp_path / "gan", "--overwrite", "--half") == 0
    found = network.from_pretrained(tmp_path / "gan/generator", torch_dtype=torch.float16).state_dict()
    assert all(torch.equal(found[key], wanted[key].half()) for key in wanted)
    assert convert_command(kind, source, tmp_path / "other", "--classes", str(source)) == 1
    assert "has no classes: leave it out" in capsys.readouterr().err


class Trap:
    """Raises when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise AssertionError('a pickle was opened')",)


def test_command_leaves_nothing_of_a_bad_file(kind, tmp_path, capsys):
    make, _ = KINDS[kind]
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(make(), good)
    hostile = tmp_path / "hostile.pth"
    torch.save(make() | {"lod": Trap()}, hostile)
    for content, message in (
        (good.read_bytes()[:-200], "is damaged or cut off"),
        (pickle.dumps(Trap()), "bad.pth"),
        (hostile.read_bytes(), "bad.pth"),
        (b"<html>not found</html>", "is a web page"),
    ):
        bad.write_bytes(content)
        assert convert_command(kind, bad, tmp_path / "gan") == 1
        assert message in capsys.readouterr().err
        assert not (tmp_path / "gan").exists()
