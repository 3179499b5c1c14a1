"""What is made of translated photos: PNGs, an archive, sentences for the page and details for scripts."""

import html
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.pictures import file_name, for_screen, to_jpeg
from demo.unpaired_run import Failed, Translated
from demo.widgets import count_in_words, duration_in_words
from pipelines.images.provenance import save_png


@dataclass
class Results:
    """The photos of one run so far.

    Attributes:
        folder: the PNGs are written here.
        files: their paths.
        records: what stands in them.
        compared: the photo and the result of each, for the screen; JPEG, as a visitor's session keeps them.
        failures: the photos without a result.
        seconds: of all translations.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    compared: list[tuple[bytes, bytes]] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, event: Translated) -> Path:
        """Write the PNG with its record; no other file of the run has its name."""
        name = file_name(event.photo.name, Path(event.record["checkpoint"]).name)
        path, number = self.folder / name, 1
        while path in self.files:
            number += 1
            path = self.folder / f"{Path(name).stem}-{number}.png"
        save_png(event.image, path, event.record)
        self.files.append(path)
        self.records.append(event.record)
        self.compared.append((to_jpeg(event.photo.shown), to_jpeg(for_screen(event.image))))
        self.seconds += event.seconds
        return path

    def archive(self) -> Path:
        """Write all PNGs into one zip; they are compressed already."""
        path = self.folder / f"{Path(self.records[0]['checkpoint']).name}-{len(self.files)}-photos.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for file in self.files:
                archive.write(file, file.name)
        return path

    def summary(self, asked: int, stopped: bool) -> str:
        """Say how the run went, for the progress line."""
        if asked == 1:
            image = self.records[0]["inputs"]["image"][0]
            return f"{image['width']} x {image['height']} pixels in {duration_in_words(self.seconds)}"
        done = f"{len(self.files)} of {count_in_words(asked, 'photo')} in {duration_in_words(self.seconds)}"
        return f"Stopped: {done}" if stopped else done

    def notes(self) -> str:
        """Say what was done to the photos, and which failed, as HTML."""
        lines = [f"<li class='failed'>{html.escape(failed.reason)}</li>" for failed in self.failures]
        alike: dict[str, list[str]] = {}
        for record in self.records:
            alike.setdefault(" ".join(record["notes"]), []).append(record["inputs"]["image"][0]["name"])
        for notes, names in alike.items():
            who = f"<b>{html.escape(', '.join(names))}:</b> " if len(alike) > 1 else ""
            lines.append(f"<li>{who}{html.escape(notes)}</li>")
        return f"<ul class='notes'>{''.join(lines)}</ul>"

    def details(self) -> dict[str, Any]:
        """Say how the run went, for a script."""
        return {
            "photos": [
                {"file": file.name, **record["inputs"]["image"][0], **record["arguments"], "notes": record["notes"]}
                for file, record in zip(self.files, self.records, strict=True)
            ],
            "failed": [{"name": failed.name, "reason": failed.reason} for failed in self.failures],
            "seconds": round(self.seconds, 2),
        }
