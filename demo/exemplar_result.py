"""What is made of a finished run: a file, a sentence, details for scripts, and what a visitor can ask about."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from PIL import Image

from demo.exemplar_choices import described
from demo.exemplar_run import Finished, Preview
from demo.lookup import Answered
from demo.pictures import Picture, file_name, for_screen
from demo.widgets import count_in_words, duration_in_words
from pipelines.images.provenance import save_png
from pipelines.oeft.output import CorrespondenceLookup

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


def answered_of(last: Answered, image: Image.Image) -> Answered:
    """The same for another picture of the run, which may have another size."""
    lookup = replace(cast(CorrespondenceLookup, last.lookup), size=(image.height, image.width))
    return replace(last, result=for_screen(image), size=image.size, lookup=lookup)


def progress(event: Preview) -> str:
    """Say how far the run is, for the progress line."""
    stage = {"warp": " (warp)", "refine": " (refinement)", None: ""}[event.stage]
    left = duration_in_words(event.seconds_left)
    return f"Step {event.step} of {event.num_steps}{stage} · loss {event.loss:.2f} · {left} left"


def summary(event: Finished) -> str:
    """Say how the run went, for the progress line."""
    steps = count_in_words(event.steps, "step")
    how = f"Stopped after {steps}" if event.stopped else steps
    best = f"best after {event.best_step}"
    if event.chosen is not None:
        chosen = event.hypotheses[event.chosen]
        best = f"layer {chosen.layer}, {chosen.num_codes} codes"
    return f"{how} in {duration_in_words(event.seconds)} · {best} · seed {event.record['seed']}"


def notes(event: Finished, pair: Pair) -> list[str]:
    """What there is to say about the pictures and the result, each once."""
    return list(dict.fromkeys([*(note for picture in pair for note in picture.notes), *event.record["notes"]]))


def details(event: Finished, pair: Pair) -> dict[str, Any]:
    """Say how the run went, for a script."""
    return {
        "steps": event.steps,
        "best_step": event.best_step,
        "stopped": event.stopped,
        "seconds": round(event.seconds, 2),
        "seed": event.record["seed"],
        "notes": notes(event, pair),
        "hypotheses": described(event.hypotheses),
        "chosen": event.chosen,
    }
