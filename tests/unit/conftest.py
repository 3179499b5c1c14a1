import json

import pytest
from huggingface_hub import constants

from tests.hub_server import HubServer
from tests.tiny_pipeline import make_pipeline


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A running stand-in of the Hub, which the client asks, and empty caches."""
    server = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("TRANSLATION_HUB_CACHE", str(tmp_path / "assembled"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.close()


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Add an entry to the registry, by way of the extra file; returns that file."""

    def add(**fields):
        entry = {
            "id": "tiny",
            "title": "Tiny",
            "task": "exemplar",
            "pipeline": "TinyPipeline",
            "source": {"bundled": "tiny"},
        }
        entry |= {"license": "apache-2.0", "training_data": "None.", **fields}
        path = tmp_path / "extra.json"
        path.write_text(json.dumps([entry], indent=2) + "\n")
        monkeypatch.setenv("TRANSLATION_HUB_CHECKPOINTS", str(path))
        return path

    return add


@pytest.fixture
def tiny_folder(tmp_path):
    """A saved tiny pipeline."""
    make_pipeline().save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"
