"""Numbers that the authors' code produced. They are not part of the repository; tests that need them skip without."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest
from safetensors.torch import load_file
from torch import Tensor

DEFAULT = Path(__file__).parents[3] / "shared" / "parity"
ROOT = Path(os.environ.get("TRANSLATION_HUB_PARITY", DEFAULT))


class Fixture(NamedTuple):
    """One folder of recorded numbers."""

    folder: Path
    meta: dict
    tensors: dict[str, Tensor]


def read_fixture(name: str) -> Fixture:
    """The fixture of this name; skips the test, or the module, where there are none."""
    folder = ROOT / "fixtures" / name
    if not folder.is_dir():
        pytest.skip(
            f"no fixture {name} (looked in {ROOT.name}/fixtures; set TRANSLATION_HUB_PARITY)", allow_module_level=True
        )
    return Fixture(folder, json.loads((folder / "meta.json").read_text()), load_file(folder / "tensors.safetensors"))


def read_key_list(name: str) -> dict:
    """The recorded state-dict listing of this name; skips where there are none."""
    path = ROOT / "keys" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no key list {name} (looked in {ROOT.name}/keys; set TRANSLATION_HUB_PARITY)")
    return json.loads(path.read_text())
