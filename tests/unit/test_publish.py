"""Publishing to the stand-in of the Hub, and loading what was published."""

import hashlib
import json

import numpy as np
import pytest
from huggingface_hub import constants

import pipelines
from pipelines import CUTPipeline
from pipelines.__main__ import main
from pipelines.commands.published_entry import TASK_OF
from pipelines.hub.errors import CheckpointError, explain_upload
from tests.tiny import picture, tiny_cut

REPO = "Org/Tiny_CUT"
WEIGHTS = "generator/diffusion_pytorch_model.safetensors"
FILES = ["README.md", "generator/config.json", WEIGHTS, "model_index.json"]
CARD = """---
license: mit
---

# Tiny pictures

## Training

Ten pictures,
drawn here.

More words.
"""


@pytest.fixture
def folder(tmp_path):
    """A saved tiny CUT pipeline with a card."""
    tiny_cut().save_pretrained(tmp_path / "cut")
    (tmp_path / "cut" / "README.md").write_text(CARD)
    return tmp_path / "cut"


def publish(folder, *words):
    return main(["publish", str(folder), "--repo-id", REPO, *words])


def translated(pipe):
    pipe.set_progress_bar_config(disable=True)
    return np.array(pipe(picture(), precision="fp32").images[0])


def commits(hub):
    return [request for request in hub.requests if "/commit/" in request]


def bundle(register, folder, **fields):
    """Register the folder, pinned."""
    entry = {"task": "unpaired", "pipeline": "CUTPipeline", "license": "mit", **fields}
    path = register(source={"bundled": folder.name}, **entry)
    assert main(["pin", "tiny"]) == 0
    return path


def test_printed_entry_loads_the_same_pixels(hub, folder, tmp_path, monkeypatch, capsys):
    assert publish(folder) == 0
    entry = json.loads(capsys.readouterr().out)
    assert len(commits(hub)) == 1
    assert entry["source"] == {"repo_id": REPO, "revision": hub.commits[REPO, "main"]}
    assert [file["path"] for file in entry["files"]] == FILES
    assert {name: entry[name] for name in ("id", "title", "task", "pipeline", "license", "training_data")} == {
        "id": "tiny_cut",
        "title": "Tiny pictures",
        "task": "unpaired",
        "pipeline": "CUTPipeline",
        "license": "mit",
        "training_data": "Ten pictures, drawn here.",
    }
    (tmp_path / "registry.json").write_text(json.dumps([entry]))
    monkeypatch.setenv("TRANSLATION_HUB_CHECKPOINTS", str(tmp_path / "registry.json"))
    monkeypatch.setenv("TRANSLATION_HUB_STRICT", "1")
    assert np.array_equal(translated(CUTPipeline.from_pretrained("tiny_cut")), translated(tiny_cut()))
    assert np.array_equal(translated(CUTPipeline.from_pretrained(REPO)), translated(tiny_cut()))
    before = (tmp_path / "registry.json").read_text()
    assert main(["pin", "tiny_cut"]) == 0
    assert json.loads((tmp_path / "registry.json").read_text()) == json.loads(before)


def test_hub_holds_card_weights_and_hashes(hub, folder):
    assert publish(folder) == 0
    held = hub.repos[REPO]["main"]
    assert {path: held[path] for path in FILES} == {path: (folder / path).read_bytes() for path in FILES}
    lines = [f"{hashlib.sha256(held[path]).hexdigest()}  {path}" for path in FILES]
    assert held["SHA256SUMS"].decode().splitlines() == lines
    assert set(held) == {*FILES, "SHA256SUMS", ".gitattributes"}


def test_entry_of_a_bundled_folder(hub, folder, register, capsys):
    metrics = [{"name": "KID", "value": 0.5, "protocol": "ten pictures", "extractor": "none"}]
    facts = {"title": "Registered", "training_data": "Said there.", "defaults": {"size": 24}, "metrics": metrics}
    facts["input"] = {"size": 24, "multiple": 4}
    path = bundle(register, folder, **facts, examples=[{"image": "a.png"}])
    before = json.loads(path.read_text())[0]
    capsys.readouterr()
    assert publish(folder, "--title", "Given") == 0
    printed = capsys.readouterr()
    source = {"repo_id": REPO, "revision": hub.commits[REPO, "main"]}
    assert json.loads(printed.out) == before | {"source": source, "title": "Given", "examples": []}
    assert "left out of the entry: its examples" in printed.err
    assert "takes the place of the one that checkpoints.json has for 'tiny'" in printed.err


def test_dry_run_sends_nothing(hub, folder, capsys):
    assert publish(folder, "--dry-run", "--id", "mine") == 0
    printed = capsys.readouterr()
    entry = json.loads(printed.out)
    assert (entry["id"], entry["source"]["revision"]) == ("mine", "main")
    assert all(f"bytes  {path}" in printed.err for path in FILES)
    assert hub.requests == []


