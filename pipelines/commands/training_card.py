"""The model card of what `train cut` writes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

_TEXT = """---
{license_line}library_name: diffusers
pipeline_tag: image-to-image
tags:
  - unpaired-translation
  - {preset}
---

# {title}

Translates pictures of the kind of `{source}` into pictures like those of `{target}`.

```python
from pipelines import CUTPipeline

pipe = CUTPipeline.from_pretrained("{folder}")
result = pipe("picture.jpg").images[0]
```

## Training

`python -m pipelines train cut --preset {preset}` on `{data}`: {pictures[0]} pictures in `trainA`, {pictures[1]} in
`trainB`, {steps} steps of {batch_size} of each.

```json
{config}
```

## License

{rights}
"""


def model_card(folder: Path, direction: str, args: argparse.Namespace, record: dict[str, Any]) -> str:
    """The README.md of a pipeline folder.

    Args:
        folder: where it will lie: `RUN/pipeline`.
        direction: "a2b" or "b2a".
        args: of `train cut`.
        record: what goes into training.json too: `steps`, `pictures` of both sides, `config`.
    """
    source, target = ("trainA", "trainB") if direction == "a2b" else ("trainB", "trainA")
    rights = "Not stated. It depends on the license of the pictures that the network was trained on."
    return _TEXT.format(
        license_line=f"license: {args.license}\n" if args.license else "",
        preset=args.preset,
        title=f"{folder.parent.name}, {direction}",
        source=source,
        target=target,
        folder=folder.name,
        data=args.data.resolve().name,
        pictures=record["pictures"],
        steps=record["steps"],
        batch_size=record["config"]["batch_size"],
        config=json.dumps(record["config"], indent=1),
        rights=f"The weights are under `{args.license}`." if args.license else rights,
    )
