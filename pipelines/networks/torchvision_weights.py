"""What backbones in torchvision's layout share: its input normalization and its weight files."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def imagenet_normalize(image: Tensor) -> Tensor:
    """Bring an image (B, 3, H, W) from [-1, 1] to the statistics that ImageNet networks were trained with."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * 0.5 + 0.5 - mean) / std


def load_torchvision_weights(network: Network, path: str | Path, dropped: tuple[str, ...]) -> Network:
    """Load a safetensors file of a classifier into a backbone, strictly.

    Args:
        network: The backbone; changed in place and returned in evaluation mode.
        path: A safetensors file.
        dropped: Prefixes of the classifier's keys, which the backbone does not have.

    Raises:
        ValueError: When a weight is missing, unexpected or of another shape; the message lists them.
    """
    weights = {key: value for key, value in load_file(path).items() if not key.startswith(dropped)}
    expected = network.state_dict()
    problems = [f"missing {key}" for key in expected if key not in weights]
    problems += [f"unexpected {key}" for key in weights if key not in expected]
    problems += [
        f"{key} is {tuple(weights[key].shape)}, not {tuple(expected[key].shape)}"
        for key in expected
        if key in weights and weights[key].shape != expected[key].shape
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise ValueError(f"{Path(path).name} does not fit {type(network).__name__}: {shown}.")
    network.load_state_dict(weights)
    return network.eval()
