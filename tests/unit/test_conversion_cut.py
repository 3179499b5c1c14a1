"""Conversion of the authors' generators of CUT and CycleGAN, on files made here."""

import itertools

import pytest
import torch

from pipelines.conversion.report import ConversionError
from pipelines.cut.convert import convert_generator, read_generator
from tests.authors_cut import authors_file, what_the_file_means
from tests.tiny import seeded


@pytest.mark.parametrize(("antialias_down", "antialias_up"), list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize(
    ("num_blocks", "base", "in_channels", "out_channels"), [(2, 4, 3, 3), (9, 2, 1, 1), (1, 3, 1, 3)]
)
@torch.no_grad()
def test_configuration_is_recognized(num_blocks, base, antialias_down, antialias_up, in_channels, out_channels):
    config = {
        "num_blocks": num_blocks,
        "antialias_down": antialias_down,
        "antialias_up": antialias_up,
        "in_channels": in_channels,
        "out_channels": out_channels,
    }
    state = authors_file(base=base, **config)
    generator = convert_generator(state)
    assert {**config, "base_channels": base}.items() <= dict(generator.config).items()
    assert not generator.training
    image = torch.rand(2, in_channels, 24, 32, generator=seeded()) * 2 - 1
    torch.testing.assert_close(generator(image), what_the_file_means(state, image), atol=2e-5, rtol=1e-4)


def test_files_of_every_kind_give_the_same_weights(tmp_path):
    from safetensors.torch import save_file

    state = authors_file()
    torch.save(state, tmp_path / "now.pth")
    torch.save(state, tmp_path / "before_1.6.pth", _use_new_zipfile_serialization=False)
    torch.save({f"module.{key}": value for key, value in state.items()}, tmp_path / "parallel.pth")
    torch.save({key: torch.nn.Parameter(value) for key, value in state.items()}, tmp_path / "parameters.pth")
    save_file(state, tmp_path / "tensors.safetensors")
    wanted = convert_generator(state).state_dict()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    for file in files:
        found = read_generator(file).state_dict()
        assert all(torch.equal(found[key], value) for key, value in wanted.items()), file.name


def test_conversion_draws_nothing_and_shares_nothing():
    state = authors_file()
    before = torch.random.get_rng_state()
    generator = convert_generator(state)
    assert torch.equal(torch.random.get_rng_state(), before)
    state["model.1.weight"].zero_()
    assert generator.stem.weight.abs().max() > 0
    assert all(value.requires_grad and value.dtype == torch.float32 for value in generator.parameters())


def test_half_precision_file():
    state = authors_file()
    generator = convert_generator({key: value.half() for key, value in state.items()})
    assert torch.equal(generator.stem.weight, state["model.1.weight"].half().float())


@torch.no_grad()
def test_running_statistics_of_instance_norm_are_left_out():
    state = authors_file(num_blocks=1, antialias_down=False, antialias_up=False)
    old = dict(state)
    for norm in ("model.2", "model.5", "model.10.conv_block.2", "model.10.conv_block.6", "model.12"):
        old |= {f"{norm}.running_mean": torch.ones(4), f"{norm}.running_var": torch.ones(4)}
    image = torch.rand(1, 3, 16, 16, generator=seeded())
    assert torch.equal(convert_generator(old)(image), convert_generator(state)(image))
    with pytest.raises(ConversionError, match=r"1 unexpected.\n  unexpected: model.3.running_mean 4$"):
        convert_generator({**state, "model.3.running_mean": torch.ones(4)})


def test_one_report_for_everything():
    state = authors_file()
    del state["model.13.conv_block.5.bias"]
    state["extra"] = torch.zeros(2, 3)
    state["model.4.weight"] = torch.zeros(8, 4, 5, 5)
    state["model.1.bias"] = torch.tensor([0.0, float("nan"), float("inf"), 1.0])
    state["model.8.bias"] = torch.zeros(16, dtype=torch.int64)
    state["model.7.filt"] = state["model.7.filt"].flip(2) * 2
    with pytest.raises(ConversionError) as error:
        convert_generator(state, "latest_net_G.pth")
    assert str(error.value).splitlines() == [
        "latest_net_G.pth does not fit ResnetGenerator: 1 missing, 1 unexpected, 1 misshapen, 1 of another type, "
        "1 not finite, 1 of other values.",
        "  missing: model.13.conv_block.5.bias 16",
        "  unexpected: extra 2x3",
        "  misshapen: model.4.weight 8x4x5x5 should be 8x4x3x3",
        "  of another type: model.8.bias 16 holds int64",
        "  not finite: model.1.bias 4 holds 2 NaN or infinite values",
        "  of other values: model.7.filt 8x1x3x3 is not the filter of this network",
    ]


@pytest.mark.parametrize("key", authors_file(num_blocks=3))
def test_every_missing_tensor_is_named(key):
    state = authors_file(num_blocks=3)
    shape = "x".join(map(str, state.pop(key).shape))
    with pytest.raises(ConversionError, match=f"missing: {key} {shape}(\n|$)"):
        convert_generator(state)


def test_a_whole_missing_block_is_named():
    state = {key: value for key, value in authors_file(num_blocks=3).items() if not key.startswith("model.13.")}
    with pytest.raises(
        ConversionError, match=r"fit ResnetGenerator: 4 missing\.\n  missing: model\.13\.conv_block\.1"
    ):
        convert_generator(state)


OTHERS = {
    "mlp_0.0.weight": "is CUT's patch sampler",
    "model.0.weight": "is a discriminator",
    "net.0.weight": "is a discriminator",
    "convs.0.0.weight": "is a discriminator",
    "model.model.0.weight": "is a U-Net generator",
    "encoder.convs.1.0.weight": "is a generator of SinCUT: convert it with `convert sincut`",
    "stem.weight": "is a generator of this library already",
    "features.0.weight": "is no ResNet generator of CUT or CycleGAN: its tensors begin with features.0.weight",
}


@pytest.mark.parametrize("key", OTHERS)
def test_other_networks_are_called_by_their_name(key):
    with pytest.raises(ConversionError, match=OTHERS[key]):
        convert_generator({key: torch.zeros(4, 3, 3, 3)})


def test_generators_of_another_kind():
    state = authors_file()
    with pytest.raises(
        ConversionError, match="was trained with batch norm, or with an instance norm that has weights"
    ):
        convert_generator({**state, "model.2.weight": torch.ones(4)})
    dropped = {key.replace("conv_block.5", "conv_block.6"): value for key, value in state.items()}
    with pytest.raises(ConversionError, match="was trained with dropout"):
        convert_generator(dropped)


def test_a_name_or_a_shape_does_not_make_it_work_for_hours():
    state = authors_file()
    with pytest.raises(ConversionError, match="unexpected: model.9999.conv_block.1.weight 1"):
        convert_generator({**state, "model.9999.conv_block.1.weight": torch.zeros(1)})
    with pytest.raises(ConversionError, match="has 2000 base channels; at most 1024 are supported"):
        convert_generator({**state, "model.1.weight": torch.zeros(2000, 1, 1, 1)})
