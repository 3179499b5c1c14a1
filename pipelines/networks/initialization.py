"""Initial weights that more than one method uses."""

from collections.abc import Iterator

from torch import nn


def xavier_normal(module: nn.Module, gain: float) -> None:
    """Xavier-normal weights and zero biases for every convolution and linear layer, as CUT starts its networks."""
    for layer in _weighted_layers(module):
        nn.init.xavier_normal_(layer.weight, gain)


def normal(module: nn.Module, std: float) -> None:
    """Normal weights and zero biases for every convolution and linear layer, as CycleGAN starts its networks."""
    for layer in _weighted_layers(module):
        nn.init.normal_(layer.weight, std=std)


def _weighted_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers that have weights, their biases set to zero."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            yield layer
