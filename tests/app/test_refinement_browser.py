"""Refinement as a visitor does it, in a headless Chromium."""

import pytest

from pipelines.images.provenance import read_record

pytestmark = pytest.mark.browser


def translate(visit, pictures, checkpoint="With a GAN"):
    page = visit.page
    visit.upload("source", pictures["source"])
    visit.upload("exemplar", pictures["exemplar"])
    page.click("#advanced button")
    assert not page.is_visible("#refine")
    page.click("#checkpoint input")
    page.get_by_role("option", name=checkpoint, exact=True).click()
    page.wait_for_selector("#refine")
    assert page.is_checked("#refine input")
    visit.set_number("#num-steps input[type=number]", "5")
    page.click("#go")


def download(page, path):
    with page.expect_download() as event:
        page.click("#download")
    event.value.save_as(path)
    return read_record(path)


def test_refine_and_overrule(visit, pictures, tmp_path):
    page = visit.page
    translate(visit, pictures)
    visit.wait_for_text("#progress", r"^11 steps in .+ · layer \d, \d codes · seed 0", timeout=60_000)
    tiles, captions = page.locator("#hypotheses button.thumbnail-item"), page.locator("#hypotheses .caption-label")
    tiles.nth(3).wait_for()
    assert tiles.count() == 4
    texts = captions.all_inner_texts()
    assert texts[0] == "Warp"
    (chosen,) = [index for index, text in enumerate(texts) if text.startswith("✓ Layer")]
    record = download(page, tmp_path / "automatic.png")
    assert record["arguments"]["num_refine_steps"] == 6
    before = page.locator("#slider img").nth(1).get_attribute("src")

    other = 1 + chosen % 3
    tiles.nth(other).click()
    visit.wait_for_text("#progress", r"^By hand: layer \d, \d codes · seed 0")
    page.wait_for_function(
        "before => ![...document.querySelectorAll('#slider img')].some(image => image.getAttribute('src') === before)",
        arg=before,
    )
    page.wait_for_function(f"document.querySelectorAll('#hypotheses .caption-label')[{other}].innerText[0] === '✓'")
    by_hand = download(page, tmp_path / "by-hand.png")
    assert by_hand["arguments"]["refine_settings"] == {"decide": other - 1}
    assert "Chosen by hand" in by_hand["notes"][-1]
    page.click("#code button")
    visit.wait_for_text("#code-client", f"hypothesis={other - 1}, api_name=./choose_hypothesis")
    visit.ask_about_the_middle()

    tiles.nth(0).click()
    visit.wait_for_text("#progress", "^By hand: the warp")
    assert download(page, tmp_path / "warp.png")["arguments"]["refine"] is False
    tiles.nth(chosen).click()
    visit.wait_for_text("#progress", "^By the checkpoint: layer")
    assert download(page, tmp_path / "again.png") == record

    page.locator("#examples tbody tr").first.click()  # made before, without hypotheses
    visit.wait_for_text("#progress", "An example, made before")
    page.wait_for_selector("#hypotheses", state="hidden")
    assert not page.is_visible("#refine")


def test_a_domain_that_does_not_fit_is_explained_on_a_narrow_screen(visit, pictures):
    visit.page.set_viewport_size({"width": 400, "height": 800})
    translate(visit, pictures, "With another GAN")
    visit.wait_for_text("#exemplar-notes", "the result is the warp", timeout=60_000)
    visit.wait_for_text("#hypotheses .caption-label", "✓ Warp")
    assert visit.width_of_content() <= 400
