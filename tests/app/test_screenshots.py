"""Every tab of the real app shows a result: `python app.py` without a network, with the weights of this repository.

The screenshots go into a temporary folder. Those of README are made again by

    TRANSLATION_HUB_SCREENSHOTS=docs python -m pytest tests/app/test_screenshots.py
"""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import gradio
import numpy as np
import pytest
from PIL import Image, ImageChops

from demo.examples import FOLDER
from demo.painting import paint
from tests.app.visit import Visit

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
PHOTOS = Path(gradio.__file__).parent / "media_assets" / "images"  # no checkpoint has seen them
WIDTH = 1280  # of a laptop's window, pixels
MARGIN = 12  # pixels below what is shown
ALL_LOADED = """() => [...document.images].every(image => {
  const {x, y, width, height} = image.getBoundingClientRect();
  const isSeen = document.elementsFromPoint(x + width / 2, y + height / 2).includes(image);
  return !isSeen || (image.complete && image.naturalWidth > 0);
})"""
FOLDER_OF_README = os.environ.get("TRANSLATION_HUB_SCREENSHOTS")


@pytest.fixture(scope="module")
def real_app_url(tmp_path_factory):
    """The address of the app as README starts it."""
    folder = tmp_path_factory.mktemp("real-app")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRANSLATION_HUB_")}
    environment |= {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1", "GRADIO_TEMP_DIR": str(folder / "uploads")}
    log = folder / "log.txt"
    with log.open("w") as output:
        app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        yield wait_for_address(app, log)
    finally:
        app.terminate()
        app.wait(timeout=30)


def wait_for_address(app: subprocess.Popen, log: Path) -> str:
    """Wait until the app says where it is."""
    for _ in range(600):
        if address := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return address[0]
        if app.poll() is not None:
            break
        time.sleep(0.2)
    return pytest.fail(f"The app did not start: {log.read_text()}")


@pytest.fixture
def visit(browser, real_app_url):
    visit = Visit(browser, real_app_url)
    visit.page.set_viewport_size({"width": WIDTH, "height": 900})
    yield visit
    visit.check()


@pytest.fixture
def take(visit, tmp_path):
    """Save a screenshot that ends below the lowest of the given elements; nothing is half-loaded or complains."""
    folder = Path(FOLDER_OF_README or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page = visit.page

    def take(name: str, *elements: str) -> None:
        assert page.locator("[data-testid=toast-body]").all_inner_texts() == []
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement?.blur()")
        boxes = [page.locator(element).first.bounding_box() for element in elements]
        height = max(box["y"] + box["height"] for box in boxes) + page.evaluate("scrollY") + MARGIN
        page.set_viewport_size({"width": WIDTH, "height": round(height)})
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_function(ALL_LOADED)
        picture = Image.open(io.BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
        coarse = picture.point(lambda value: value if value >= 248 else (value + 4) // 8 * 8)  # half of the bytes
        coarse.save(folder / f"{name}.png", optimize=True)

    return take


def pictures_in(visit, element) -> list[Image.Image]:
    """The pictures that an element shows, none of them blank."""
    sources = visit.page.locator(f"{element} img").evaluate_all("images => images.map(image => image.src)")
    files = [io.BytesIO(visit.page.request.get(source).body()) for source in sources]
    pictures = [Image.open(file).convert("RGB") for file in files]
    assert all(np.std(picture) > 10 for picture in pictures), f"{element} shows a blank picture"
    return pictures


def assert_slider_compares(visit, slider):
    visit.page.wait_for_function(f"document.querySelectorAll('#{slider} img').length === 2")
    before, after = pictures_in(visit, f"#{slider}")
    change = ImageChops.difference(before, after.resize(before.size))
    assert np.mean(change) > 5


def test_exemplar(visit, take):
    visit.page.locator("#examples tbody tr").first.click()
    visit.wait_for_text("#progress", "An example, made before")
    assert_slider_compares(visit, "slider")
    visit.ask_about_the_middle()
    take("exemplar-tab", "#words", "#examples")


def test_unpaired(visit, take):
    page = visit.page
    page.get_by_role("tab", name="Unpaired").click()
    page.set_input_files(
        "#photos input[type=file]", [PHOTOS / f"{name}.jpg" for name in ("cheetah", "cheetah1", "lion")]
    )
    page.wait_for_function("document.querySelectorAll('#photos img').length === 3")
    page.click("#unpaired-go")
    visit.wait_for_text("#unpaired-progress", "3 of 3 photos")
    page.wait_for_function("document.querySelectorAll('#results img').length === 3")
    page.locator("#results button.thumbnail-item").first.click()
    page.wait_for_function(
        "document.querySelector('#unpaired-slider img').naturalWidth > 500"
    )  # the first one is wider
    assert_slider_compares(visit, "unpaired-slider")
    pictures_in(visit, "#results")
    take("unpaired-tab", "#notes", "#unpaired-examples")


def test_many_class(visit, take):
    page = visit.page
    page.get_by_role("tab", name="Many-class").click()
    visit.upload("classes-photo", FOLDER / "classes" / "cat.jpg")
    page.click("#all-classes")
    visit.wait_for_text("#classes-progress", r"\d+ pictures in .+ · seed 0", timeout=60_000)
    assert len(pictures_in(visit, "#class-results")) > 10
    take("many-class-tab", "#class-results", "#all-classes")


def test_single_image(visit, take, tmp_path):
    page = visit.page
    page.get_by_role("tab", name="Single image").click()
    paint(Image.open(PHOTOS / "tower.jpg")).save(tmp_path / "painting.png")
    visit.upload("single-source", FOLDER / "1-pagoda" / "source.jpg")
    visit.upload("single-exemplar", tmp_path / "painting.png")
    page.click("#single-advanced button")
    visit.set_number("#single-num-steps input", "3")
    page.click("#single-advanced button")
    page.click("#single-go")
    visit.wait_for_text("#single-progress", r"Preview: .+ · seed 0", timeout=500_000)
    page.wait_for_selector("#single-go:not([disabled])")
    assert_slider_compares(visit, "single-slider")
    page.locator("#single-examples tbody tr").first.click()  # shows more than three steps do
    visit.wait_for_text("#single-progress", "An example, made before")
    assert_slider_compares(visit, "single-slider")
    take("single-image-tab", "#single-progress", "#single-examples")


def test_about(visit, take):
    titles = [entry["title"] for entry in json.loads((ROOT / "checkpoints.json").read_text())]
    visit.page.get_by_role("tab", name="About").click()
    visit.wait_for_text("#devices", "backbone")
    visit.wait_for_text("#checkpoints", titles[-1])  # the tables come one after the other
    table = visit.text("#checkpoints")
    assert [title for title in titles if title not in table] == []
    take("about-tab", "#devices")
