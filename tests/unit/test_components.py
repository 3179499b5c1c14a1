"""What a checkpoint consists of, from its folder, its registry entry, or the file of another repository."""

import json

import pytest
import torch

import pipelines
from pipelines.base import TranslationPipeline
from pipelines.hub.components import NotDownloaded, describe_components
from pipelines.hub.devices import DeviceManager
from pipelines.hub.errors import CheckpointError
from pipelines.hub.verify import file_sha256
from pipelines.networks.vgg import VGGBackbone

TINY = {"blocks": ((4,), (6,)), "taps": ("relu1_1",)}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TinyPipeline(TranslationPipeline):
    network_classes = {"VGGBackbone": VGGBackbone}

    def __init__(self, backbone: VGGBackbone):
        super().__init__()
        self.register_modules(backbone=backbone)


@pytest.fixture
def register(monkeypatch, tmp_path):
    """Write a registry of `{id: (source, files)}`."""
    monkeypatch.setitem(pipelines._MODULES, "TinyPipeline", TinyPipeline.__module__)
    monkeypatch.setenv("TRANSLATION_HUB_CHECKPOINTS", str(tmp_path / "registry.json"))

    def write(sources):
        common = {"task": "exemplar", "pipeline": "TinyPipeline", "license": "mit", "training_data": "none"}
        entries = [
            {"id": name, "title": name, "source": source, "files": files, **common}
            for name, (source, files) in sources.items()
        ]
        (tmp_path / "registry.json").write_text(json.dumps(entries))

    return write


def save(folder, **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        TinyPipeline(VGGBackbone(**TINY | changes)).save_pretrained(folder)


def listing(folder):
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [
        {"path": str(path.relative_to(folder)), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in paths
    ]


def test_a_folder_is_described_without_its_weights(register, tmp_path):
    save(tmp_path / "tiny")
    register({"tiny": ({"bundled": "tiny"}, listing(tmp_path / "tiny"))})
    state = torch.get_rng_state()
    (component,) = describe_components("tiny").values()
    assert torch.equal(torch.get_rng_state(), state)
    assert type(component.module) is VGGBackbone
    shapes = {name: tuple(value.shape) for name, value in component.module.state_dict().items()}
    assert shapes == {name: tuple(value.shape) for name, value in VGGBackbone(**TINY).state_dict().items()}
    assert all(parameter.is_meta for parameter in component.module.parameters())


def test_the_same_weights_have_the_same_key_and_another_config_another_one(register, tmp_path):
    save(tmp_path / "one")
    save(tmp_path / "copy")
    save(tmp_path / "other", taps=("relu2_1",))
    register({name: ({"bundled": name}, listing(tmp_path / name)) for name in ("one", "copy", "other")})
    keys = {name: describe_components(name)["backbone"].key for name in ("one", "copy", "other")}
    assert keys["one"] == keys["copy"] != keys["other"]


def test_a_repository_that_is_not_here_counts_with_the_size_of_its_files(register, tmp_path):
    save(tmp_path / "tiny")
    files = listing(tmp_path / "tiny")
    remote = {"repo_id": "nobody/nothing", "revision": COMMIT}
    register({"here": ({"bundled": "tiny"}, files), "pinned": (remote, files), "unknown": (remote, [])})
    pinned = describe_components("pinned")["backbone"]
    assert type(pinned.module) is NotDownloaded
    weights = tmp_path / "tiny" / "backbone" / "diffusion_pytorch_model.safetensors"
    assert pinned.module.weight.nbytes == weights.stat().st_size
    assert pinned.key == describe_components("here")["backbone"].key
    assert describe_components("unknown")["backbone"].module.weight.nbytes == 0


def test_a_single_component_file_of_another_repository(register):
    component = {"repo_id": "timm/vgg19.tv_in1k", "filename": "model.safetensors", "revision": "main"}
    component |= {"network": "VGGBackbone", "config": TINY}
    register(
        {"one": ({"components": {"backbone": component}}, []), "two": ({"components": {"backbone": component}}, [])}
    )
    one, two = describe_components("one")["backbone"], describe_components("two")["backbone"]
    assert sum(value.numel() for value in one.module.parameters()) == 3 * 4 * 9 + 4 + 4 * 6 * 9 + 6
    assert one.key == two.key


def test_a_pipeline_that_this_version_lacks_is_named(register, monkeypatch):
    register({"tiny": ({"bundled": "tiny"}, [])})
    monkeypatch.delitem(pipelines._MODULES, "TinyPipeline")
    with pytest.raises(CheckpointError, match="'tiny' is for TinyPipeline, which this version does not have"):
        describe_components("tiny")


def test_a_manager_of_real_pipelines_shares_what_they_share(register, tmp_path):
    save(tmp_path / "one")
    save(tmp_path / "copy")
    register({name: ({"bundled": name}, listing(tmp_path / name)) for name in ("one", "copy")})
    manager = DeviceManager(
        load=lambda name, **components: TinyPipeline.from_pretrained(name, **components), device=torch.device("cpu")
    )
    manager.add("one")
    manager.add("copy")
    assert [(row.class_name, row.pipelines) for row in manager.report()] == [("VGGBackbone", ("one", "copy"))]
    with manager.use("one") as one:
        network = one.backbone
    with manager.use("copy") as duplicate:
        assert duplicate.backbone is network
    assert [row.loaded_on for row in manager.report()] == ["cpu"]
