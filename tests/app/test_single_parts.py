"""Parts of the Single-image tab that need no server."""

import pickle
import zipfile
from dataclasses import replace

import pytest
import torch

from demo.examples import SINGLE, read_examples
from demo.session_pipelines import MOST, SessionPipelines
from demo.single_layout import budgets
from demo.single_result import details, save, summary
from demo.single_run import Finished, Job, Progress, apply, gpu_seconds, train
from demo.single_snippets import snippets_for
from pipelines import SinCUTPipeline
from pipelines.images.formats import read_image
from pipelines.images.limits import ImageError
from pipelines.images.provenance import pixel_hash, read_record


@pytest.fixture
def job(app_environment, pictures, tmp_path):
    files = (str(pictures["source"]), str(pictures["exemplar"]))
    names = ("my source.png", "exemplar.png")
    return Job(*files, names, 1, 3, None, "cpu", 1, tmp_path / "kept" / "my-source", tmp_path / "stop")


def test_all_that_crosses_to_a_forked_worker_can_be_pickled(job):
    events = [pickle.loads(pickle.dumps(event)) for event in train(pickle.loads(pickle.dumps(job)))]
    assert isinstance(events[0], Progress)
    assert events[0].picture is not None
    assert isinstance(events[-1], Finished)
    assert events[-1].image.size == (128, 96)
    assert (events[-1].steps, events[-1].stopped) == (3, False)


def test_stop_before_the_first_step_gives_nothing(job):
    job.stop_file.touch()
    assert list(train(job)) == []
    assert not job.folder.exists()


def test_stopped_run_keeps_what_it_has_and_is_repeated_by_its_record(job):
    run = train(replace(job, num_steps=100, stop_after=None))
    next(run)
    job.stop_file.touch()
    *_, event = run
    assert event.stopped
    assert 0 < event.steps < 100
    assert summary(event).startswith(f"Preview: stopped after {event.steps} step")
    job.stop_file.unlink()
    *_, again = train(replace(job, num_steps=100, stop_after=event.steps))
    assert again.image.tobytes() == event.image.tobytes()
    assert again.record["arguments"] == event.record["arguments"]


def test_record_repeats_the_run(job):
    *_, event = train(job)
    pipe = SinCUTPipeline.from_pretrained(event.record["checkpoint"])
    generator = torch.Generator().manual_seed(event.record["seed"])
    again = pipe(job.image, job.exemplar, **event.record["arguments"], generator=generator).images[0]
    assert again.tobytes() == event.image.tobytes()


def test_run_by_steps_ends_with_its_time_too(job):
    *_, event = train(replace(job, minutes=0.01, num_steps=10**6))
    assert event.stopped
    assert event.steps < 10**6


def test_zip_holds_a_pipeline_that_loads(job, tmp_path):
    *_, event = train(job)
    png, archive = save(event, job.folder, str(tmp_path))
    assert read_record(png)["arguments"]["num_steps"] == 3
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "unzipped")
    folder = tmp_path / "unzipped" / "my-source"
    assert "exemplar.png" in (folder / "README.md").read_text()
    again = SinCUTPipeline.from_pretrained(folder)(job.image).images[0]
    assert again.tobytes() == event.image.tobytes()


def test_another_picture_gets_a_record_that_names_the_pipeline(job, pictures):
    list(train(job))
    result, record = apply(job.folder, str(pictures["large"]), "large.png")
    assert result.size == (400, 300)
    assert record["checkpoint"] == "my-source"
    assert record["sha256"]
    assert record["inputs"]["image"][0]["name"] == "large.png"


def test_details_say_each_note_once(job):
    *_, event = train(job)

    class Pair:
        notes = ("The first frame was taken.",)

    notes = details(replace(event, notes=("The first frame was taken.", "A preview.")), (Pair, Pair))["notes"]
    assert notes == ["The first frame was taken.", "A preview."]


def test_gpu_time_follows_the_budget(job):
    by_time = [gpu_seconds(replace(job, minutes=minutes, num_steps=None)) for minutes in (1, 5)]
    assert 60 < by_time[0] < 180
    assert 300 < by_time[1] < 420
    assert gpu_seconds(replace(job, minutes=60, num_steps=10)) < 120


@pytest.mark.parametrize(
    ("limit", "offered"), [(60, [1, 5, 20, 60]), (5, [1, 5]), (3, [1, 3]), (10, [1, 5, 10]), (1, [1])]
)
def test_budgets_end_at_the_limit(limit, offered):
    assert [minutes for _, minutes in budgets(limit)] == offered
    assert all(label.startswith("Preview") is (minutes < 5) for label, minutes in budgets(limit))


def test_snippets_are_valid_code():
    inputs = {"image": [{"name": 'a"b.png'}], "exemplar": [{"name": "c.png"}]}
    arguments = {"preset": "cpu", "num_steps": 30}
    record = {"checkpoint": "sincut", "arguments": arguments, "seed": 5, "inputs": inputs}
    stopped = {**record, "arguments": {**arguments, "settings": {"stop_after": 7}}}
    for each, present in ((record, False), (stopped, True)):
        snippets = snippets_for(each, "out", "http://127.0.0.1:7860")
        compile(snippets.python, "python", "exec")
        compile(snippets.client, "client", "exec")
        assert "manual_seed(5)" in snippets.python
        assert ('settings={"stop_after": 7}' in snippets.python) is present
        assert ("--set stop_after=7" in snippets.command) is present
        assert ("stop_after=7," in snippets.client) is present


def trained(store: SessionPipelines, session: str) -> None:
    with store.new(session, "name") as folder:
        folder.mkdir(parents=True)
        (folder / "model_index.json").write_text("{}")


def test_store_keeps_the_last_of_a_session_until_it_leaves():
    store = SessionPipelines(60)
    trained(store, "a")
    first = store.of("a")
    trained(store, "a")
    second = store.of("a")
    assert second.name == "name"
    assert not first.parent.exists()
    store.forget("a")
    assert not second.parent.exists()
    with pytest.raises(ImageError, match="no longer kept"):
        store.of("a")


def test_store_keeps_nothing_of_a_run_that_saved_nothing():
    store = SessionPipelines(60)
    with store.new("a", "name") as folder:
        folder.mkdir(parents=True)
        (folder / "half").touch()
    assert not folder.parent.exists()
    with pytest.raises(ImageError):
        store.of("a")


def test_store_is_bounded_in_number_and_in_time():
    store = SessionPipelines(60)
    for session in range(MOST + 2):
        trained(store, str(session))
    kept = [session for session in range(MOST + 2) if str(session) in store._kept]
    assert kept == list(range(2, MOST + 2))
    store.seconds = -1
    trained(store, "new")
    assert not store._kept


def test_example_is_here_and_belongs_to_its_pictures():
    (example,) = read_examples(SINGLE)
    source, exemplar, result = (read_image(file) for file in example.files)
    assert [example.record["inputs"][name][0]["sha256"] for name in ("image", "exemplar")] == [
        pixel_hash(source),
        pixel_hash(exemplar),
    ]
    assert (result.width, result.height) == (source.width, source.height)
    assert example.record["notes"][0].startswith("Trained for ")
    assert sum(file.stat().st_size for file in example.folder.iterdir()) < 400_000
