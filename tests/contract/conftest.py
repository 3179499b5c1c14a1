from pathlib import Path

import pytest

from tests.tiny import picture


@pytest.fixture
def checkpoint(pipe, tmp_path, monkeypatch):
    """A working folder with the module's `pipe` as `tiny`, and photos/{a,b}.png and photos/broken.png in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRANSLATION_HUB_DEVICE", "cpu")
    pipe.save_pretrained("tiny")
    Path("photos").mkdir()
    picture(41, 27).save("photos/a.png")
    picture(90, 61, seed=1).convert("L").save("photos/b.png")
    Path("photos/broken.png").write_text("no image")
    return "./tiny"
