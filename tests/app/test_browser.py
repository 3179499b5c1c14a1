"""What a visitor does, in a headless Chromium."""

import re

import pytest

from pipelines.images.provenance import read_record
from tests.app.visit import Visit

pytestmark = pytest.mark.browser


def test_example_answers_at_once_and_can_be_asked(visit):
    page = visit.page
    page.locator("#examples tbody tr").first.click()
    visit.wait_for_text("#progress", "An example, made before", timeout=3_000)
    assert page.locator("#slider img").count() == 2
    page.wait_for_selector("#picker img")
    before = page.get_attribute("#found img", "src")
    visit.ask_about_the_middle()
    page.wait_for_function("before => document.querySelector('#found img').src !== before", arg=before)


def test_run_stop_ask_and_download(visit, pictures, tmp_path):
    page = visit.page
    visit.upload("source", pictures["source"])
    visit.upload("exemplar", pictures["exemplar"])
    page.click("#advanced button")
    visit.set_number("#num-steps input[type=number]", "200")
    visit.set_number("#seed input", "11")
    assert page.is_disabled("#stop")
    slider = page.locator("#slider").bounding_box()

    page.click("#go")
    visit.wait_for_text("#progress", r"Step \d+ of 200 · loss [\d.]+ · .+ left")
    first = visit.text("#progress")
    page.wait_for_function("first => document.querySelector('#progress').innerText !== first", arg=first)
    assert page.locator("#slider img").count() == 2
    assert page.locator("#slider").bounding_box() == slider  # nothing jumps
    assert page.is_disabled("#go")
    page.click("#stop")
    visit.wait_for_text("#progress", r"Stopped after \d+ steps? in .+ seed 11")
    page.wait_for_selector("#go:not([disabled])")

    steps = int(re.search(r"after (\d+) steps?", visit.text("#progress"))[1])
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename.endswith("oeft-starter-seed11.png")
    download.value.save_as(tmp_path / "result.png")
    record = read_record(tmp_path / "result.png")
    assert record["arguments"] == {"preset": "balanced", "num_steps": steps}

    visit.ask_about_the_middle()
    page.click("#code button")
    visit.wait_for_text("#code-python", f"num_steps={steps}")
    assert "manual_seed(11)" in visit.text("#code-python")
    assert "--seed 11" in visit.text("#code-command")
    assert 'api_name="/translate_exemplar"' in visit.text("#code-client")


def test_broken_file_is_explained(visit, pictures):
    visit.page.set_input_files("#source input[type=file]", pictures["broken"])
    visit.wait_for_text("[data-testid=toast-body]", r"The source \(broken.png\) is not an image that can be read")
    visit.problems = [problem for problem in visit.problems if "500" not in problem]
    visit.page.locator("#source").get_by_role("button", name="Drop an image file").wait_for()
    assert visit.page.locator("#source img").count() == 0


def test_missing_picture_is_asked_for(visit, pictures):
    visit.upload("source", pictures["source"])
    visit.page.click("#go")
    visit.wait_for_text("[data-testid=toast-body]", "Add an exemplar picture first.")
    visit.page.wait_for_selector("#go:not([disabled])")
    assert visit.text("#progress") == "Add two pictures, or take an example."


def test_dark_mode_and_about(browser, app_url):
    visit = Visit(browser, app_url + "?__theme=dark")
    color = visit.page.evaluate("getComputedStyle(document.querySelector('#head h1')).color")
    assert min(int(value) for value in re.findall(r"\d+", color)[:3]) > 200
    visit.page.get_by_role("tab", name="About").click()
    visit.wait_for_text("#checkpoints", "oeft-starter|Tiny")
    visit.check()


def test_narrow_screen_has_no_sideways_scrolling(visit):
    visit.page.set_viewport_size({"width": 400, "height": 800})
    visit.page.locator("#examples tbody tr").first.click()
    visit.page.wait_for_selector("#picker img")
    assert visit.width_of_content() <= 400
    visit.page.get_by_role("tab", name="About").click()
    assert visit.width_of_content() <= 400
