"""What the Many-class tab needs to know of a checkpoint before its networks are loaded: its classes and levels."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pipelines
from demo.classes_thumbnails import sheet_of
from demo.devices import usable_checkpoints
from demo.own_checkpoint import OwnCheckpoint
from pipelines.deepi2i.class_titles import read_class_titles
from pipelines.hub.errors import CheckpointError
from pipelines.hub.strict import read_index

PIPELINE = "DeepI2IPipeline"


@dataclass(frozen=True)
class ClassModel:
    """A checkpoint of the Many-class tab.

    Attributes:
        checkpoint: its id, or what a visitor brought.
        title: for a menu.
        class_names: of all its classes.
        class_titles: likewise, what visitors read.
        levels: resolutions at which the photo's features are added, from fine to coarse.
        thumbnails: a sheet with one picture a class, see `demo.classes_thumbnails`; None where there is none.
    """

    checkpoint: str | OwnCheckpoint
    title: str
    class_names: tuple[str, ...]
    class_titles: tuple[str, ...]
    levels: tuple[int, ...]
    thumbnails: Path | None = None

    @property
    def name(self) -> str:
        """What the menu's value is."""
        return self.checkpoint.name if isinstance(self.checkpoint, OwnCheckpoint) else self.checkpoint

    @property
    def titles(self) -> Mapping[str, str]:
        """Titles by name."""
        return dict(zip(self.class_names, self.class_titles, strict=True))


def usable_models() -> list[ClassModel]:
    """Describe the checkpoints that can be used here; one that cannot be fetched is left out."""
    models = []
    for entry in usable_checkpoints("many-class"):
        try:
            folder = Path(getattr(pipelines, PIPELINE).download(entry.id))
        except CheckpointError:
            continue
        models.append(ClassModel(entry.id, entry.title, *_read(folder), sheet_of(entry)))
    return models


def own_model(own: OwnCheckpoint) -> ClassModel:
    """Describe what a visitor brought."""
    return ClassModel(own, f"Yours: {own.name}", *_read(own.folder))


def _read(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]:
    """The names, the titles and the levels, from the pipeline's and the adaptor's configuration."""
    index = read_index(folder)
    by_number = index["class_names"]
    names = tuple(by_number[str(number)] for number in range(len(by_number)))
    titles = tuple(read_class_titles(index.get("class_titles"), names))
    adaptor = json.loads((folder / "adaptor" / "config.json").read_text(encoding="utf-8"))
    return names, titles, tuple(sorted(adaptor["levels"], reverse=True))
