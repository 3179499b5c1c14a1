"""Tiny checkpoints for the Many-class tab."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from demo.classes_thumbnails import join
from pipelines import DeepI2IPipeline
from pipelines.deepi2i.adaptor import DeepI2IAdaptor
from pipelines.deepi2i.encoder import DeepI2IEncoder
from pipelines.images.formats import read_image
from pipelines.images.provenance import make_record, save_png
from pipelines.networks.biggan import BigGANGenerator
from tests.tiny import picture

ANIMALS = ["pug", "guinea_pig", "mongoose", "red_fox", "snow_leopard", "brown_bear", "african_elephant", "zebra",
           "giant_panda", "otter", "koala", "tabby_cat"]  # fmt: skip
TITLES = {"mongoose": "banded mongoose", "zebra": "plains zebra"}  # of the others: the name in words
FOODS = ["ramen", "sushi", "apple_pie"]


def tiny_deepi2i(
    class_names: list[str],
    levels: tuple[int, ...] = (32, 16, 8, 4),
    seed: int = 0,
    class_titles: dict[str, str] | None = None,
) -> DeepI2IPipeline:
    """A pipeline for 64 pixels whose networks have four channels; its weights depend on `seed` alone."""
    size: dict[str, Any] = {"resolution": 64, "base_channels": 4, "attention_resolution": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = DeepI2IEncoder(**size)
        generator = BigGANGenerator(**size, num_classes=len(class_names), latent_dim=20, embedding_dim=8)
        adaptor = DeepI2IAdaptor(
            levels,
            tuple(encoder.channels()[level] for level in levels),
            tuple(generator.channels()[level] for level in levels),
        )
        with torch.no_grad():  # strong enough to be told apart
            generator.embedding.weight.mul_(5)
            generator.head.weight.mul_(20)
    weights = {str(level): 1.0 for level in levels}
    pipe = DeepI2IPipeline(encoder.eval(), adaptor.eval(), generator.eval(), class_names, weights, class_titles)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def save_classes(folder: Path, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Save two checkpoints, the first with a sheet of its classes and an example; returns their entries."""
    animals = tiny_deepi2i(ANIMALS, class_titles=TITLES)
    animals.save_pretrained(folder / "many-animals")
    tiny_deepi2i(FOODS, levels=(16, 8, 4), seed=1).save_pretrained(folder / "many-foods")
    picture(64, 48).save(folder / "animal.png")
    every = animals(folder / "animal.png", "all", generator=torch.Generator().manual_seed(0))
    join(every.images).save(folder / "classes.jpg")
    pipe = DeepI2IPipeline.from_pretrained(folder / "many-animals")
    examples: list[dict[str, str]] = [{"classes": "classes.jpg"}]
    for name in ("otter", "zebra"):
        output = pipe(folder / "animal.png", name, generator=torch.Generator().manual_seed(0))
        named = replace(read_image(folder / "animal.png"), path=Path("animal.png"))
        arguments = {**output.arguments, "target_class": name}
        record = make_record(pipe, inputs={"image": [named]}, arguments=arguments, seed=0, notes=output.notes[0])
        save_png(output.images[0], folder / f"{name}.png", record | {"checkpoint": "many-animals"})
        examples.append({"image": "animal.png", "result": f"{name}.png"})
    many = {**entry, "task": "many-class", "pipeline": "DeepI2IPipeline"}
    source, other = ({"bundled": f"many-{name}"} for name in ("animals", "foods"))
    return [
        {**many, "id": "many-animals", "title": "Animals", "source": source, "examples": examples},
        {**many, "id": "many-foods", "title": "Foods", "source": other},
    ]
