"""What the app refuses because it is too much, and how it says so: a large file, a full queue."""

import secrets
import time
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from gradio_client.utils import QueueError, Status

from tests.app.visit import Visit

TOAST = "[data-testid=toast-body]"


@pytest.fixture(scope="module")
def heavy_file(tmp_path_factory) -> Path:
    """A file of more bytes than a picture may have."""
    path = tmp_path_factory.mktemp("heavy") / "heavy.png"
    path.write_bytes(secrets.token_bytes(3 << 20))
    return path


@pytest.fixture(scope="module")
def small_url(app_environment):
    """The address of an app that takes nothing but pictures, and in whose queue one visitor may wait."""
    import app

    settings = app.DemoSettings(max_upload_megabytes=1, max_checkpoint_megabytes=0, queue_size=1)
    demo = app.build(settings)
    options = app.launch_options(settings)
    _, url, _ = demo.launch(**options, server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    yield url
    demo.close()


def files_of_the_app(app_environment) -> set[Path]:
    return {path for path in (app_environment / "uploads").rglob("*") if path.is_file()}


def ask(client, pictures, image="source", num_steps=2):
    return client.submit(
        image=handle_file(pictures[image]),
        exemplar=handle_file(pictures["exemplar"]),
        checkpoint="oeft-starter",
        preset="fast",
        num_steps=num_steps,
        seed=1,
        augment=True,
        api_name="/translate_exemplar",
    )


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.browser
def test_large_picture_is_refused_on_the_page_and_deleted(visit, app_environment, heavy_file):
    before = files_of_the_app(app_environment)
    visit.page.set_input_files("#source input[type=file]", heavy_file)
    visit.wait_for_text(TOAST, r"heavy\.png has 3\.0 MB; at most 1 MB are accepted\.")
    visit.page.get_by_role("group", name="Source").get_by_role("button", name="Drop an image").wait_for()
    assert files_of_the_app(app_environment) == before
    # The page may just have asked for the picture, to show it.
    visit.problems = [problem for problem in visit.problems if "Failed to load resource" not in problem]


def test_large_picture_is_refused_to_a_script_and_deleted(app_url, app_environment, pictures, heavy_file):
    client = Client(app_url, verbose=False)
    with pytest.raises(Exception, match=r"heavy\.png has 3\.0 MB; at most 1 MB are accepted\."):
        ask(client, {**pictures, "source": heavy_file}).result(timeout=60)
    assert not [path for path in files_of_the_app(app_environment) if path.name == heavy_file.name]


@pytest.mark.browser
def test_file_above_every_limit_never_arrives(browser, small_url, app_environment, pictures, heavy_file):
    before = files_of_the_app(app_environment)
    visit = Visit(browser, small_url)
    visit.page.set_input_files("#source input[type=file]", heavy_file)
    visit.wait_for_text(TOAST, r'exceed the maximum allowed size of 1\.0 Mb: "heavy\.png"')
    visit.check()
    with pytest.raises(ValueError, match="heavy.png exceeds the maximum file size of 1048576 bytes"):
        ask(Client(small_url, verbose=False), {**pictures, "source": heavy_file}).result(timeout=60)
    answer = httpx.post(f"{small_url}gradio_api/upload", files={"files": ("heavy.png", heavy_file.read_bytes())})
    assert (answer.status_code, answer.text) == (413, "File size exceeded maximum allowed size of 1048576 bytes.")
    assert files_of_the_app(app_environment) == before


@pytest.mark.browser
def test_full_queue_refuses_one_and_serves_the_others(browser, small_url, pictures):
    visit = Visit(browser, small_url)
    visit.upload("source", pictures["source"])
    visit.upload("exemplar", pictures["exemplar"])
    first, second = (Client(small_url, verbose=False) for _ in range(2))
    working = ask(first, pictures, num_steps=200)
    wait_until(working.outputs)
    waiting = ask(second, pictures)
    wait_until(lambda: waiting.status().code == Status.IN_QUEUE)

    with pytest.raises(QueueError, match="Queue is full! Please try again."):
        ask(Client(small_url, verbose=False), pictures).result(timeout=60)
    visit.page.click("#go")
    visit.wait_for_text(TOAST, r"This application is currently busy\. Please try again\.")
    visit.page.wait_for_selector("#go:not([disabled])")
    assert visit.page.is_disabled("#stop")
    assert not working.done()

    # gradio_client would queue this too, and be refused; the page and plain requests do not.
    stop = {"data": [], "session_hash": first.session_hash}
    answer = httpx.post(f"{small_url}gradio_api/run/stop_exemplar", json=stop)
    assert answer.json()["data"] == [{"stopped": True}]
    assert working.result(timeout=60)[1]["stopped"]
    assert waiting.result(timeout=60)[1]["steps"] == 2
    visit.page.click("#go")
    visit.wait_for_text("#progress", r"Step \d+ of")
    visit.page.click("#stop")
    visit.wait_for_text("#progress", r"Stopped after \d+ steps?")
    visit.problems = [problem for problem in visit.problems if "503" not in problem]  # the refusal
    visit.check()