def test_only_what_loads_is_sent(hub, folder, capsys):
    for name in ("picture.png", "optimizer.safetensors", "generator/old.bin", ".cache/state.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert publish(folder) == 0
    assert "left out: .cache/state.json, generator/old.bin, optimizer.safetensors, picture" in capsys.readouterr().err
    assert set(hub.repos[REPO]["main"]) == {*FILES, "SHA256SUMS", ".gitattributes"}


def test_publishing_again_follows_the_first_commit(hub, folder):
    assert publish(folder) == 0
    first = hub.commits[REPO, "main"]
    (folder / "README.md").write_text(CARD + "More.\n")
    assert publish(folder) == 0
    assert hub.commits[REPO, "main"] != first
    assert hub.repos[REPO]["main"]["README.md"].endswith(b"More.\n")


def no_card(folder):
    (folder / "README.md").unlink()


def no_license(folder):
    (folder / "README.md").write_text(CARD.replace("license: mit", "tags: []"))


def broken_header(folder):
    (folder / "README.md").write_text(CARD.replace("license: mit", "license: [mit"))


def no_training(folder):
    (folder / "README.md").write_text(CARD.split("#")[0])


def cut_off_weights(folder):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])


def other_pipeline(folder):
    (folder / "model_index.json").write_text('{"_class_name": "OtherPipeline"}')


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (no_card, 1, "has no README.md: write a card"),
        (no_license, 1, "names no license: add `license: ID` to its header"),
        (broken_header, 1, "is not valid YAML"),
        (no_training, 2, "has no heading and no section Training: give --title and --training-data."),
        (cut_off_weights, 1, "is cut off or damaged"),
        (other_pipeline, 1, "is for OtherPipeline, which this version does not have"),
    ],
)
def test_folder_that_is_refused(hub, folder, capsys, spoil, code, message):
    spoil(folder)
    assert publish(folder) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert hub.requests == []


def test_folder_that_is_not_there(hub, tmp_path, capsys):
    assert publish(tmp_path / "nothing") == 1
    assert "nothing does not exist" in capsys.readouterr().err


def test_names_that_the_registry_does_not_take(hub, folder, capsys):
    assert publish(folder, "--id", "Mine!") == 1
    assert "field `id`: must be lower-case" in capsys.readouterr().err
    assert main(["publish", str(folder), "--repo-id", "tiny"]) == 1
    assert "must be the form owner/name, not 'tiny'" in capsys.readouterr().err
    assert hub.requests == []


def test_bundled_folder_that_is_not_the_registered_one(hub, folder, register, capsys):
    bundle(register, folder)
    (folder / "README.md").write_text(CARD + "Changed.\n")
    assert publish(folder) == 1
    assert "does not hold the files that checkpoint 'tiny' is pinned to" in capsys.readouterr().err
    bundle(register, folder, license="apache-2.0")
    assert publish(folder) == 1
    assert "says license 'mit', and the registry 'apache-2.0': make them the same" in capsys.readouterr().err
    assert hub.requests == []


def test_private_repository(hub, folder, capsys):
    assert publish(folder, "--private") == 0
    assert hub.private == {REPO}
    assert publish(folder, "--private") == 0
    hub.private.clear()
    sent = len(commits(hub))
    assert publish(folder, "--private") == 1
    assert "'Org/Tiny_CUT' exists and is public, nothing was sent" in capsys.readouterr().err
    assert len(commits(hub)) == sent


def test_repository_of_another_checkpoint_is_left_as_it_is(hub, folder, capsys):
    hub.add(REPO, {"net/config.json": b"{}", "README.md": b"# Other", "notes.txt": b"kept"})
    assert publish(folder) == 1
    assert "holds net/config.json, which this checkpoint does not have, nothing was sent" in capsys.readouterr().err
    assert hub.repos[REPO]["main"]["README.md"] == b"# Other"


def test_hub_that_keeps_something_else_than_was_sent(hub, folder, capsys, monkeypatch):
    add = hub.add
    monkeypatch.setattr(hub, "add", lambda repo_id, files: add(repo_id, files | {"model_index.json": b"{}"}))
    assert publish(folder) == 1
    printed = capsys.readouterr()
    assert "does not hold what was sent" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "asks for a token to write 'Org/Tiny_CUT': log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_reader", "Your token may not write 'Org/Tiny_CUT' at http"),
    ],
)
def test_token(hub, folder, capsys, monkeypatch, tmp_path, token, message):
    hub.write_token = "hf_writer"
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert publish(folder) == 1
    assert message in capsys.readouterr().err
    assert hub.repos == {}
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    assert publish(folder) == 0


def test_no_network(hub, folder, capsys, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what the variable of this name sets on import
    assert publish(folder) == 1
    assert "the network is switched off (HF_HUB_OFFLINE)" in capsys.readouterr().err


def test_dead_server(hub, folder, capsys):
    hub.close()
    assert publish(folder) == 1
    assert f"{hub.endpoint} cannot be reached: check the connection" in capsys.readouterr().err


def test_other_failures_are_one_sentence():
    told = explain_upload(ValueError("first\nsecond"), REPO, "http://hub", has_token=True)
    assert isinstance(told, CheckpointError)
    assert str(told) == "Writing 'Org/Tiny_CUT' at http://hub failed (ValueError: first second): run it again."


def test_every_pipeline_has_a_task():
    assert TASK_OF.keys() == pipelines._MODULES.keys()
