"""One server for the whole session: the real app over a tiny network, with tiny presets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gradio import processing_utils
from PIL import Image

from demo import classes_model, devices, tab_classes, tab_unpaired
from pipelines import OEFTPipeline, SinCUTPipeline
from pipelines.networks.vgg import VGGBackbone
from pipelines.oeft import settings as oeft_settings
from pipelines.sincut import settings as sincut_settings
from tests.app.tiny_classes import save_classes
from tests.app.tiny_refining import save_refining
from tests.app.tiny_unpaired import save_unpaired
from tests.app.visit import Visit

CHROMIUM_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking",
                      "--disable-component-update", "--no-first-run"]  # fmt: skip
TINY = {"size": 128, "grid": 32, "render_grid": 32}
TINY_SINCUT = {
    "base_channels": 4, "num_blocks": 4, "discriminator_channels": 4, "embedding": 8, "crop_size": 16, "tile_size": 16,
    "batch_size": 2,
}  # fmt: skip


@pytest.fixture(scope="package")
def app_environment(tmp_path_factory):
    """A registry with tiny checkpoints, and presets that take milliseconds a step."""
    folder = tmp_path_factory.mktemp("app")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = VGGBackbone(blocks=((8,), (8,), (16,)), taps=("relu2_1", "relu3_1"))
    OEFTPipeline(backbone=backbone).save_pretrained(folder / "tiny")
    save_refining(folder / "tiny-refining")
    save_refining(folder / "tiny-foreign", reach=0.0)
    SinCUTPipeline().save_pretrained(folder / "sincut")
    entry = {
        "id": "oeft-starter",
        "title": "Tiny",
        "task": "exemplar",
        "pipeline": "OEFTPipeline",
        "source": {"bundled": "tiny"},
        "license": "apache-2.0",
        "training_data": "Nothing.",
    }
    refining = {**entry, "id": "oeft-refining", "title": "With a GAN", "source": {"bundled": "tiny-refining"}}
    foreign = {**refining, "id": "oeft-foreign", "title": "With another GAN", "source": {"bundled": "tiny-foreign"}}
    untrained = {
        **entry,
        "id": "sincut",
        "title": "Untrained",
        "task": "single-image",
        "pipeline": "SinCUTPipeline",
        "source": {"bundled": "sincut"},
    }
    entries = [entry, refining, foreign, untrained, *save_unpaired(folder, entry), *save_classes(folder, entry)]
    (folder / "checkpoints.json").write_text(json.dumps(entries))
    presets = {
        "paper": oeft_settings.OEFTSettings(num_steps=200, **TINY),
        "balanced": oeft_settings.OEFTSettings(num_steps=60, **TINY),
        "fast": oeft_settings.OEFTSettings(num_steps=20, **TINY),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSLATION_HUB_CHECKPOINTS", str(folder / "checkpoints.json"))
        patch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
        patch.setenv("TRANSLATION_HUB_MAX_UPLOAD_MEGABYTES", "1")
        patch.setenv("TRANSLATION_HUB_MAX_RESULT_PIXELS", "40000")
        patch.setenv("TRANSLATION_HUB_MAX_PIXELS", "1000000")
        patch.setenv("TRANSLATION_HUB_MAX_PHOTO_PIXELS", "40000")
        patch.setenv("TRANSLATION_HUB_MAX_PHOTOS", "4")
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
        listed = devices.usable_checkpoints
        for module in (tab_unpaired, tab_classes, classes_model):  # the same, whatever else the repository ships
            patch.setattr(
                module,
                "usable_checkpoints",
                lambda task: [own for own in listed(task) if "Nothing." in own.training_data],
            )
        for name, preset in presets.items():
            patch.setitem(oeft_settings.PRESETS, name, preset)
        patch.setitem(sincut_settings.PRESETS, "cpu", TINY_SINCUT)
        patch.setattr(processing_utils, "save_pil_to_cache", refuse_picture)
        yield folder


def refuse_picture(*args, **kwargs):
    """Stands for what gradio does with a picture in memory."""
    raise AssertionError("a picture in memory was shown: gradio would rewrite a file that the page may be reading")


@pytest.fixture(scope="package")
def app_url(app_environment):
    """The address of the running app."""
    import app

    demo = app.build(app.DemoSettings.from_environment())
    _, url, _ = demo.launch(
        **app.launch_options(app.DemoSettings.from_environment()),
        server_name="127.0.0.1",
        prevent_thread_lock=True,
        quiet=True,
    )
    yield url
    demo.close()


@pytest.fixture(scope="package")
def pictures(tmp_path_factory) -> dict[str, Path]:
    """Files as a visitor may bring them."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)

    def save(name: str, height: int, width: int) -> Path:
        coarse = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
        return folder / name

    (folder / "broken.png").write_bytes(b"this is no picture")
    return {
        "source": save("my source.png", 96, 128),
        "exemplar": save("exemplar.png", 100, 80),
        "large": save("large.png", 300, 400),
        "bomb": save("bomb.png", 1001, 1000),
        "broken": folder / "broken.png",
    }


@pytest.fixture(scope="package")
def browser():
    """A headless Chromium; skipped where there is none, unless TRANSLATION_HUB_REQUIRE_BROWSER=1."""
    required = os.environ.get("TRANSLATION_HUB_REQUIRE_BROWSER") == "1"
    give_up = pytest.fail if required else pytest.skip
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        give_up("playwright is not installed: pip install -r tests/requirements.txt")
    with sync_playwright() as playwright:
        path = find_chromium()
        if path is None:  # Playwright's own; quick when it is here already
            command = [sys.executable, "-m", "playwright", "install", "chromium"]
            subprocess.run(command, capture_output=True, timeout=300, check=False)
        try:
            chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        except Error as error:
            give_up(f"no Chromium can be started (set CHROMIUM, or `playwright install chromium`): {error}")
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser, app_url):
    """A visit to the app; nothing may have gone wrong on the page when it ends."""
    visit = Visit(browser, app_url)
    yield visit
    visit.check()


def find_chromium() -> str | None:
    """A Chromium on this machine; None stands for Playwright's own."""
    candidates = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return next((path for name in candidates if name and (path := shutil.which(name))), None)
