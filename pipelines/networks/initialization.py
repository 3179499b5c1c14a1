"""Initial weights that more than one method uses."""

from torch import nn


def xavier_normal(module: nn.Module, gain: float) -> None:
    """Xavier-normal weights and zero biases for every convolution and linear layer, as CUT starts its networks."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_normal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
