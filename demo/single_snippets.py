"""Code that repeats a run of the Single-image tab."""

import os
from typing import Any

from demo.snippets import Snippets, quoted

_PYTHON = """\
import torch

from pipelines import SinCUTPipeline

pipe = SinCUTPipeline.from_pretrained("{checkpoint}")
output = pipe(
    "{image}",
    exemplar="{exemplar}",
    preset="{preset}",
    num_steps={num_steps},{settings}
    generator=torch.Generator().manual_seed({seed}),
)
output.images[0].save("{name}.png")
output.pipeline.save_pretrained("{name}")  # for more pictures: SinCUTPipeline.from_pretrained("{name}")
"""

_COMMAND = """\
python -m pipelines translate {checkpoint} \\
    --image "{image}" --exemplar "{exemplar}" \\
    --preset {preset} --num-steps {num_steps} --seed {seed}{option} \\
    --output "{name}.png"
"""

_CLIENT = """\
from gradio_client import Client, handle_file

client = Client("{address}")
picture, pipeline, details = client.predict(
    image=handle_file("{image}"),
    exemplar=handle_file("{exemplar}"),
    num_steps={num_steps},{stop_after}
    preset="{preset}",
    seed={seed},
    api_name="/translate_single",
)
"""


def snippets_for(record: dict[str, Any], name: str, address: str) -> Snippets:
    """Write the code that repeats a run.

    Args:
        record: of the run, as it stands in the PNG.
        name: of the files to write.
        address: where the app is reached, when it is not a Space.
    """
    stopped = record["arguments"].get("settings", {}).get("stop_after")
    values = {
        "checkpoint": record["checkpoint"],
        "preset": record["arguments"]["preset"],
        "num_steps": record["arguments"]["num_steps"],
        "settings": f'\n    settings={{"stop_after": {stopped}}},' if stopped else "",
        "option": f" --set stop_after={stopped}" if stopped else "",
        "stop_after": f"\n    stop_after={stopped}," if stopped else "",
        "seed": record["seed"],
        "image": quoted(record["inputs"]["image"][0]["name"]),
        "exemplar": quoted(record["inputs"]["exemplar"][0]["name"]),
        "name": name,
        "address": os.environ.get("SPACE_ID") or address,
    }
    return Snippets(_PYTHON.format(**values), _COMMAND.format(**values), _CLIENT.format(**values))
