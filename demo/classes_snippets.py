"""Code that repeats a run of the Many-class tab."""

import json
import os
from typing import Any

from demo.own_checkpoint import OwnCheckpoint
from demo.snippets import Snippets, quoted

_PYTHON = """\
import torch

from pipelines import DeepI2IPipeline

pipe = DeepI2IPipeline.from_pretrained("{checkpoint}"{revision})
output = pipe(
    "{image}",
    target_class={classes},
    num_images_per_class={draws},
    truncation={truncation},
    strength={strength},
    precision="{precision}",
    generator=torch.Generator().manual_seed({seed}),
)
for number, (picture, name) in enumerate(zip(output.images, output.classes)):
    picture.save(f"{{number}}-{{name.replace('/', '-')}}.png")
"""

_ANIMATION = """\
import torch

from pipelines import DeepI2IPipeline

pipe = DeepI2IPipeline.from_pretrained("{checkpoint}"{revision})
animation = pipe.interpolate(
    "{image}",
    {start},
    {end},
    num_frames={num_frames},
    truncation={truncation},
    strength={strength},
    precision="{precision}",
    generator=torch.Generator().manual_seed({seed}),
)
animation.save("animation.webp")
"""

_COMMAND = """\
python -m pipelines translate {checkpoint} \\
    --image "{image}" --target-class {listed} \\
    --num-images-per-class {draws} --truncation {truncation} --strength {factors} \\
    --precision {precision} --seed {seed} --output results
"""

_CLIENT = """\
from gradio_client import Client, handle_file

client = Client("{address}")
{returned} = client.predict(
    image=handle_file("{image}"),{classes_line}
    checkpoint="{checkpoint}",
    num_images_per_class={draws},
    seed={seed},
    truncation={truncation},
    strength=[{commas}],
    precision="{precision}",
    api_name="/{endpoint}",
)
"""

_CLIENT_ANIMATION = """\
from gradio_client import Client, handle_file

client = Client("{address}")
animation, details = client.predict(
    image=handle_file("{image}"),
    start_class={start},
    end_class={end},
    checkpoint="{checkpoint}",
    num_frames={num_frames},
    seed={seed},
    truncation={truncation},
    strength=[{commas}],
    precision="{precision}",
    api_name="/interpolate_classes",
)
"""

_NO_CLIENT = "# A checkpoint of your own is for this page only; the lines above run it elsewhere.\n"
_NO_COMMAND = "# An animation is made in Python, or by a script that asks this app.\n"


def snippets_for(record: dict[str, Any], checkpoint: str | OwnCheckpoint, every: bool, address: str) -> Snippets:
    """Write the code that repeats pictures of classes.

    Args:
        record: of the run.
        checkpoint: that made them.
        every: whether all classes were asked for.
        address: where the app is reached, when it is not a Space.
    """
    names = record["arguments"]["target_class"]
    values = {
        **_shared(record, checkpoint, address),
        "draws": record["arguments"]["num_images_per_class"],
        "classes": '"all"' if every else json.dumps(names, ensure_ascii=False),
        "listed": "all" if every else " ".join(f'"{quoted(name)}"' for name in names),
        "classes_line": "" if every else f"\n    target_classes={json.dumps(names, ensure_ascii=False)},",
        "returned": "archive, sheet, details" if every else "pictures, sheet, details",
        "endpoint": "all_classes" if every else "translate_classes",
    }
    client = _NO_CLIENT if isinstance(checkpoint, OwnCheckpoint) else _CLIENT.format(**values)
    return Snippets(_PYTHON.format(**values), _COMMAND.format(**values), client)


def animation_snippets(record: dict[str, Any], checkpoint: str | OwnCheckpoint, address: str) -> Snippets:
    """Write the code that repeats an animation; arguments as for `snippets_for`."""
    arguments = record["arguments"]
    values = {
        **_shared(record, checkpoint, address),
        "start": json.dumps(arguments["start_class"], ensure_ascii=False),
        "end": json.dumps(arguments["end_class"], ensure_ascii=False),
        "num_frames": arguments["num_frames"],
    }
    client = _NO_CLIENT if isinstance(checkpoint, OwnCheckpoint) else _CLIENT_ANIMATION.format(**values)
    return Snippets(_ANIMATION.format(**values), _NO_COMMAND, client)


def _shared(record: dict[str, Any], checkpoint: str | OwnCheckpoint, address: str) -> dict[str, Any]:
    arguments = record["arguments"]
    factors = [f"{factor:g}" for factor in arguments["strength"].values()]
    revision = checkpoint.revision if isinstance(checkpoint, OwnCheckpoint) else None
    return {
        "checkpoint": quoted(record["checkpoint"]),
        "revision": f', revision="{revision}"' if revision else "",
        "image": quoted(record["inputs"]["image"][0]["name"]),
        "truncation": f"{arguments['truncation']:g}",
        "strength": json.dumps(arguments["strength"]),
        "factors": " ".join(factors),
        "commas": ", ".join(factors),
        "precision": arguments["precision"],
        "seed": record["seed"],
        "address": os.environ.get("SPACE_ID") or address,
    }
