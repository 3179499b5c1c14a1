"""The backbones, against torchvision's own networks and with its key layout."""

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from pipelines.networks.resnet import ResNetBackbone
from pipelines.networks.vgg import VGGBackbone


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 64, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1


def imagenet(image):
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return ((image + 1) / 2 - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def test_vgg19_has_torchvisions_keys_and_output(tmp_path, image):
    reference = torchvision.models.vgg19(weights=None, num_classes=2).eval()
    save_file(reference.state_dict(), tmp_path / "vgg19.safetensors")
    backbone = VGGBackbone.from_torchvision(tmp_path / "vgg19.safetensors")
    with torch.no_grad():
        maps = backbone(image)
        for tap, index in (("relu3_4", 17), ("relu4_4", 26), ("relu5_4", 35)):
            assert torch.allclose(maps[tap], reference.features[: index + 1](imagenet(image)), atol=1e-5)


def test_resnet50_has_torchvisions_keys_and_output(tmp_path, image):
    reference = torchvision.models.resnet50(weights=None, num_classes=2).eval()
    save_file(reference.state_dict(), tmp_path / "resnet50.safetensors")
    backbone = ResNetBackbone.from_torchvision(tmp_path / "resnet50.safetensors")
    with torch.no_grad():
        maps = backbone(image, taps=("stem", "layer2"))
        hidden = reference.relu(reference.bn1(reference.conv1(imagenet(image))))
        assert torch.allclose(maps["stem"], hidden, atol=1e-5)
        hidden = reference.layer2(reference.layer1(reference.maxpool(hidden)))
        assert torch.allclose(maps["layer2"], hidden, atol=1e-4)
        assert set(maps) == {"stem", "layer2"}


def test_older_files_without_batch_counters_are_taken(tmp_path, image):
    small = {"depths": (1, 1, 1, 1), "taps": ("layer1",)}
    network = ResNetBackbone(**small)
    weights = {key: value for key, value in network.state_dict().items() if "num_batches_tracked" not in key}
    save_file(weights, tmp_path / "old.safetensors")
    loaded = ResNetBackbone.from_torchvision(tmp_path / "old.safetensors", **small)
    assert loaded.bn1.num_batches_tracked == 0
    with torch.no_grad():
        assert torch.equal(loaded(image)["layer1"], network(image)["layer1"])
    save_file({key: weights[key] for key in weights if key != "bn1.running_mean"}, tmp_path / "old.safetensors")
    with pytest.raises(ValueError, match=r"1 missing \(bn1.running_mean\)"):
        ResNetBackbone.from_torchvision(tmp_path / "old.safetensors", **small)


def test_reading_weights_draws_nothing_and_keeps_the_precision(tmp_path):
    small = {"blocks": ((4,), (8,)), "taps": ("relu2_1",)}
    weights = {key: value.half() for key, value in VGGBackbone(**small).state_dict().items()}
    save_file(weights, tmp_path / "half.safetensors")
    state = torch.get_rng_state()
    loaded = VGGBackbone.from_torchvision(tmp_path / "half.safetensors", **small)
    assert torch.equal(torch.get_rng_state(), state)
    for key, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, weights[key].float())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_timms_names_for_the_classifier_are_left_out(tmp_path):
    small = {"blocks": ((4,), (8,)), "taps": ("relu2_1",)}
    weights = dict(VGGBackbone(**small).state_dict())
    extra = {name: torch.zeros(2) for name in ("pre_logits.fc1.weight", "head.fc.bias", "classifier.0.weight")}
    save_file({**weights, **extra}, tmp_path / "timm.safetensors")
    assert set(VGGBackbone.from_torchvision(tmp_path / "timm.safetensors", **small).state_dict()) == set(weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("features.0.bias"), r"1 missing \(features.0.bias\)"),
        (lambda w: w.update({"features.9.bias": torch.zeros(1)}), r"1 unexpected \(features.9.bias\)"),
        (lambda w: w.update({"features.0.bias": torch.zeros(5)}), r"features.0.bias is \(5,\) and should be \(4,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, message):
    small = {"blocks": ((4,), (8,)), "taps": ("relu2_1",)}
    weights = dict(VGGBackbone(**small).state_dict())
    change(weights)
    save_file(weights, tmp_path / "broken.safetensors")
    with pytest.raises(ValueError, match=message):
        VGGBackbone.from_torchvision(tmp_path / "broken.safetensors", **small)


def test_folding_batch_norm_changes_nothing(image):
    network = VGGBackbone(blocks=((4, 4), (8,)), taps=("relu1_2", "relu2_1"), batch_norm=True).eval()
    generator = torch.Generator().manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=generator))
            norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.5)
    folded = network.fold_batch_norm()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    with torch.no_grad():
        for tap, features in network(image).items():
            assert torch.allclose(folded(image)[tap], features, atol=1e-5)


def test_resnet_keeps_its_statistics_when_told_to_train(image):
    network = ResNetBackbone(depths=(1, 1, 1, 1), taps=("layer1",)).train()
    before = network.bn1.running_mean.clone()
    network(image)
    assert torch.equal(before, network.bn1.running_mean)


@pytest.mark.parametrize("network", [VGGBackbone, ResNetBackbone])
def test_an_unknown_tap_is_named(network):
    with pytest.raises(ValueError, match="`taps` names 'relu9_9'"):
        network(taps=("relu9_9",))
