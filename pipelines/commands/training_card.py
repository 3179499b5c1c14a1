"""The model card of a pipeline folder that `train` writes; what differs by method comes from the method's command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

_TEXT = """---
{license_line}library_name: diffusers
pipeline_tag: image-to-image
tags:
{tags}
---

# {title}

{purpose}

```python
from pipelines import {pipeline}

pipe = {pipeline}.from_pretrained("{folder}")
result = pipe({arguments}).images[0]
```

## Training

{training}

```json
{config}
```

## License

{rights}
"""


def training_card(
    *,
    title: str,
    tags: Sequence[str],
    purpose: str,
    pipeline: str,
    folder: str,
    arguments: str,
    training: str,
    config: dict[str, Any],
    license_id: str | None,
) -> str:
    """The text of a README.md.

    Args:
        title: the heading.
        tags: of the header.
        purpose: what the pipeline translates, a sentence.
        pipeline: the name of its class.
        folder: the name of the pipeline folder.
        arguments: of a call, in Python.
        training: what it was trained with; `publish` reads its first paragraph.
        config: of the training.
        license_id: of the weights; None where nobody said it.
    """
    rights = "Not stated. It depends on the license of the pictures that the network was trained on."
    return _TEXT.format(
        license_line=f"license: {license_id}\n" if license_id else "",
        tags="\n".join(f"  - {tag}" for tag in tags),
        title=title,
        purpose=purpose,
        pipeline=pipeline,
        folder=folder,
        arguments=arguments,
        training=training,
        config=json.dumps(config, indent=1),
        rights=f"The weights are under `{license_id}`." if license_id else rights,
    )
