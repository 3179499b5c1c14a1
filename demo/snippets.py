"""Code that repeats a run."""

import json
import os
from dataclasses import dataclass
from typing import Any

_PYTHON = """\
import torch

from pipelines import OEFTPipeline

pipe = OEFTPipeline.from_pretrained("{checkpoint}")
output = pipe(
    "{image}",
    exemplar="{exemplar}",
    preset="{preset}",
    num_steps={num_steps},{settings}{refining}
    generator=torch.Generator().manual_seed({seed}),
)
output.images[0].save("{output}")
"""

_CLIENT = """\
from gradio_client import Client, handle_file

client = Client("{address}")
picture, details = client.predict(
    image=handle_file("{image}"),
    exemplar=handle_file("{exemplar}"),
    checkpoint="{checkpoint}",
    preset="{preset}",
    num_steps={num_steps},
    seed={seed},
    augment={augment},{client_refining}
    api_name="/translate_exemplar",
)
{choosing}place = client.predict(x=100, y=100, api_name="/correspondence")
"""

_COMMAND = """\
python -m pipelines translate {checkpoint} \\
    --image "{image}" --exemplar "{exemplar}" \\
    --preset {preset} --num-steps {num_steps} --seed {seed}{option}{refining_options} \\
    --output "{output}"
"""


_CHOOSING = 'picture, details = client.predict(hypothesis={chosen}, api_name="/choose_hypothesis")\n'

_REFINING = ("refine", "num_refine_steps", "refine_settings")  # arguments of the pipeline's call


@dataclass(frozen=True)
class Snippets:
    """The same run three times, ready to copy."""

    python: str
    command: str
    client: str


def snippets_for(record: dict[str, Any], output: str, address: str) -> Snippets:
    """Write the code that repeats a run.

    Args:
        record: of the run, as it stands in the PNG.
        output: name of the file to write.
        address: where the app is reached, when it is not a Space.
    """
    augment = record["arguments"].get("settings", {}).get("augment", True)
    refining = {name: record["arguments"][name] for name in _REFINING if name in record["arguments"]}
    for_client = {name: value for name, value in refining.items() if name != "refine_settings"}
    chosen = refining.get("refine_settings", {}).get("decide")
    values = {
        "checkpoint": record["checkpoint"],
        "preset": record["arguments"]["preset"],
        "num_steps": record["arguments"]["num_steps"],
        "seed": record["seed"],
        "image": quoted(record["inputs"]["image"][0]["name"]),
        "exemplar": quoted(record["inputs"]["exemplar"][0]["name"]),
        "output": output,
        "augment": augment,
        "settings": "" if augment else '\n    settings={"augment": False},',
        "option": "" if augment else " --set augment=false",
        "refining": _lines(refining),
        "client_refining": _lines(for_client),
        "choosing": "" if chosen is None else _CHOOSING.format(chosen=chosen),
        "refining_options": _options(refining),
        "address": os.environ.get("SPACE_ID") or address,
    }
    return Snippets(_PYTHON.format(**values), _COMMAND.format(**values), _CLIENT.format(**values))


def _lines(arguments: dict[str, Any]) -> str:
    """Arguments of a call in Python, each on a line of its own."""
    return "".join(f"\n    {name}={value!r}," for name, value in arguments.items())


def _options(refining: dict[str, Any]) -> str:
    """Arguments of refinement as options of the command line."""
    if refining.get("refine") is False:
        return " --no-refine"
    steps = f" --num-refine-steps {refining['num_refine_steps']}" if "num_refine_steps" in refining else ""
    settings = [f"{name}={json.dumps(value)}" for name, value in refining.get("refine_settings", {}).items()]
    return steps + (f" --set-refine {' '.join(settings)}" if settings else "")


def quoted(name: str) -> str:
    """Make a file name safe inside double quotes, in Python and in a shell."""
    return "".join("_" if character in '"\\$`' else character for character in name)
