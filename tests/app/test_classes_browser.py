"""What a visitor of the Many-class tab does, in a headless Chromium."""

import zipfile

import pytest
from PIL import Image

from pipelines.images.provenance import read_record
from tests.app.tiny_classes import ANIMALS

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit):
    visit.page.get_by_role("tab", name="Many-class").click()
    visit.page.wait_for_selector("#classes-go")
    return visit.page


def choose(page, *names):
    for name in names:
        page.click("#classes input")
        page.keyboard.type(name)
        page.get_by_role("option", name=name, exact=True).click()
    page.press("#classes input", "Escape")


def download(page, button, path):
    with page.expect_download() as started:
        page.click(f"#{button}")
    started.value.save_as(path)
    return started.value.suggested_filename


def assert_no_tile_is_cut(page, gallery):
    widths = page.locator(f"#{gallery} .grid-wrap").evaluate("wrap => [wrap.scrollWidth, wrap.clientWidth]")
    assert widths[0] <= widths[1]


def place_on_page(page, element):
    """However far the page is scrolled."""
    box = "(({x, y, width, height}) => [x, y + scrollY, width, height])(element.getBoundingClientRect())"
    return page.locator(f"#{element}").evaluate(f"element => {box}")


def captions(page):
    return page.locator("#class-results .caption-label").all_inner_texts()


def test_search_classes_translate_and_download(visit, page, pictures, tmp_path):
    visit.upload("classes-photo", pictures["source"])
    choose(page, "guinea pig", "banded mongoose")
    results = place_on_page(page, "class-results")
    page.click("#classes-go")
    visit.wait_for_text("#classes-progress", r"2 pictures in .+ · seed 0")
    page.wait_for_function("document.querySelectorAll('#class-results img').length === 3")
    assert captions(page) == ["Photo", "guinea pig", "banded mongoose"]
    assert place_on_page(page, "class-results") == results  # nothing jumps
    visit.wait_for_text("#classes-notes", "Cropped from 128 x 96 pixels")
    assert download(page, "classes-download", tmp_path / "results.zip").endswith("-2-pictures.zip")
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert len(archive.namelist()) == 2
    download(page, "contact-sheet", tmp_path / "sheet.png")
    assert read_record(tmp_path / "sheet.png")["arguments"]["target_class"] == ["guinea_pig", "mongoose"]
    page.click("#classes-code button")
    visit.wait_for_text("#classes-code-python", 'from_pretrained\\("many-animals"\\)')
    assert 'target_class=["guinea_pig", "mongoose"]' in visit.text("#classes-code-python")
    assert 'api_name="/translate_classes"' in visit.text("#classes-code-client")

    page.click("#more-like-this")
    visit.wait_for_text("#classes-progress", r"2 pictures in .+ · seed 1")


def test_all_classes_fill_the_gallery_and_one_becomes_the_target(visit, page, pictures):
    visit.upload("classes-photo", pictures["source"])
    page.click("#all-classes")
    visit.wait_for_text("#classes-progress", rf"{len(ANIMALS)} pictures in .+ · seed 0")
    page.wait_for_selector("#classes-go:not([disabled])")
    assert len(captions(page)) == len(ANIMALS) + 1
    assert_no_tile_is_cut(page, "class-results")
    page.locator("#class-results button.thumbnail-item").nth(5).click()
    visit.wait_for_text("#classes", "snow leopard")
    page.click("#classes-go")
    visit.wait_for_text("#classes-progress", r"1 picture in .+ · seed 0")
    assert captions(page) == ["Photo", "snow leopard"]


def test_thumbnails_choose_and_leave_classes(visit, page):
    tiles = page.locator("#class-thumbnails button.thumbnail-item")
    assert tiles.count() == len(ANIMALS)
    assert_no_tile_is_cut(page, "class-thumbnails")
    tiles.nth(7).click()
    visit.wait_for_text("#classes", "zebra")
    tiles.nth(7).click()
    page.wait_for_function("!document.querySelector('#classes').innerText.includes('zebra')")
    page.locator("#classes-checkpoint label").nth(1).click()
    page.wait_for_selector("#class-thumbnails", state="hidden")


def test_animation_between_two_classes(visit, page, pictures, tmp_path):
    visit.upload("classes-photo", pictures["source"])
    page.click("#between button")
    page.click("#animate")
    visit.wait_for_text("#classes-progress", "From pug to guinea pig in 16 pictures · seed 0")
    strip = page.locator("#animation .strip")
    strip.wait_for()
    assert strip.get_attribute("aria-label") == "From pug to guinea pig"
    visit.set_number("#frame input[type=number]", "16")
    position = "getComputedStyle(document.querySelector('#animation .strip'))"
    page.wait_for_function(f"{position}.backgroundPositionX === '100%' && {position}.animationName === 'none'")
    page.click("#play")
    page.wait_for_function(f"{position}.animationName === 'frames'")
    assert download(page, "animation-download", tmp_path / "way.webp").endswith(".webp")
    assert Image.open(tmp_path / "way.webp").n_frames == 30


def test_example_answers_at_once(visit, page):
    page.locator("#classes-examples tbody img").first.click()
    visit.wait_for_text("#classes-progress", "An example, made before: Animals", timeout=5_000)
    page.wait_for_function("document.querySelectorAll('#class-results img').length === 3")
    assert captions(page) == ["Photo", "otter", "plains zebra"]


def test_missing_class_is_asked_for(visit, page, pictures):
    visit.upload("classes-photo", pictures["source"])
    page.click("#classes-go")
    visit.wait_for_text("[data-testid=toast-body]", "Choose a class first.")
    page.wait_for_selector("#classes-go:not([disabled])")
    assert visit.text("#classes-progress") == "Add a photo and choose classes."


def test_narrow_screen_has_no_sideways_scrolling(visit, page):
    page.set_viewport_size({"width": 400, "height": 800})
    page.locator("#classes-examples tbody img").first.click()
    page.wait_for_function("document.querySelectorAll('#class-results img').length === 3")
    assert visit.width_of_content() <= 400
    for gallery in ("class-thumbnails", "class-results"):
        assert_no_tile_is_cut(page, gallery)
