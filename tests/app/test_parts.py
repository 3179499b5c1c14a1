"""Parts of the app that need no server."""

import logging
import pickle
import re
import threading

import gradio as gr
import pytest
import torch
from PIL import Image

from demo.errors import explain, in_plain_words
from demo.examples import read_examples
from demo.exemplar_run import Finished, Job, Preview, gpu_seconds, translate
from demo.lookup import GridLookup
from demo.pictures import file_name, light_up
from demo.settings import DemoSettings
from demo.snippets import snippets_for
from demo.stopping import StopFiles
from pipelines import OEFTPipeline
from pipelines.base import DivergedError
from pipelines.images.formats import ImageError, read_image
from pipelines.images.provenance import pixel_hash


@pytest.fixture
def job(app_environment, pictures, tmp_path):
    files = (str(pictures["source"]), str(pictures["exemplar"]))
    return Job("oeft-starter", *files, ("a.png", "b.png"), "fast", 3, True, 1, tmp_path / "stop")


def test_all_that_crosses_to_a_forked_worker_can_be_pickled(job):
    events = [pickle.loads(pickle.dumps(event)) for event in translate(pickle.loads(pickle.dumps(job)))]
    assert isinstance(events[0], Preview)
    assert isinstance(events[-1], Finished)
    assert not events[-1].stopped


def test_stop_before_the_first_step_gives_the_warp_without_fine_tuning(job):
    job.stop_file.touch()
    (event,) = translate(job)
    assert (event.stopped, event.steps, event.best_step) == (True, 0, 0)
    assert event.image.size == (128, 96)


def test_closing_a_run_frees_the_pipeline_for_the_next(job):
    run = translate(job)
    next(run)
    closer = threading.Thread(target=run.close)  # gradio closes it in another thread
    closer.start()
    closer.join()
    assert isinstance(list(translate(job))[-1], Finished)


def test_grid_answers_as_the_lookup_at_the_centers_of_its_cells(job):
    *_, event = translate(job)
    grid = GridLookup.of(event.lookup, (128, 96), (80, 100), cells=8)
    rows, columns, _ = grid.answers.shape
    for row, column in ((0, 0), (rows - 1, columns - 1), (2, 3)):
        x, y = (column + 0.5) * 128 / columns, (row + 0.5) * 96 / rows
        expected, place = event.lookup.at(x, y), grid.at(x, y)
        assert place.x == pytest.approx(expected.x, abs=0.1)
        assert place.y == pytest.approx(expected.y, abs=0.1)


def test_gpu_time_grows_with_the_steps_and_has_an_end(job):
    few, many = (gpu_seconds(Job(**{**vars(job), "num_steps": steps})) for steps in (10, 100))
    assert 10 < few < many <= 120


def test_unforeseen_error_gets_a_number_that_is_in_the_log(caplog):
    with caplog.at_level(logging.ERROR):
        shown = explain(KeyError("secret"))
    number = re.search(r"written down as (\w{8})", shown.message)[1]
    assert number in caplog.text
    assert "secret" not in shown.message


def test_handlers_raise_sentences_only():
    @in_plain_words
    def function():
        raise ImageError("The source is empty.")

    @in_plain_words
    def generator():
        yield 1
        raise DivergedError

    with pytest.raises(gr.Error, match="The source is empty."):
        function()
    with pytest.raises(gr.Error, match="Try another seed"):
        list(generator())


def test_stop_reaches_its_own_session_only():
    files = StopFiles()
    mine, other = files.announce("me"), files.announce("other")
    assert files.announce("me") == mine
    assert files.stop("me")
    assert mine.exists()
    assert not other.exists()
    files.forget("me")
    assert not mine.exists()
    assert not files.stop("me")


def test_settings_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("TRANSLATION_HUB_QUEUE_SIZE", "3")
    assert DemoSettings.from_environment().queue_size == 3
    monkeypatch.setenv("TRANSLATION_HUB_QUEUE_SIZE", "-1")
    with pytest.raises(ValueError, match="TRANSLATION_HUB_QUEUE_SIZE is '-1'; a whole number above 0"):
        DemoSettings.from_environment()


@pytest.mark.parametrize("example", read_examples(), ids=lambda example: example.folder.name)
def test_stored_example_belongs_to_its_pictures_and_answers(example):
    for name, file in zip(("image", "exemplar"), example.files, strict=False):
        assert example.record["inputs"][name][0]["sha256"] == pixel_hash(read_image(file))
    answered = example.answered()
    place = answered.lookup.at(answered.size[0] - 1, answered.size[1] - 1)
    assert 0 <= place.x <= answered.exemplar_size[0]
    assert 0 <= place.y <= answered.exemplar_size[1]


def test_light_falls_on_the_place():
    lit = light_up(Image.new("RGB", (200, 100), (200, 200, 200)), 50, 40)
    assert lit.getpixel((50, 40)) == (200, 200, 200)
    assert max(lit.getpixel((180, 90))) < 100


def test_file_names_are_plain():
    assert file_name("../mein Bild (1).JPG", "oeft-starter", 7) == "mein-Bild-1-oeft-starter-seed7.png"
    assert file_name("???.png", "oeft-starter", 7) == "picture-oeft-starter-seed7.png"


@pytest.mark.parametrize("augment", [True, False])
def test_snippets_are_valid_code(augment):
    arguments = {"preset": "fast", "num_steps": 3} | ({} if augment else {"settings": {"augment": False}})
    inputs = {"image": [{"name": 'a"b.png'}], "exemplar": [{"name": "c.png"}]}
    record = {"checkpoint": "oeft-starter", "arguments": arguments, "seed": 5, "inputs": inputs}
    snippets = snippets_for(record, "out.png", "http://127.0.0.1:7860")
    compile(snippets.python, "python", "exec")
    compile(snippets.client, "client", "exec")
    assert "manual_seed(5)" in snippets.python
    assert f"augment={augment}" in snippets.client
    assert ("--set augment=false" in snippets.command) is not augment
    assert ('settings={"augment": False}' in snippets.python) is not augment


def test_record_repeats_the_run(job):
    job = Job(**{**vars(job), "augment": False})
    *_, event = translate(job)
    pipe = OEFTPipeline.from_pretrained(event.record["checkpoint"])
    generator = torch.Generator().manual_seed(event.record["seed"])
    again = pipe(job.image, job.exemplar, **event.record["arguments"], generator=generator).images[0]
    assert again.tobytes() == event.image.tobytes()
