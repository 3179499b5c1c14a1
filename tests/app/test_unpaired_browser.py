"""What a visitor of the Unpaired tab does, in a headless Chromium."""

import zipfile

import pytest
import torch

from pipelines.images.provenance import read_record
from tests.authors_cut import authors_file

pytestmark = pytest.mark.browser


@pytest.fixture
def page(visit):
    visit.page.get_by_role("tab", name="Unpaired").click()
    visit.page.wait_for_selector("#unpaired-go")
    return visit.page


def drop(page, *paths):
    page.set_input_files("#photos input[type=file]", paths)
    page.wait_for_function("count => document.querySelectorAll('#photos img').length === count", arg=len(paths))


def download(page, path):
    with page.expect_download() as started:
        page.click("#unpaired-download")
    started.value.save_as(path)
    return started.value.suggested_filename


def test_drop_a_photo_compare_and_download(visit, page, pictures, tmp_path):
    page.locator("#translation label").nth(1).click()
    drop(page, pictures["source"])
    slider = page.locator("#unpaired-slider").bounding_box()
    page.click("#unpaired-go")
    visit.wait_for_text("#unpaired-progress", r"128 x 96 pixels in \d+ s")
    page.wait_for_function("document.querySelectorAll('#unpaired-slider img').length === 2")
    assert page.locator("#unpaired-slider").bounding_box() == slider  # nothing jumps
    page.wait_for_selector("#unpaired-go:not([disabled])")
    assert page.is_disabled("#unpaired-stop")
    visit.wait_for_text("#notes", "Computed in (fp32|bf16)")
    assert download(page, tmp_path / "result.png").endswith("source-cut-other.png")
    assert read_record(tmp_path / "result.png")["checkpoint"] == "cut-other"
    page.click("#unpaired-code button")
    visit.wait_for_text("#unpaired-code-python", 'from_pretrained\\("cut-other"\\)')
    assert "--precision" in visit.text("#unpaired-code-command")
    assert 'api_name="/translate_unpaired"' in visit.text("#unpaired-code-client")


def test_several_photos_with_a_broken_one(visit, page, pictures, tmp_path):
    drop(page, pictures["source"], pictures["broken"], pictures["large"])
    page.click("#unpaired-go")
    visit.wait_for_text("#unpaired-progress", r"2 of 3 photos in \d+ s")
    visit.wait_for_text("#notes", r"The photo \(broken.png\) is not an image that can be read")
    assert "The photo was scaled from 400 x 300 to" in visit.text("#notes")
    page.wait_for_function("document.querySelectorAll('#results img').length === 2")
    before = page.locator("#unpaired-slider img").first.get_attribute("src")
    page.locator("#results button.thumbnail-item").first.click()
    page.wait_for_function(
        "before => document.querySelector('#unpaired-slider img').getAttribute('src') !== before", arg=before
    )
    assert download(page, tmp_path / "results.zip") == "cut-one-2-photos.zip"
    with zipfile.ZipFile(tmp_path / "results.zip") as archive:
        assert len(archive.namelist()) == 2


def test_slow_page_shows_the_gallery_that_it_gets_once(visit, page, pictures):
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    assert not page.is_visible("#results")
    drop(page, pictures["source"], pictures["broken"])
    page.click("#unpaired-go")
    visit.wait_for_text("#unpaired-progress", r"1 of 2 photos in \d+ s")
    page.wait_for_function("document.querySelectorAll('#results img').length === 1")
    assert page.is_visible("#results")


def test_example_answers_at_once(visit, page, tmp_path):
    page.locator("#unpaired-examples tbody img").first.click()
    visit.wait_for_text("#unpaired-progress", "An example, made before: Day to night", timeout=3_000)
    assert page.locator("#unpaired-slider img").count() == 2
    download(page, tmp_path / "example.png")
    assert read_record(tmp_path / "example.png")["checkpoint"] == "cut-one"


def test_own_checkpoint_is_converted_and_used(visit, page, pictures, tmp_path):
    torch.save(authors_file(), tmp_path / "latest_net_G.pth")
    page.click("#own button")
    page.set_input_files("#own input[type=file]", tmp_path / "latest_net_G.pth")
    visit.wait_for_text("#loaded", "latest_net_G.pth is ready: 2 blocks, 4 channels")
    assert page.locator("#translation label").count() == 3
    assert page.locator("#translation label.selected").inner_text() == "Yours: latest_net_G.pth"
    drop(page, pictures["source"])
    page.click("#unpaired-go")
    visit.wait_for_text("#unpaired-progress", r"128 x 96 pixels in \d+ s")
    download(page, tmp_path / "result.png")
    assert read_record(tmp_path / "result.png")["checkpoint"] == "latest_net_G.pth"


def test_a_file_that_is_no_checkpoint_is_explained(visit, page, tmp_path):
    (tmp_path / "latest_net_G.pth").write_bytes(b"<!DOCTYPE html>")
    page.click("#own button")
    page.set_input_files("#own input[type=file]", tmp_path / "latest_net_G.pth")
    visit.wait_for_text("[data-testid=toast-body]", "latest_net_G.pth.* a web page")
    assert page.locator("#translation label").count() == 2


def test_a_missing_photo_is_asked_for(visit, page):
    page.click("#unpaired-go")
    visit.wait_for_text("[data-testid=toast-body]", "Add a photo first.")
    page.wait_for_selector("#unpaired-go:not([disabled])")
    assert visit.text("#unpaired-progress") == "Add a photo, or several."


def test_narrow_screen_has_no_sideways_scrolling(visit, page, pictures):
    page.set_viewport_size({"width": 400, "height": 800})
    drop(page, pictures["source"], pictures["exemplar"])
    page.click("#unpaired-go")
    visit.wait_for_text("#unpaired-progress", "2 of 2 photos")
    assert visit.width_of_content() <= 400
