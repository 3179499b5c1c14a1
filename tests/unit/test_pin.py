import argparse
import hashlib
import json

import pytest

from pipelines.commands import pin
from pipelines.hub.download import fetch
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import RegistryError, UnknownCheckpointError, get_checkpoint

FILES = {"model_index.json": b"{}", "net/config.json": b"{ }", "net/diffusion_pytorch_model.safetensors": b"weights"}
REPO = "org/tiny"


def run(*words):
    parser = argparse.ArgumentParser()
    pin.add_parser(parser.add_subparsers())
    return pin.run(parser.parse_args(["pin", *map(str, words)]))


def listed(files):
    return [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(files.items())
    ]


def test_repository(hub, register, monkeypatch, capsys):
    commit = hub.add(REPO, FILES | {"code.py": b"import os"})
    path = register(source={"repo_id": REPO, "revision": "main"})
    before = json.loads(path.read_text())
    assert run("tiny") == 0
    assert "tiny: 3 files, 0.0 MB, pinned in" in capsys.readouterr().out
    after = json.loads(path.read_text())
    before[0]["source"]["revision"] = commit
    assert after == [before[0] | {"files": listed(FILES)}]
    assert list(after[0])[: len(before[0])] == list(before[0])
    assert path.read_text() == json.dumps(after, indent=2) + "\n"
    assert not any("safetensors" in request for request in hub.transfers())
    monkeypatch.setenv("TRANSLATION_HUB_STRICT", "1")
    assert (fetch("tiny") / "net/config.json").read_bytes() == b"{ }"


def test_component_file(hub, register):
    commit = hub.add(REPO, {"model.safetensors": b"weights", "other.safetensors": b"other"})
    component = {"repo_id": REPO, "filename": "model.safetensors", "revision": "main", "network": "TinyNet"}
    register(source={"components": {"net": component}})
    assert run("tiny") == 0
    checkpoint = get_checkpoint("tiny")
    assert checkpoint.pinned
    assert checkpoint.source["components"]["net"]["revision"] == commit
    assert [vars(file) for file in checkpoint.files] == listed({"net/model.safetensors": b"weights"})


def test_bundled_folder_by_file(tmp_path, register, monkeypatch, tiny_folder):
    path = register(source={"bundled": "tiny"})
    monkeypatch.delenv("TRANSLATION_HUB_CHECKPOINTS")
    (tiny_folder / "notes.txt~").write_text("not a file of the checkpoint")
    assert run("tiny", "--file", path) == 0
    paths = [file["path"] for file in json.loads(path.read_text())[0]["files"]]
    assert paths == ["model_index.json", "net/config.json", "net/diffusion_pytorch_model.safetensors"]


def test_unknown_entry(tmp_path, register):
    path = register()
    with pytest.raises(UnknownCheckpointError, match="did you mean tiny"):
        run("tin")
    with pytest.raises(RegistryError, match="has no entry 'tin'; it has tiny"):
        run("tin", "--file", path)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda hub: hub.close(), "cannot be reached"),
        (lambda hub: None, "'org/tiny' does not exist"),
        (lambda hub: hub.add(REPO, {"a.bin": b"pickle"}), "has no file"),
    ],
)
def test_failure_leaves_the_file_as_it_is(hub, register, prepare, message):
    path = register(source={"repo_id": REPO, "revision": "main"})
    before = path.read_bytes()
    prepare(hub)
    with pytest.raises(CheckpointError, match=message):
        run("tiny")
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.glob("*") if file.is_file()] == [path.name]


def test_empty_bundled_folder(tmp_path, register):
    register(source={"bundled": "nothing"})
    with pytest.raises(CheckpointError, match="nothing holds no file of a checkpoint"):
        run("tiny")
