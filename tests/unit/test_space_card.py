"""The Space card in README.md, against requirements.txt, pyproject.toml and checkpoints.json."""

import re
import tomllib
from pathlib import Path

import pytest
from huggingface_hub import RepoCard
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipelines import list_checkpoints

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def card():
    return RepoCard.load(ROOT / "README.md").data.to_dict()


def requirement(name):
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return next(Requirement(line) for line in lines if re.match(rf"{name}\b", line))


def hub_files():
    """Every file of another repository that a checkpoint needs, as a Space preloads it."""
    lines = []
    for checkpoint in list_checkpoints():
        for part in checkpoint.source.get("components", {}).values():
            revision = [] if part["revision"] == "main" else [part["revision"]]
            lines.append(" ".join([part["repo_id"], part["filename"], *revision]))
    return lines


def test_the_sdk_is_a_version_that_requirements_accept(card):
    assert card["sdk"] == "gradio"
    assert card["sdk_version"] in requirement("gradio").specifier


def test_python_is_a_version_that_the_project_accepts(card):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert card["python_version"] in SpecifierSet(project["requires-python"])
    assert f"Programming Language :: Python :: {card['python_version']}" in project["classifiers"]


def test_what_is_preloaded_is_what_the_checkpoints_need(card):
    assert card["preload_from_hub"] == hub_files()
    assert card["models"] == [line.split()[0] for line in hub_files()]


def test_the_app_and_the_license_are_those_of_the_repository(card):
    assert (ROOT / card["app_file"]).is_file()
    assert card["license"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"].lower()
    assert len(card["short_description"]) <= 60
    assert {"image-to-image", "gradio"} <= set(card["tags"])


def test_requirements_have_room_for_the_torch_of_zerogpu():
    assert "2.8.0" in requirement("torch").specifier
    for name in ("gradio", "huggingface-hub", "diffusers", "torch", "torchvision", "safetensors", "accelerate"):
        assert not any(item.operator == "==" for item in requirement(name).specifier)
