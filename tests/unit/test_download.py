"""The real client of the Hub against the stand-in."""

import hashlib
import os
import time

import pytest
from huggingface_hub import constants

from pipelines.hub import snapshot
from pipelines.hub.download import fetch, locate
from pipelines.hub.errors import CheckpointError
from pipelines.hub.registry import get_checkpoint

WEIGHTS = "net/diffusion_pytorch_model.safetensors"
FILES = {
    "model_index.json": b"{}",
    "net/config.json": b"{ }",
    WEIGHTS: os.urandom(100_000),
    "README.md": b"# Tiny",
}
REPO = "org/tiny"


def listed(files=FILES):
    return [
        {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()
    ]


@pytest.fixture
def pinned(hub, register):
    """The registered checkpoint `tiny`, pinned to what the Hub holds."""
    commit = hub.add(REPO, FILES)
    register(source={"repo_id": REPO, "revision": commit}, files=listed())
    return hub


def read(folder):
    return {path: (folder / path).read_bytes() for path in FILES}


def test_pinned_checkpoint_arrives_and_asks_nothing_the_second_time(pinned):
    located = locate("tiny")
    assert read(located.folder) == FILES
    assert located.checkpoint == "tiny"
    assert located.revision == pinned.commits[REPO, "main"]
    pinned.requests.clear()
    assert fetch("tiny") == located.folder
    assert pinned.requests == []


def test_pinned_checkpoint_loads_from_the_cache_without_a_server(pinned):
    folder = fetch("tiny")
    pinned.close()
    assert fetch("tiny") == folder


def test_hub_id_takes_a_revision(hub):
    first = hub.add(REPO, FILES)
    second = hub.add(REPO, FILES | {"README.md": b"# Newer"})
    assert locate(REPO).revision == second
    assert locate(REPO, revision=first).revision == first


def test_only_weights_and_texts_are_downloaded(hub):
    others = {"net/code.py": b"import os", "net/diffusion_pytorch_model.bin": b"pickle", "picture.png": b"png"}
    variant = {"net/diffusion_pytorch_model.fp16.safetensors": b"half"}
    hub.add(REPO, FILES | others | variant)
    folder = fetch(REPO)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == sorted(FILES)
    folder = fetch(REPO, variant="fp16")
    assert (folder / "net/diffusion_pytorch_model.fp16.safetensors").is_file()


@pytest.fixture
def no_waiting(monkeypatch):
    """The client waits a second before each of its attempts to resume."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


def test_broken_transfer_is_resumed_where_it_stopped(pinned, no_waiting, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # what has arrived counts in whole chunks
    pinned.truncate[WEIGHTS] = 60_500
    assert read(fetch("tiny")) == FILES
    assert [request.split()[-1] for request in pinned.transfers() if "bytes=" in request] == ["bytes=60000-"]


def test_transfer_that_never_ends_keeps_the_finished_files(pinned, no_waiting):
    pinned.broken.add(WEIGHTS)
    with pytest.raises(CheckpointError, match="'org/tiny' at revision .* broke off .* run it again, finished files"):
        fetch("tiny")
    pinned.broken.clear()
    pinned.requests.clear()
    assert read(fetch("tiny")) == FILES
    assert [request.split("/")[-1] for request in pinned.transfers()] == [WEIGHTS.split("/")[-1]]


@pytest.mark.parametrize("source", ["tiny", REPO])
def test_flipped_byte_is_downloaded_again(pinned, source):
    pinned.flip[WEIGHTS] = 1
    assert read(fetch(source)) == FILES
    assert sum(WEIGHTS in request for request in pinned.transfers()) == 2


def move_main(hub, monkeypatch, files):
    """The main branch moves between the download of a damaged file and the second download."""
    remove = snapshot._remove
    monkeypatch.setattr(snapshot, "_remove", lambda *given: (remove(*given), hub.add(REPO, files)))
    hub.flip[WEIGHTS] = 1


def test_branch_that_moves_before_the_second_download(hub, monkeypatch):
    hub.add(REPO, FILES)
    newer = FILES | {WEIGHTS: b"newer", "README.md": b"# Newer"}
    move_main(hub, monkeypatch, newer)
    located = locate(REPO)
    assert located.revision == hub.commits[REPO, "main"]
    assert {path: (located.folder / path).read_bytes() for path in newer} == newer


def test_branch_that_loses_a_file_before_the_second_download(hub, register, monkeypatch):
    hub.add(REPO, FILES)
    register(source={"repo_id": REPO, "revision": "main"}, files=listed())
    move_main(hub, monkeypatch, {path: data for path, data in FILES.items() if path != WEIGHTS})
    with pytest.raises(CheckpointError, match=f"'org/tiny' at revision 'main' has no file '{WEIGHTS}'"):
        fetch("tiny")


def test_byte_that_stays_flipped_is_never_loaded(pinned):
    pinned.flip[WEIGHTS] = 2
    with pytest.raises(CheckpointError, match="does not have the expected sha256, also after a second download"):
        fetch("tiny")
    assert read(fetch("tiny")) == FILES


def test_flipped_byte_of_a_small_file_is_found_by_its_recorded_hash(pinned):
    pinned.flip["net/config.json"] = 1
    assert read(fetch("tiny")) == FILES


def test_file_damaged_in_the_cache_is_found_and_replaced(pinned):
    path = (fetch("tiny") / WEIGHTS).resolve()
    path.write_bytes(FILES[WEIGHTS][:-1] + b"x")
    assert read(fetch("tiny")) == FILES


def test_file_damaged_in_the_cache_without_a_server(pinned):
    path = (fetch("tiny") / WEIGHTS).resolve()
    path.write_bytes(b"short")
    pinned.close()
    with pytest.raises(CheckpointError, match="was damaged .* removed from the cache; downloading it again failed"):
        fetch("tiny")
    assert not path.exists()


def test_dead_server_is_told_at_once(pinned):
    pinned.close()
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="cannot be reached, and 'org/tiny' at revision .* check the connection"):
        fetch("tiny")
    assert time.monotonic() - start < 2


def test_switched_off_network(pinned):
    with pytest.raises(CheckpointError, match="the network is switched off"):
        fetch("tiny", local_files_only=True)
    assert pinned.requests == []


def test_offline_setting_of_the_client(pinned, tmp_path, monkeypatch):
    folder = fetch("tiny")
    pinned.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # what the variable of this name sets on import
    assert fetch("tiny") == folder
    with pytest.raises(CheckpointError, match=r"the network is switched off \(HF_HUB_OFFLINE"):
        fetch("tiny", cache_dir=tmp_path / "empty")
    assert pinned.requests == []


def missing_repository(hub, register):
    register(source={"repo_id": "org/nothing", "revision": "main"})


def gated(hub, register):
    register(source={"repo_id": REPO, "revision": hub.add(REPO, FILES)}, files=listed())
    hub.gated.add(REPO)


def missing_revision(hub, register):
    hub.add(REPO, FILES)
    register(source={"repo_id": REPO, "revision": "1" * 40}, files=listed())


def missing_file(hub, register):
    commit = hub.add(REPO, {path: data for path, data in FILES.items() if path != WEIGHTS})
    register(source={"repo_id": REPO, "revision": commit}, files=listed())


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (missing_repository, "'org/nothing' does not exist at http.*, or is private: check the name"),
        (gated, "'org/tiny' is gated: accept its terms at http.*/org/tiny, then log in"),
        (missing_revision, "'org/tiny' has no revision '1111"),
        (missing_file, "'org/tiny' at revision .* has no file 'net/diffusion_pytorch_model.safetensors'"),
    ],
)
def test_each_refusal_has_its_sentence(hub, register, prepare, message):
    prepare(hub, register)
    with pytest.raises(CheckpointError, match=message) as caught:
        fetch("tiny")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("org/..name", "neither a folder, nor a checkpoint id, nor a Hub id"),
        ("a/b/c", "The folder 'a/b/c' does not exist"),
        ("./tiny", "The folder './tiny' does not exist"),
    ],
)
def test_name_that_can_be_nothing(hub, name, message):
    with pytest.raises(CheckpointError, match=message):
        fetch(name)
    assert hub.requests == []


def test_checkpoint_brings_its_own_revision(pinned):
    with pytest.raises(ValueError, match="`revision` is 'main', but checkpoint 'tiny' brings its own"):
        fetch("tiny", revision="main")


@pytest.mark.parametrize("fields", [{"files": []}, {"source": {"repo_id": REPO, "revision": "main"}}])
def test_strict_setting_refuses_what_is_not_pinned(hub, register, monkeypatch, fields):
    commit = hub.add(REPO, FILES)
    register(**({"source": {"repo_id": REPO, "revision": commit}, "files": listed()} | fields))
    assert read(fetch("tiny")) == FILES
    monkeypatch.setenv("TRANSLATION_HUB_STRICT", "1")
    with pytest.raises(CheckpointError, match="'tiny' is not pinned .* run `python -m pipelines pin tiny`"):
        fetch("tiny")


def test_strict_setting_takes_what_is_pinned(pinned, monkeypatch):
    monkeypatch.setenv("TRANSLATION_HUB_STRICT", "1")
    assert read(fetch("tiny")) == FILES


@pytest.fixture
def bundled(tmp_path, register):
    for path, data in FILES.items():
        (tmp_path / "weights" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "weights" / path).write_bytes(data)
    register(source={"bundled": "weights"}, files=listed())
    return tmp_path / "weights"


def test_bundled_folder_is_verified(bundled):
    assert locate("tiny") == (bundled, "tiny", None)
    assert fetch(get_checkpoint("tiny")) == bundled
    (bundled / WEIGHTS).write_bytes(b"x" * len(FILES[WEIGHTS]))
    with pytest.raises(CheckpointError, match="of checkpoint 'tiny' does not have the expected sha256: restore"):
        fetch("tiny")
    (bundled / WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="'tiny' has no file 'net/diff"):
        fetch("tiny")


def test_bundled_folder_is_missing(register):
    register(source={"bundled": "nowhere"})
    with pytest.raises(CheckpointError, match="'tiny' should lie in .*nowhere, which does not exist"):
        fetch("tiny")


def test_verified_files_are_not_read_again(bundled, monkeypatch):
    fetch("tiny")
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert fetch("tiny") == bundled
