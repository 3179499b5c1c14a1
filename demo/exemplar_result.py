"""What is made of a finished run: a file, a sentence, details for scripts, and what a visitor can ask about."""

from pathlib import Path
from typing import Any

from demo.exemplar_run import Finished
from demo.lookup import Answered
from demo.pictures import Picture, file_name, for_screen
from demo.widgets import count_in_words, duration_in_words
from pipelines.images.provenance import save_png

Pair = tuple[Picture, Picture]


def save(event: Finished, folder: str) -> str:
    """Write the PNG with its record into a folder; return its path."""
    source = event.record["inputs"]["image"][0]["name"]
    path = Path(folder) / file_name(source, event.record["checkpoint"], event.record["seed"])
    save_png(event.image, path, event.record)
    return str(path)


def answered(event: Finished, pair: Pair) -> Answered:
    """Keep what is needed to ask where colors came from."""
    return Answered(for_screen(event.image), pair[1].shown, event.image.size, pair[1].size, event.lookup)


def summary(event: Finished) -> str:
    """Say how the run went, for the progress line."""
    steps = count_in_words(event.steps, "step")
    how = f"Stopped after {steps}" if event.stopped else steps
    return f"{how} in {duration_in_words(event.seconds)} · best after {event.best_step} · seed {event.record['seed']}"


def details(event: Finished, pair: Pair) -> dict[str, Any]:
    """Say how the run went, for a script."""
    return {
        "steps": event.steps,
        "best_step": event.best_step,
        "stopped": event.stopped,
        "seconds": round(event.seconds, 2),
        "seed": event.record["seed"],
        "notes": [note for picture in pair for note in picture.notes],
    }
