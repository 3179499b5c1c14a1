"""What is made of a finished run: the picture, the pipeline as one file, a sentence, details for scripts."""

import shutil
from pathlib import Path
from typing import Any

from demo.pictures import Picture
from demo.single_run import Finished
from demo.widgets import count_in_words, duration_in_words
from pipelines.images.provenance import save_png
from pipelines.sincut.settings import BUDGETS

_README = """\
# {title}

A SinCUT generator, trained by the Image Translation Hub on two pictures alone: {image} and {exemplar}
({steps}, preset `{preset}`, seed {seed}).

```python
from pipelines import SinCUTPipeline

pipe = SinCUTPipeline.from_pretrained("{title}")
pipe("another.jpg").images[0].save("result.png")
```
"""


def save(event: Finished, pipeline: Path, folder: str) -> tuple[str, str]:
    """Write the PNG with its record, and the trained pipeline as a zip of one folder.

    Args:
        event: the end of the run.
        pipeline: the folder that the run saved; it gets a README.md.
        folder: where both files go.

    Returns:
        Paths of the PNG and of the zip.
    """
    record = event.record
    picture = Path(folder) / f"{pipeline.name}.png"
    save_png(event.image, picture, record)
    names = {name: images[0]["name"] for name, images in record["inputs"].items()}
    readme = _README.format(
        title=pipeline.name, steps=count_in_words(event.steps, "step"), preset=record["arguments"]["preset"],
        seed=record["seed"], **names,
    )  # fmt: skip
    (pipeline / "README.md").write_text(readme, encoding="utf-8")
    archive = shutil.make_archive(str(picture.with_suffix("")), "zip", pipeline.parent, pipeline.name)
    return str(picture), archive


def summary(event: Finished) -> str:
    """Say how the run went, for the progress line."""
    steps = count_in_words(event.steps, "step")
    how = f"stopped after {steps}" if event.stopped else steps
    kind = "Preview" if event.seconds < 0.9 * 60 * BUDGETS[0] else "Result"
    return f"{kind}: {how} in {duration_in_words(event.seconds)} · seed {event.record['seed']}"


def details(event: Finished, pair: tuple[Picture, Picture]) -> dict[str, Any]:
    """Say how the run went, for a script."""
    return {
        "steps": event.steps,
        "stopped": event.stopped,
        "seconds": round(event.seconds, 2),
        "seed": event.record["seed"],
        "notes": list(dict.fromkeys([*pair[0].notes, *pair[1].notes, *event.notes])),
    }
