"""Code that repeats a run of the Unpaired tab."""

import os
from pathlib import Path
from typing import Any

from demo.own_checkpoint import OwnCheckpoint
from demo.snippets import Snippets, quoted

_LOAD = """\
from pipelines import CUTPipeline

pipe = CUTPipeline.from_pretrained("{checkpoint}"{revision})
"""

_CONVERT = """\
from pipelines import CUTPipeline
from pipelines.cut.convert import read_generator

pipe = CUTPipeline(read_generator("{checkpoint}"))
"""

_ONE = """\
output = pipe("{file}", precision="{precision}")
output.images[0].save("{result}")
"""

_MANY = """\
files = [{files}]
for file in files:
    pipe(file, precision="{precision}").images[0].save(f"{{file}}.png")
"""

_CLIENT_ONE = """\
from gradio_client import Client, handle_file

client = Client("{address}")
picture, details = client.predict(
    image=handle_file("{file}"),
    checkpoint="{checkpoint}",
    precision="{precision}",
    api_name="/translate_unpaired",
)
"""

_CLIENT_MANY = """\
from gradio_client import Client, handle_file

client = Client("{address}")
archive, details = client.predict(
    files=[handle_file(file) for file in [{files}]],
    checkpoint="{checkpoint}",
    precision="{precision}",
    api_name="/translate_unpaired_batch",
)
"""

_NO_CLIENT = "# A checkpoint of your own is for this page only; the lines above run it elsewhere.\n"


def snippets_for(
    records: list[dict[str, Any]], checkpoint: str | OwnCheckpoint, result: str, address: str
) -> Snippets:
    """Write the code that repeats a run.

    Args:
        records: of its photos, as they stand in the PNGs.
        checkpoint: that made them.
        result: name of the file to write, for a single photo.
        address: where the app is reached, when it is not a Space.
    """
    photos = [record["inputs"]["image"][0] for record in records]
    names = [quoted(photo["name"]) for photo in photos]
    own = checkpoint if isinstance(checkpoint, OwnCheckpoint) else None
    values = {
        "checkpoint": quoted(records[0]["checkpoint"]),
        "revision": f', revision="{own.revision}"' if own and own.revision else "",
        "precision": records[0]["arguments"]["precision"],
        "file": names[0],
        "files": ", ".join(f'"{name}"' for name in names),
        "result": result,
        "address": os.environ.get("SPACE_ID") or address,
    }
    is_file = own is not None and own.revision is None
    python = (_CONVERT if is_file else _LOAD) + (_ONE if len(records) == 1 else _MANY)
    client = _CLIENT_ONE if len(records) == 1 else _CLIENT_MANY
    return Snippets(
        _scaled(records) + python.format(**values),
        _command(names, result if len(records) == 1 else "results", values, is_file),
        _NO_CLIENT if own else client.format(**values),
    )


def _command(names: list[str], output: str, values: dict[str, str], is_file: bool) -> str:
    images = " ".join(f'"{name}"' for name in names)
    checkpoint, convert = values["checkpoint"], ""
    if is_file:
        folder = Path(checkpoint).stem
        convert = f'python -m pipelines convert cut --source "{checkpoint}" --output "{folder}"\n'
        checkpoint = f'"{folder}"'
    return (
        f"{convert}python -m pipelines translate {checkpoint} \\\n"
        f'    --image {images} \\\n    --precision {values["precision"]} --output "{output}"\n'
    )


def _scaled(records: list[dict[str, Any]]) -> str:
    """Say which photos were scaled before: the code would translate them as they are."""
    notes = [note for record in records for note in record["notes"] if " was scaled from " in note]
    return "".join(f"# {note}\n" for note in notes)
