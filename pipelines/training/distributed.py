"""Several processes that train the same networks."""

from collections.abc import Iterable, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer


def descend(accelerator: Accelerator, loss: Tensor, optimizers: Sequence[Optimizer]) -> None:
    """One step of every optimizer on one loss; with several processes on the mean of their gradients."""
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    update(accelerator, optimizers)


def update(accelerator: Accelerator, optimizers: Sequence[Optimizer]) -> None:
    """One step of every optimizer on the gradients that are there."""
    for optimizer in optimizers:
        average_gradients(accelerator, [each for group in optimizer.param_groups for each in group["params"]])
        optimizer.step()


def average_gradients(accelerator: Accelerator, parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; with one process nothing happens.

    An adversarial step runs one network several times and others without gradients, which the wrapper of
    `DistributedDataParallel` does not allow; averaging by hand does, in a single exchange.

    Args:
        accelerator: of the run.
        parameters: in the same order on every process; those without a gradient count as zero.
    """
    if accelerator.num_processes == 1:
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in trained])
    flat = accelerator.reduce(flat, reduction="mean")
    for parameter, part in zip(trained, flat.split([parameter.numel() for parameter in trained]), strict=True):
        parameter.grad.copy_(part.view_as(parameter))  # in place: a fused optimizer needs the parameter's strides
