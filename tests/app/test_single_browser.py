"""What a visitor of the Single-image tab does, in a headless Chromium."""

import zipfile

import pytest

from pipelines.images.provenance import read_record

pytestmark = pytest.mark.browser


def test_example_answers_at_once(visit, tmp_path):
    page = visit.page
    page.get_by_role("tab", name="Single image").click()
    page.click("#single-advanced button")
    visit.set_number("#single-seed input", "11")
    page.locator("#single-examples tbody tr").first.click()
    visit.wait_for_text("#single-progress", r"An example, made before\. Trained for [\d,]+ steps in [\d.]+ minutes\.")
    for place in ("source", "exemplar", "slider"):
        page.wait_for_function(f"document.querySelector('#single-{place} img')?.naturalWidth > 0")
    assert page.locator("#single-slider img").count() == 2
    assert page.is_disabled("#single-pipeline")
    assert not page.is_visible("#single-applying")
    with page.expect_download() as download:
        page.click("#single-picture")
    download.value.save_as(tmp_path / "result.png")
    record = read_record(tmp_path / "result.png")
    assert record["checkpoint"] == "sincut"
    assert page.input_value("#single-seed input") == str(record["seed"])
    page.click("#single-code button")
    visit.wait_for_text("#single-code-command", '--image "source.jpg" --exemplar "exemplar.jpg"')


def test_train_stop_download_and_apply(visit, pictures, tmp_path):
    page = visit.page
    page.get_by_role("tab", name="Single image").click()
    visit.upload("single-source", pictures["source"])
    visit.upload("single-exemplar", pictures["exemplar"])
    page.click("#single-advanced button")
    visit.set_number("#single-num-steps input", "100000")
    visit.set_number("#single-seed input", "11")
    slider = page.locator("#single-slider").bounding_box()

    page.click("#single-go")
    visit.wait_for_text("#single-progress", r"Step \d+ of 100000 · .+ left · GAN [\d.]+, NCE [\d.]+, identity [\d.]+")
    page.wait_for_function("document.querySelectorAll('#single-slider img').length === 2")
    assert page.locator("#single-slider").bounding_box() == slider  # nothing jumps
    assert page.is_disabled("#single-go")
    page.click("#single-stop")
    visit.wait_for_text("#single-progress", r"Preview: stopped after \d+ steps? in .+ · seed 11")
    page.wait_for_selector("#single-go:not([disabled])")
    assert page.locator("#single-slider img").count() == 2

    for button, name in (("picture", "result.png"), ("pipeline", "pipeline.zip")):
        with page.expect_download() as download:
            page.click(f"#single-{button}")
        download.value.save_as(tmp_path / name)
    record = read_record(tmp_path / "result.png")
    stop_after = record["arguments"]["settings"]["stop_after"]
    assert "my-source-sincut-seed11/model_index.json" in zipfile.ZipFile(tmp_path / "pipeline.zip").namelist()
    page.click("#single-code button")
    visit.wait_for_text("#single-code-command", f"--set stop_after={stop_after}")

    visit.upload("single-another", pictures["exemplar"])
    page.wait_for_function("document.querySelector('#single-applied img')?.naturalWidth === 80")
    page.set_viewport_size({"width": 400, "height": 800})
    assert visit.width_of_content() <= 400


def test_missing_picture_is_asked_for(visit):
    visit.page.get_by_role("tab", name="Single image").click()
    visit.page.click("#single-go")
    visit.wait_for_text("[data-testid=toast-body]", "Add a source picture first.")
    visit.page.wait_for_selector("#single-go:not([disabled])")
    assert visit.text("#single-progress") == "Add two pictures, or take the example."
