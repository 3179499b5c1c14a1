"""Parts of the Unpaired tab that need no server."""

import pickle
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
import torch

from demo.devices import device_manager, usable_checkpoints
from demo.errors import explain
from demo.own_checkpoint import OwnCheckpoint, fetch_from_hub
from demo.settings import DemoSettings
from demo.tab_unpaired import UnpairedTab
from demo.theme import launch_options
from demo.unpaired_own import convert_file
from demo.unpaired_result import Results
from demo.unpaired_run import Begun, Failed, Job, Translated, gpu_seconds, translate
from demo.unpaired_snippets import snippets_for
from pipelines import CUTPipeline, SinCUTPipeline, list_checkpoints
from pipelines.conversion.report import ConversionError
from pipelines.hub.errors import CheckpointError
from pipelines.hub.snapshot import measure_snapshot
from pipelines.images.limits import ImageError
from pipelines.images.provenance import read_record
from tests.app.tiny_unpaired import tiny_cut
from tests.authors_cut import authors_file
from tests.hub_server import HubServer
from tests.tiny import tiny_deepi2i_stylegan, tiny_oeft


@pytest.fixture
def job(app_environment, pictures, tmp_path):
    files = tuple(str(pictures[name]) for name in ("source", "broken", "exemplar"))
    return Job("cut-one", files, None, 40_000, 1, tmp_path / "stop")


@pytest.fixture
def hub(app_environment, monkeypatch):
    server = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    yield server
    server.close()


@pytest.fixture
def pth(tmp_path):
    """A generator as the authors' code saves it."""
    torch.save(authors_file(), tmp_path / "latest_net_G.pth")
    return str(tmp_path / "latest_net_G.pth")


