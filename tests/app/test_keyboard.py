"""The Exemplar tab without a mouse, and by the names that a screen reader says."""

import pytest

pytestmark = pytest.mark.browser

FOCUSED = """() => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  return {
    element: element.tagName,
    place: element.closest('[id]')?.id ?? '',
    name: element.ariaLabel || [...element.labels ?? []].map(label => label.innerText).join() || element.innerText
      || [...element.querySelectorAll('img')].map(image => image.alt).join(),
    ring: element.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
    shown: box.width > 0 && box.height > 0 && box.top < innerHeight && box.bottom > 0,
  };
}"""


class Keyboard:
    """Goes through a page by Tab; whatever has the focus must have a name, a ring and a place on the screen."""

    def __init__(self, page):
        self.page, self._file = page, None
        page.on("filechooser", lambda chooser: chooser.set_files(self._file))

    def go_on(self) -> dict:
        """Press Tab once; behind the last element the browser itself has the focus."""
        self.page.keyboard.press("Tab")
        stop = self.page.evaluate(FOCUSED)
        if stop["element"] != "BODY":
            assert stop["name"].strip(), f"no name: {stop}"
            assert stop["ring"], f"no ring: {stop}"
            assert stop["shown"], f"not on the screen: {stop}"
        return stop

    def go_to(self, place: str, name: str = "") -> None:
        """Press Tab until the focus is in that place, on something of that name."""
        for _ in range(40):
            stop = self.go_on()
            if stop["place"] == place and name in stop["name"]:
                return
        pytest.fail(f"{name!r} in {place} is not reached")

    def press(self, key="Enter") -> None:
        self.page.keyboard.press(key)

    def upload(self, role, path) -> None:
        self._file = path
        self.go_to(role, "Drop an image file")
        self.press()
        self.page.wait_for_function(f"document.querySelector('#{role} img')?.naturalWidth > 0")


@pytest.fixture
def keyboard(visit):
    return Keyboard(visit.page)


def test_upload_start_stop_and_download(visit, keyboard, pictures):
    keyboard.upload("source", pictures["source"])
    keyboard.upload("exemplar", pictures["exemplar"])
    keyboard.go_to("go")
    keyboard.press()
    visit.wait_for_text("#progress", r"Step \d+ of 60")
    assert keyboard.go_on()["place"] == "stop"  # next to the button that has just lost the focus
    keyboard.press()
    visit.wait_for_text("#progress", r"Stopped after \d+ steps?")
    visit.page.wait_for_selector("#download:not([disabled])")
    for place in ("picker", "found"):  # what they push down has its place then
        visit.page.wait_for_function(f"document.querySelector('#{place} img')?.naturalWidth > 0")
    keyboard.go_to("download")
    with visit.page.expect_download() as download:
        keyboard.press()
    assert download.value.suggested_filename.endswith(".png")
    keyboard.go_to("picker", "Result")
    keyboard.go_to("code")
    keyboard.press()
    visit.wait_for_text("#code-python", "num_steps=")


def test_example_and_settings(visit, keyboard):
    keyboard.go_to("advanced")
    keyboard.press()
    visit.page.wait_for_selector("#augment input")
    for place, name in (("checkpoint", "Checkpoint"), ("preset", "Preset"), ("num-steps", "Steps"), ("seed", "Seed")):
        keyboard.go_to(place, name)
    keyboard.go_to("new-seed", "New seed")
    keyboard.press("Space")
    assert visit.page.is_checked("#new-seed input")
    keyboard.go_to("examples", "Example 1: source")
    keyboard.press()
    visit.wait_for_text("#progress", "An example, made before")


def test_tabs_are_reached_and_opened(visit, keyboard):
    for name in ("Unpaired", "Many-class", "Single image", "About"):
        keyboard.go_to("", name)
        keyboard.press()
        visit.page.wait_for_selector(f"role=tab[name='{name}'][selected=true]")
        assert visit.page.get_by_role("tab", selected=True).all_inner_texts() == [name]


def test_inputs_and_pictures_are_named_after_their_labels(visit):
    page = visit.page
    for name in ("Source", "Exemplar"):
        inputs = page.get_by_role("group", name=name, exact=True).get_by_role("button", name="Drop an image file")
        inputs.wait_for()
        assert inputs.count() == 1
    page.locator("#examples tbody tr").first.click()
    for place, name in (("picker", "Result"), ("found", "Exemplar"), ("slider", "Source | result")):
        shown = page.locator(f"#{place}").get_by_role("img", name=name).first
        shown.wait_for()
        assert shown.evaluate("image => image.naturalWidth") > 0
