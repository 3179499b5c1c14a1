"""What is made of a photo in many classes: PNGs, a contact sheet, an archive, a sentence and details for scripts."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from demo.classes_run import Batch, Finished
from demo.classes_sheet import contact_sheet
from demo.pictures import file_name
from demo.shown import as_file
from demo.widgets import count_in_words, duration_in_words
from pipelines.images.provenance import save_png

SHOWN_SIDE = 256  # pixels of a photo beside its results


class Preview:
    """The pictures of a run as they come, for a gallery.

    Args:
        photo: what is translated.
        titles: of the classes, by name.
    """

    def __init__(self, photo: Image.Image, titles: Mapping[str, str]):
        self.titles = titles
        self.shown: list[tuple[str, str]] = []
        self.classes: list[str | None] = [None]  # name of what is clicked; the photo has none
        self._add(square(photo), "Photo")

    def add(self, event: Batch) -> None:
        """Append some pictures."""
        for name, image in zip(event.classes, event.images, strict=True):
            self._add(image, self.titles[name])
            self.classes.append(name)

    def _add(self, image: Image.Image, caption: str) -> None:
        self.shown.append((as_file(image, png=True), caption))


class Results:
    """The files of a finished run.

    Args:
        event: the end of the run.
        photo: what was translated.
        titles: of the classes, by name; the contact sheet has them, the files and records have the names.
        folder: the files are written here.
    """

    def __init__(self, event: Finished, photo: Image.Image, titles: Mapping[str, str], folder: Path):
        self.event, self.photo, self.titles, self.folder = event, photo, titles, folder
        self.record = event.record
        given = self.record["inputs"]["image"][0]["name"]
        checkpoint = Path(self.record["checkpoint"]).name
        self.name = Path(file_name(given, checkpoint, self.record["seed"])).stem
        self.files: list[Path] = []
        draws = self.record["arguments"]["num_images_per_class"]
        for number, (name, image) in enumerate(zip(event.classes, event.images, strict=True)):
            draw = number % draws + 1
            path = self._path(name if draws == 1 else f"{name}-{draw}")
            save_png(image, path, {**self.record, "arguments": event.arguments[number]})
            self.files.append(path)

    def sheet(self) -> Path:
        """Write the contact sheet, a PNG with the record of all its pictures."""
        captions = [self.titles[name] for name in self.event.classes]
        pictures = zip(self.event.images, captions, strict=True)
        arguments = {**self.record["arguments"], "target_class": list(dict.fromkeys(self.event.classes))}
        notes = [*self.record["notes"], "A contact sheet of the photo and its results."]
        path = self.folder / f"{self.name}-sheet.png"
        save_png(
            contact_sheet([(square(self.photo), "Photo"), *pictures]),
            path,
            self.record | {"arguments": arguments, "notes": notes},
        )
        return path

    def archive(self) -> Path:
        """Write all PNGs into one zip; they are compressed already."""
        path = self.folder / f"{self.name}-{count_in_words(len(self.files), 'picture').replace(' ', '-')}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for file in self.files:
                archive.write(file, file.name)
        return path

    def summary(self) -> str:
        """Say how the run went, for the progress line."""
        arguments, count = self.record["arguments"], len(self.files)
        asked = len(arguments["target_class"]) * arguments["num_images_per_class"]
        done = f"Stopped: {count} of {asked} pictures" if count < asked else count_in_words(count, "picture")
        return f"{done} in {duration_in_words(self.event.seconds)} · seed {self.record['seed']}"

    def details(self) -> dict[str, Any]:
        """Say how the run went, for a script."""
        return {
            "pictures": [
                {"file": file.name, "class": name} for file, name in zip(self.files, self.event.classes, strict=True)
            ],
            **self.record["arguments"],
            "seed": self.record["seed"],
            "notes": self.record["notes"],
            "seconds": round(self.event.seconds, 2),
        }

    def _path(self, what: str) -> Path:
        """A file that no other picture of the run has."""
        stem = self.name + "-" + re.sub(r"[^\w-]+", "-", what).strip("-")
        path, number = self.folder / f"{stem}.png", 1
        while path in self.files:
            number += 1
            path = self.folder / f"{stem}-{number}.png"
        return path


def square(image: Image.Image) -> Image.Image:
    """The middle of a photo, as it is translated."""
    return ImageOps.fit(image, (SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.LANCZOS)
