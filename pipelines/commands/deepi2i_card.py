"""The model card of what `train deepi2i` writes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TEXT = """---
{license_line}library_name: diffusers
pipeline_tag: image-to-image
tags:
  - many-class-translation
  - deepi2i
---

# {title}

Translates a picture into any of {count} classes: {classes}.

```python
from pipelines import DeepI2IPipeline

pipe = DeepI2IPipeline.from_pretrained("{folder}")
result = pipe("picture.jpg", target_class="{example}").images[0]
```

## Training

`python -m pipelines train deepi2i --preset {preset}` on `{data}`: {pictures} pictures, {held_out} held out, {steps}
steps of {batch_size}.

```json
{config}
```

## License

{rights}
"""


def model_card(folder: Path, args: argparse.Namespace, record: dict[str, Any], class_names: Sequence[str]) -> str:
    """The README.md of a pipeline folder.

    Args:
        folder: where it will lie: `RUN/pipeline`.
        args: of `train deepi2i`.
        record: what goes into training.json too: `steps`, `pictures`, `held_out`, `config`.
        class_names: of the pictures.
    """
    rights = "Not stated. It depends on the license of the pictures that the network was trained on."
    return _TEXT.format(
        license_line=f"license: {args.license}\n" if args.license else "",
        title=folder.parent.name,
        count=len(class_names),
        classes=", ".join(class_names),
        folder=folder.name,
        example=class_names[0],
        preset=args.preset,
        data="`, `".join(path.resolve().name for path in args.data),
        pictures=record["pictures"],
        held_out=record["held_out"],
        steps=record["steps"],
        batch_size=record["config"]["batch_size"],
        config=json.dumps(record["config"], indent=1),
        rights=f"The weights are under `{args.license}`." if args.license else rights,
    )
