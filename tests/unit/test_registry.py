import json
from pathlib import Path

import pytest

from pipelines.hub import registry
from pipelines.hub.registry import (
    REGISTRY_FILE,
    RegistryError,
    UnknownCheckpointError,
    get_checkpoint,
    list_checkpoints,
    parse_registry,
)

COMMIT, SHA256 = "0" * 40, "0" * 64
FILE = {"path": "net/a.safetensors", "bytes": 1, "sha256": SHA256}
COMPONENT = {"repo_id": "org/name", "filename": "a.safetensors", "revision": COMMIT, "network": "TinyNet"}


def entry(**fields):
    base = {"id": "a", "title": "A", "task": "exemplar", "pipeline": "TinyPipeline", "license": "mit"}
    return base | {"training_data": "None.", "source": {"bundled": "weights/a"}} | fields


def parse(*entries):
    return parse_registry(list(entries), Path("file.json"))


def without(name):
    return {key: value for key, value in entry().items() if key != name}


WRONG = {
    "no_object": ("a text", "number 1, field `\\(the entry\\)`: must be an object"),
    "missing": (without("license"), "'a', field `license`: must be given"),
    "unknown_field": (entry(licence="mit"), "'a', field `licence`: must be one of id"),
    "id": (entry(id="A b"), "field `id`: must be lower-case letters"),
    "id_slash": (entry(id="org/name"), "field `id`"),
    "title": (entry(title=" "), "field `title`: must be a text that is not empty"),
    "task": (entry(task="paint"), "field `task`: must be one of exemplar, .* not 'paint'"),
    "pipeline": (entry(pipeline="os.system"), "field `pipeline`: must be the name of a class"),
    "source": (entry(source="folder"), "field `source`: must be an object"),
    "source_mixed": (entry(source={"bundled": "a", "repo_id": "b/c"}), "field `source.repo_id`"),
    "shared": (entry(source={"bundled": "a", "shared": ["b"]}), "field `source.shared`: must be an object"),
    "shared_name": (
        entry(source={"bundled": "a", "shared": {"../net": "b"}}),
        "field `source.shared`: must be an object whose keys name components, not '../net'",
    ),
    "shared_id": (entry(source={"bundled": "a", "shared": {"net": 3}}), "field `source.shared.net`: must be a text"),
    "shared_with_itself": (
        entry(source={"bundled": "a", "shared": {"net": "a"}}),
        "field `source.shared.net`: must be the id of a bundled entry of this file with a 'net' of its own, not 'a'",
    ),
    "shared_with_nobody": (entry(source={"bundled": "a", "shared": {"net": "b"}}), "`source.shared.net`: must be the"),
    "repo_id": (
        entry(source={"repo_id": "name", "revision": "main"}),
        "`source.repo_id`: must be the form owner",
    ),
    "revision": (entry(source={"repo_id": "a/b"}), "field `source.revision`: must be given"),
    "no_components": (entry(source={"components": {}}), "`source.components`: must be at least one"),
    "network": (
        entry(source={"components": {"net": {**COMPONENT, "network": 3}}}),
        "field `source.components.net.network`: must be a text",
    ),
    "filename": (
        entry(source={"components": {"net": {**COMPONENT, "filename": "model.bin"}}}),
        "field `source.components.net.filename`: must be a .safetensors file",
    ),
    "path_outside": (entry(files=[{**FILE, "path": "../a"}]), r"field `files\[0\].path`: must be a relative path"),
    "wildcard": (entry(files=[{**FILE, "path": "*"}]), r"field `files\[0\].path`"),
    "bytes": (
        entry(files=[{**FILE, "bytes": -1}]),
        r"field `files\[0\].bytes`: must be a whole number .* not -1",
    ),
    "sha256": (entry(files=[FILE | {"sha256": "abc"}]), r"field `files\[0\].sha256`: must be 64 .* not 'abc'"),
    "file_twice": (entry(files=[FILE, FILE]), "field `files`: must be every path once"),
    "file_of_no_component": (
        entry(source={"components": {"net": COMPONENT}}, files=[{**FILE, "path": "other/a.safetensors"}]),
        r"field `files`: must be exactly the paths \['net/a.safetensors'\]",
    ),
    "input": (entry(input={"size": 256}), "field `input.multiple`: must be given"),
    "input_size": (entry(input={"size": "256", "multiple": 8}), "field `input.size`: must be a whole number"),
    "defaults": (entry(defaults=[]), "field `defaults`: must be an object"),
    "metric": (entry(metrics=[{"name": "FID"}]), r"field `metrics\[0\].value`: must be given"),
    "metric_value": (
        entry(metrics=[{"name": "FID", "value": "low", "protocol": "p", "extractor": "e"}]),
        r"field `metrics\[0\].value`: must be a number",
    ),
    "example": (entry(examples=[{"image": "/etc/passwd"}]), r"field `examples\[0\].image`: must be a relative path"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_entry_is_refused_by_name(wrong, message):
    with pytest.raises(RegistryError, match=rf"file.json, entry .*{message}"):
        parse(wrong)


SHARING = entry(id="b", source={"bundled": "b", "shared": {"net": "a"}})


def test_shared_component_of_another_entry():
    assert parse(SHARING, entry())[0].source["shared"] == {"net": "a"}
    assert parse(SHARING, entry(files=[FILE]))[1].pinned


@pytest.mark.parametrize(
    "other",
    [
        entry(source={"repo_id": "org/name", "revision": COMMIT}),
        entry(files=[{**FILE, "path": "other/a.safetensors"}]),
        entry(id="c"),
    ],
    ids=["not_bundled", "without_it", "another_id"],
)
def test_shared_component_must_be_in_the_other_folder(other):
    with pytest.raises(RegistryError, match="entry 'b', field `source.shared.net`: must be the id of a bundled entry"):
        parse(SHARING, other)


def test_shared_component_is_not_passed_on():
    with pytest.raises(RegistryError, match="entry 'c', field `source.shared.net`"):
        parse(entry(), SHARING, entry(id="c", source={"bundled": "c", "shared": {"net": "b"}}))


def test_shared_component_has_no_own_files():
    with pytest.raises(RegistryError, match="entry 'b', field `files`: must be without net/, which `source.shared`"):
        parse(SHARING | {"files": [FILE]}, entry())


def test_id_stands_once():
    with pytest.raises(RegistryError, match="entry 'a', field `id`: stands twice"):
        parse(entry(), entry())


def test_file_must_hold_a_list():
    with pytest.raises(RegistryError, match="must hold a list of entries, not dict"):
        parse_registry({}, Path("file.json"))


@pytest.mark.parametrize(
    ("source", "files", "pinned"),
    [
        ({"bundled": "a"}, [FILE], True),
        ({"bundled": "a"}, [], False),
        ({"repo_id": "a/b", "revision": COMMIT}, [FILE], True),
        ({"repo_id": "a/b", "revision": "main"}, [FILE], False),
        ({"components": {"net": COMPONENT}}, [FILE], True),
        ({"components": {"net": {**COMPONENT, "revision": "main"}}}, [FILE], False),
        ({"components": {"net": COMPONENT}}, [], False),
    ],
)
def test_pinned_needs_commits_and_hashes(source, files, pinned):
    assert parse(entry(source=source, files=files))[0].pinned is pinned


def test_shipped_registry():
    assert "oeft-starter" in [checkpoint.id for checkpoint in list_checkpoints("exemplar")]
    assert "cut-horse2zebra" in [checkpoint.id for checkpoint in list_checkpoints("unpaired")]
    assert [each.id for each in list_checkpoints("many-class")] == ["deepi2i-animals", "deepi2i-foods"]
    for checkpoint in list_checkpoints():
        if "bundled" in checkpoint.source:
            assert checkpoint.files == () or checkpoint.pinned
        for example in checkpoint.examples:
            assert all((REGISTRY_FILE.parent / path).is_file() for path in example.values())


def test_the_weights_of_the_repository_stay_small():
    sizes = [path.stat().st_size for path in (REGISTRY_FILE.parent / "weights").rglob("*") if path.is_file()]
    assert max(sizes) < 10_000_000
    assert sum(sizes) < 30_000_000


def test_shipped_registry_is_in_the_form_that_pin_writes():
    text = REGISTRY_FILE.read_text()
    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n"


def test_unknown_task():
    with pytest.raises(RegistryError, match="`task` is 'paint'; accepted are exemplar"):
        list_checkpoints("paint")


def test_unknown_id_names_the_closest():
    with pytest.raises(UnknownCheckpointError, match="no checkpoint 'oeft-startr'; did you mean oeft-starter"):
        get_checkpoint("oeft-startr")
    with pytest.raises(UnknownCheckpointError, match="known are oeft-starter, "):
        get_checkpoint("zzz")


def test_extra_registry_adds_and_overrides(register):
    register()
    assert get_checkpoint("tiny").title == "Tiny"
    assert get_checkpoint("oeft-starter")
    path = register(id="oeft-starter", title="Mine")
    assert get_checkpoint("oeft-starter").title == "Mine"
    assert get_checkpoint("oeft-starter").registry_file == path


def test_without_the_repositorys_registry_the_extra_one_is_enough(register, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "REGISTRY_FILE", tmp_path / "site-packages" / "checkpoints.json")
    with pytest.raises(RegistryError, match=r"checkpoints.json does not exist: set TRANSLATION_HUB_CHECKPOINTS to a"):
        list_checkpoints()
    register()
    assert [checkpoint.id for checkpoint in list_checkpoints()] == ["tiny"]


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, r"extra.json does not exist; TRANSLATION_HUB_CHECKPOINTS"), ("[", "extra.json is not valid JSON")],
)
def test_unreadable_extra_registry(tmp_path, monkeypatch, text, message):
    monkeypatch.setenv("TRANSLATION_HUB_CHECKPOINTS", str(tmp_path / "extra.json"))
    if text is not None:
        (tmp_path / "extra.json").write_text(text)
    with pytest.raises(RegistryError, match=message):
        list_checkpoints()
