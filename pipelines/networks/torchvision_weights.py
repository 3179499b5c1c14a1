"""What backbones in torchvision's layout share: its input normalization and its weight files."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.hub.strict import compare_weights, shapes_of

Network = TypeVar("Network", bound=nn.Module)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_COUNTER = ".num_batches_tracked"  # of batch normalization


def imagenet_normalize(image: Tensor) -> Tensor:
    """Bring an image (B, 3, H, W) from [-1, 1] to the statistics that ImageNet networks were trained with."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
    return (image * 0.5 + 0.5 - mean) / std


def load_torchvision_weights(
    network_class: type[Network], config: dict[str, Any], path: str | Path, dropped: tuple[str, ...]
) -> Network:
    """Build a backbone around the weights of a classifier's safetensors file, strictly.

    Args:
        network_class: The backbone's class.
        config: Its arguments.
        path: A safetensors file. Older ones of torchvision lack the counters `num_batches_tracked`, which only
            training uses: they become 0.
        dropped: Prefixes of the classifier's keys, which the backbone does not have.

    Returns:
        The network in evaluation mode, in the precision it is built in. No random number is drawn.

    Raises:
        ValueError: When a weight is missing, unexpected or of another shape; the message lists them.
    """
    with torch.device("meta"):
        network = network_class(**config)
    expected = network.state_dict()
    weights = {key: torch.zeros_like(value, device="cpu") for key, value in expected.items() if key.endswith(_COUNTER)}
    weights |= {key: value for key, value in load_file(path).items() if not key.startswith(dropped)}
    if problems := compare_weights(shapes_of(expected), shapes_of(weights)):
        raise ValueError(f"{Path(path).name} does not fit {network_class.__name__}: {problems}.")
    network.load_state_dict({key: value.to(expected[key].dtype) for key, value in weights.items()}, assign=True)
    return network.eval()
