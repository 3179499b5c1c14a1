"""Tiny checkpoints for the Unpaired tab."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pipelines import CUTPipeline
from pipelines.cut.networks import ResnetGenerator
from pipelines.images.formats import read_image
from pipelines.images.provenance import make_record, save_png
from tests.tiny import picture


def tiny_cut(seed: int = 0) -> CUTPipeline:
    """A pipeline whose generator has one block; its weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipe = CUTPipeline(ResnetGenerator(base_channels=4, num_blocks=1, gain=0.5))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_unpaired(folder: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Save two checkpoints, the first with an example; returns their entries, which begin as `entry`."""
    for seed, name in enumerate(("cut-one", "cut-other")):
        tiny_cut(seed).save_pretrained(folder / name)
    picture(64, 48).save(folder / "example.png")
    pipe = CUTPipeline.from_pretrained(folder / "cut-one")
    output = pipe(folder / "example.png")
    named = replace(read_image(folder / "example.png"), path=Path("example.png"))
    record = make_record(pipe, inputs={"image": [named]}, arguments=output.arguments, seed=0, notes=output.notes[0])
    save_png(output.images[0], folder / "example-result.png", record | {"checkpoint": "cut-one"})
    unpaired = {**entry, "task": "unpaired", "pipeline": "CUTPipeline"}
    examples = [
        {"image": "example.png", "result": "example-result.png"},
        {"image": "example.png", "result": "gone.png"},
    ]
    return [
        {**unpaired, "id": "cut-one", "title": "Day to night", "source": {"bundled": "cut-one"}, "examples": examples},
        {**unpaired, "id": "cut-other", "title": "Night to day", "source": {"bundled": "cut-other"}},
    ]