def files_of(pipe, folder) -> dict[str, bytes]:
    pipe.save_pretrained(folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def collect(job, folder) -> Results:
    results = Results(folder)
    for event in translate(job):
        if isinstance(event, Translated):
            results.add(event)
        elif isinstance(event, Failed):
            results.failures.append(event)
    return results


def test_all_that_crosses_to_a_forked_worker_can_be_pickled(job):
    events = [pickle.loads(pickle.dumps(event)) for event in translate(pickle.loads(pickle.dumps(job)))]
    assert [type(event) for event in events] == [Begun, Translated, Failed, Begun, Translated]


def test_a_broken_photo_is_named_and_does_not_stop_the_rest(job):
    events = list(translate(job))
    assert events[2].reason.startswith("The photo (broken.png) is not an image that can be read")
    assert [event.image.size for event in events if isinstance(event, Translated)] == [(128, 96), (80, 100)]
    assert events[0].seconds_left is None
    assert events[3].seconds_left > 0


def test_an_error_of_one_photo_that_nobody_foresaw_stays_with_it(job, monkeypatch):
    real = CUTPipeline.__call__

    def call(self, image, **arguments):
        if "exemplar" in str(image):
            raise KeyError("secret")
        return real(self, image, **arguments)

    monkeypatch.setattr(CUTPipeline, "__call__", call)
    *_, last = translate(job)
    assert isinstance(last, Failed)
    assert "written down as" in last.reason
    assert "secret" not in last.reason


def test_a_file_that_is_too_large_is_named(job, tmp_path):
    large = tmp_path / "noise.png"
    large.write_bytes(bytes(2 * 2**20))
    (event,) = translate(replace(job, files=(str(large),)))
    assert event.reason == "noise.png has 2.0 MB; at most 1 MB are accepted."


def test_stop_ends_a_run_between_two_photos(job):
    run = translate(job)
    assert isinstance(next(run), Begun)
    job.stop_file.touch()
    assert [type(event) for event in run] == [Translated]


def test_closing_a_run_frees_the_pipeline_for_the_next(job):
    run = translate(job)
    next(run)
    closer = threading.Thread(target=run.close)  # gradio closes it in another thread
    closer.start()
    closer.join()
    assert isinstance(list(translate(job))[-1], Translated)


def test_a_large_photo_is_scaled_and_says_so_in_its_record(job, pictures):
    _, event = translate(replace(job, files=(str(pictures["large"]),)))
    width, height = event.image.size
    assert abs(width * height - 40_000) < 800
    assert event.record["notes"][0] == f"The photo was scaled from 400 x 300 to {width} x {height} pixels."


def test_record_repeats_the_run(job, pictures):
    _, event = translate(replace(job, files=job.files[:1], precision="fp32"))
    assert event.record["arguments"]["precision"] == "fp32"
    again = CUTPipeline.from_pretrained("cut-one")(pictures["source"], **event.record["arguments"])
    assert again.images[0].tobytes() == event.image.tobytes()


def test_gpu_time_grows_with_the_photos_and_has_an_end(job):
    one, many, more = (gpu_seconds(replace(job, files=("a",) * count)) for count in (1, 20, 200))
    assert one < many < more <= 120


def test_results_have_names_of_their_own_and_go_into_one_archive(job, tmp_path):
    same = (job.files[0], job.files[1], job.files[0])
    results = collect(replace(job, files=same), tmp_path)
    names = ["my-source-cut-one.png", "my-source-cut-one-2.png"]
    with zipfile.ZipFile(results.archive()) as archive:
        assert archive.namelist() == names
        archive.extractall(tmp_path / "unpacked")
    assert read_record(tmp_path / "unpacked" / names[1])["inputs"]["image"][0]["name"] == "my source.png"
    assert results.summary(3, stopped=False).startswith("2 of 3 photos in ")
    assert results.summary(3, stopped=True).startswith("Stopped: 2 of 3 photos in ")
    assert results.details()["failed"][0]["name"] == "broken.png"


def test_a_file_name_is_no_markup(job, tmp_path):
    bad = tmp_path / "<img src=x>.png"
    bad.write_bytes(b"nothing")
    notes = collect(replace(job, files=(job.files[0], str(bad))), tmp_path).notes()
    assert "<img" not in notes
    assert "&lt;img" in notes


def test_a_pipeline_that_is_lent_is_in_no_map(app_environment, monkeypatch):
    manager = device_manager()
    before = manager.device_map()
    with manager.lend(tiny_cut) as pipe:
        assert pipe.device.type == manager.device.type
        assert manager._lock.locked()
    assert not manager._lock.locked()
    assert manager.device_map() == before


def test_an_uploaded_file_becomes_a_pipeline(job, pth, tmp_path):
    own = convert_file(pth, tmp_path / "own", 1)
    assert (own.name, own.revision) == ("latest_net_G.pth", None)
    _, event = translate(replace(job, checkpoint=own, files=job.files[:1]))
    assert event.record["checkpoint"] == "latest_net_G.pth"
    assert str(tmp_path) not in str(event.record)
    expected = CUTPipeline.from_pretrained(tmp_path / "own")(job.files[0]).images[0]
    assert event.image.tobytes() == expected.tobytes()


def test_a_file_that_is_no_generator_is_explained_without_its_folder(tmp_path):
    path = tmp_path / "latest_net_D.pth"
    torch.save({"model.0.weight": torch.zeros(4, 3, 4, 4)}, path)
    with pytest.raises(ConversionError, match="latest_net_D.pth") as caught:
        convert_file(str(path), tmp_path / "own", 1)
    shown = explain(caught.value).message
    assert str(tmp_path) not in shown
    assert len(shown) < 600
    assert not (tmp_path / "own").exists()


def test_a_checkpoint_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "huge.pth"
    path.write_bytes(bytes(3 * 2**20))
    with pytest.raises(ConversionError, match=r"huge.pth has 3 MB; at most 2 MB are accepted\."):
        convert_file(str(path), tmp_path / "own", 2)


def test_a_checkpoint_of_the_hub(hub, job, tmp_path):
    files = files_of(tiny_cut(5), tmp_path / "saved")
    commit = hub.add("someone/cut", files | {"evil.py": b"raise SystemExit", "x.bin": bytes(5 * 2**20)})
    own = fetch_from_hub("someone/cut", tmp_path / "own", 1, "CUTPipeline")
    assert (own.name, own.revision) == ("someone/cut", commit)
    assert not (tmp_path / "own" / "evil.py").exists()
    assert not any(path.is_symlink() for path in (tmp_path / "own").rglob("*"))
    _, event = translate(replace(job, checkpoint=own, files=job.files[:1]))
    assert (event.record["checkpoint"], event.record["revision"]) == ("someone/cut", commit)


def test_a_large_repository_is_refused_before_anything_is_transferred(hub, tmp_path):
    hub.add("someone/huge", {"model_index.json": b"{}", "generator/model.safetensors": bytes(3 * 2**20)})
    with pytest.raises(CheckpointError, match=r"someone/huge has 3 MB; at most 2 MB are accepted\."):
        fetch_from_hub("someone/huge", tmp_path / "own", 2, "CUTPipeline")
    assert hub.transfers() == []


def test_what_would_be_transferred_is_measured(hub):
    commit = hub.add("someone/cut", {"a/x.safetensors": bytes(70), "a/x.fp16.safetensors": bytes(90), "b.pth": b"123"})
    assert measure_snapshot("someone/cut") == (commit, 70)


def test_no_token_of_the_owner_is_used_for_a_visitor(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_owner")
    seen = []
    original = hub.http.RequestHandlerClass._answer

    def answer(handler):
        seen.append(handler.headers.get("Authorization"))
        original(handler)

    monkeypatch.setattr(hub.http.RequestHandlerClass, "_answer", answer)
    hub.add("someone/cut", files_of(tiny_cut(), tmp_path / "saved"))
    fetch_from_hub("someone/cut", tmp_path / "own", 1, "CUTPipeline")
    assert seen
    assert set(seen) == {None}


@pytest.mark.parametrize("name", ["", "cut-one", "../weights", "/etc/passwd", "a/b/c", "https://example.org/a"])
def test_only_hub_ids_are_looked_up(hub, name, tmp_path):
    with pytest.raises(CheckpointError, match="is not a Hub id"):
        fetch_from_hub(name, tmp_path / "own", 1, "CUTPipeline")
    assert hub.requests == []


def test_a_folder_of_this_machine_is_no_hub_id(hub, tmp_path, monkeypatch):
    tiny_cut().save_pretrained(tmp_path / "weights" / "secret")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="does not exist at"):
        fetch_from_hub("weights/secret", tmp_path / "own", 1, "CUTPipeline")


def test_a_pipeline_of_another_method_is_named_without_a_path(hub, tmp_path):
    hub.add("someone/oeft", files_of(tiny_oeft(), tmp_path / "saved"))
    with pytest.raises(CheckpointError, match="someone/oeft holds a OEFTPipeline, not a CUTPipeline") as caught:
        fetch_from_hub("someone/oeft", tmp_path / "own", 1, "CUTPipeline")
    assert str(tmp_path) not in str(caught.value)
    assert "`python -m pipelines translate someone/oeft --image photo.jpg --exemplar other.jpg`" in str(caught.value)
    hub.add("someone/pair", files_of(SinCUTPipeline(), tmp_path / "untrained"))
    with pytest.raises(CheckpointError, match=r"translate someone/pair --image photo.jpg --exemplar other.jpg`"):
        fetch_from_hub("someone/pair", tmp_path / "pair", 1, "CUTPipeline")
    hub.add("someone/new", files_of(tiny_cut(), tmp_path / "saved") | {"model_index.json": b'{"_class_name": "New"}'})
    with pytest.raises(CheckpointError, match="someone/new holds a New, not a CUTPipeline: use the class it names"):
        fetch_from_hub("someone/new", tmp_path / "new", 1, "CUTPipeline")


@pytest.mark.parametrize("tab", ["CUTPipeline", "DeepI2IPipeline"])
def test_the_stylegan_variant_is_sent_to_the_command_line(hub, tmp_path, tab):
    hub.add("someone/cats", files_of(tiny_deepi2i_stylegan(), tmp_path / "saved"))
    message = (
        f"someone/cats holds a DeepI2IStyleGANPipeline, not a {tab}, which this tab takes: .*translate someone/cats"
    )
    with pytest.raises(CheckpointError, match=message):
        fetch_from_hub("someone/cats", tmp_path / "own", 1, tab)


def test_a_checkpoint_of_another_tab_is_sent_there(hub, tmp_path):
    hub.add("someone/zebra", files_of(tiny_cut(), tmp_path / "saved"))
    with pytest.raises(
        CheckpointError, match="not a DeepI2IPipeline, which this tab takes: load it in the Unpaired tab"
    ):
        fetch_from_hub("someone/zebra", tmp_path / "own", 1, "DeepI2IPipeline")


def test_a_checkpoint_that_was_deleted_asks_to_be_loaded_again(job, tmp_path):
    with pytest.raises(CheckpointError, match="latest_net_G.pth is no longer kept here: load it again"):
        list(
            translate(
                replace(job, checkpoint=OwnCheckpoint("latest_net_G.pth", None, tmp_path / "gone", "CUTPipeline"))
            )
        )


def build(monkeypatch, ids, **settings) -> tuple[gr.Blocks, UnpairedTab]:
    """The tab alone, with some of the registry's checkpoints."""
    entries = [entry for entry in usable_checkpoints("unpaired") if entry.id in ids]
    monkeypatch.setattr("demo.tab_unpaired.usable_checkpoints", lambda task: entries)
    with gr.Blocks() as blocks:
        return blocks, UnpairedTab(DemoSettings(**settings))


def handlers(blocks) -> set[str]:
    return {function.fn.__name__ for function in blocks.fns.values() if function.fn}


def test_with_no_checkpoint_the_tab_says_so(app_environment, monkeypatch, pictures):
    _, tab = build(monkeypatch, [])
    assert tab.nothing.visible
    assert not tab.checkpoint.visible
    photos = [(str(pictures["source"]), None)]
    with pytest.raises(ImageError, match="No translation is installed here"):
        list(tab._run(photos, None, "auto", None, gr.Request(session_hash="me")))


def test_one_and_several_checkpoints_with_their_examples(app_environment, monkeypatch):
    _, one = build(monkeypatch, ["cut-one"])
    _, both = build(monkeypatch, ["cut-one", "cut-other"])
    assert one.checkpoint.choices == [("Day to night", "cut-one")]
    assert both.checkpoint.choices == [("Day to night", "cut-one"), ("Night to day", "cut-other")]
    assert one.checkpoint.value == both.checkpoint.value == "cut-one"
    (example,) = both.examples  # the one whose result is missing is left out
    assert example.thumbnail().size == (384, 192)


def test_a_checkpoint_of_another_pipeline_is_not_offered(app_environment, monkeypatch):
    entry = list_checkpoints("unpaired")[0]
    both = [replace(entry, pipeline=name) for name in ("CUTPipeline", "DeepI2IStyleGANPipeline")]
    monkeypatch.setattr("demo.tab_unpaired.usable_checkpoints", lambda task: both)
    with gr.Blocks():
        tab = UnpairedTab(DemoSettings())
    assert [entry.pipeline for entry in tab.checkpoints] == ["CUTPipeline"]


def test_the_owner_can_switch_own_checkpoints_off(app_environment, monkeypatch):
    open_tab, _ = build(monkeypatch, ["cut-one"])
    assert {"_fetch", "_convert"} <= handlers(open_tab)
    monkeypatch.setenv("TRANSLATION_HUB_MAX_CHECKPOINT_MEGABYTES", "0")
    limit = DemoSettings.from_environment().max_checkpoint_megabytes
    closed, _ = build(monkeypatch, ["cut-one"], max_checkpoint_megabytes=limit)
    assert not {"_fetch", "_convert"} & handlers(closed)
    assert launch_options(DemoSettings(max_checkpoint_megabytes=limit))["max_file_size"] == 20 * 2**20


def test_a_visitors_checkpoint_is_deleted_when_they_leave(app_environment, monkeypatch, pth):
    _, tab = build(monkeypatch, ["cut-one"])
    mine, other = (gr.Request(session_hash=name) for name in ("me", "other"))
    own, another = (tab._convert(pth, request)[tab.own] for request in (mine, other))
    tab.leave(mine)
    assert not own.folder.exists()
    assert another.folder.is_dir()
    with pytest.raises(CheckpointError, match="is no longer kept here"):
        own.load()


@pytest.mark.parametrize("photos", [1, 3])
@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("cut-one", "cut-one"),
        (OwnCheckpoint("someone/cut", "0" * 40, Path("x"), "CUTPipeline"), "someone/cut"),
        (OwnCheckpoint('la"test.pth', None, Path("x"), "CUTPipeline"), 'la"test.pth'),
    ],
)
def test_snippets_are_valid_code(checkpoint, name, photos):
    note = "The photo was scaled from 400 x 300 to 231 x 173 pixels."
    inputs = {"image": [{"name": 'a"b.png'}]}
    record = {"checkpoint": name, "arguments": {"precision": "bf16"}, "inputs": inputs, "notes": [note]}
    snippets = snippets_for([record] * photos, checkpoint, "out.png", "http://127.0.0.1:7860")
    compile(snippets.python, "python", "exec")
    compile(snippets.client, "client", "exec")
    assert f"# {note}" in snippets.python
    assert "--precision bf16" in snippets.command
    assert ("convert cut" in snippets.command) == name.endswith(".pth")
    assert ("translate_unpaired" in snippets.client) == (checkpoint == "cut-one")
