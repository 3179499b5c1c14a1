"""The About tab: what runs here, on what, and whose it is."""

import gradio as gr
import torch

import pipelines
from demo.devices import device_manager, is_here
from demo.settings import on_zero_gpu
from demo.widgets import count_in_words
from pipelines.hub.registry import Checkpoint

INTRODUCTION = """
### Exemplar
Two copies of a small network look at the source and at the exemplar, and are fine-tuned on this one pair until places
of the one find their counterparts in the other. Then the exemplar's colors move to the source's places. Where the
checkpoint has a GAN of one kind of picture, it is searched in several ways for a picture with the warp's colors and
the source's shapes, and the one that comes nearest to both becomes the result. It is the correspondence fine-tuning
and multiple GAN inversion of *Online Exemplar Fine-Tuning for Image-to-Image Translation* (Kang et al., 2020).

### Unpaired
A network that was trained on two piles of photographs, without pairs, redraws a photo of the one kind as the other:
CUT of *Contrastive Learning for Unpaired Image-to-Image Translation* (Park et al., 2020), or FastCUT or CycleGAN.

### Many-class
One network redraws a photo as any of many kinds of animals or dishes: what the photo's encoder finds at several levels
is added to the maps of a generator that knows the classes. It is DeepI2I of *DeepI2I: Enabling Deep Hierarchical
Image-to-Image Translation by Transferring from GANs* (Wang et al., 2020).

### Single image
A small generator learns from crops of two pictures alone to turn the one into the other's kind: a painting into a
photograph, say. It is SinCUT of *Contrastive Learning for Unpaired Image-to-Image Translation* (Park et al., 2020).
What it learned can be kept, and works on other pictures of the same kind.

Pictures stay on this machine and are deleted after a while. Code: Apache-2.0.
"""
CHECKPOINT_HEADERS = ["Checkpoint", "Task", "Here", "License", "Trained on"]
CHECKPOINT_WIDTHS = ["285px", "115px", "140px", "130px", "540px"]
DEVICE_HEADERS = ["Network", "Kind", "Size", "Device", "State"]


def build_about() -> list[gr.Dataframe]:
    """Draw the tab; returns the tables that `about_rows` fills."""
    gr.Markdown(INTRODUCTION)
    gr.Markdown("### Checkpoints")
    checkpoints = gr.Dataframe(
        headers=CHECKPOINT_HEADERS,
        interactive=False,
        wrap=True,
        column_widths=CHECKPOINT_WIDTHS,
        max_height=2000,
        elem_id="checkpoints",
        elem_classes="facts",
    )
    gr.Markdown("### What runs here")
    devices = gr.Dataframe(
        headers=DEVICE_HEADERS, interactive=False, wrap=True, elem_id="devices", elem_classes="facts"
    )
    return [checkpoints, devices]


def about_rows() -> tuple[list[list[str]], list[list[str]]]:
    """Return the rows of both tables as things stand now."""
    entries = pipelines.list_checkpoints()
    here = {entry.id: is_here(entry) for entry in entries}
    return [_checkpoint_row(entry, here[entry.id]) for entry in entries], _device_rows(
        [entry.id for entry in entries if here[entry.id]]
    )


def device_in_words() -> str:
    """Return the device's name, such as "Runs on the CPU, 2 threads"."""
    if on_zero_gpu():
        return "Runs on a ZeroGPU, lent for each run"
    device = device_manager().device
    if device.type == "cuda":
        return f"Runs on {torch.cuda.get_device_name(device)}"
    return (
        f"Runs on the CPU, {count_in_words(torch.get_num_threads(), 'thread')}"
        if device.type == "cpu"
        else "Runs on Apple's GPU"
    )


def _checkpoint_row(entry: Checkpoint, here: bool) -> list[str]:
    return [entry.title, entry.task, "yes" if here else "not downloaded", entry.license, entry.training_data]


def _device_rows(checkpoint_ids: list[str]) -> list[list[str]]:
    if on_zero_gpu():
        return []  # the networks are loaded where the GPU is, for each run anew
    manager = device_manager()
    for checkpoint_id in checkpoint_ids:
        manager.add(checkpoint_id)
    return [
        [
            row.component,
            row.class_name,
            f"{row.bytes / 1e6:.1f} MB",
            row.device,
            row.state if row.loaded_on else "not loaded",
        ]
        for row in manager.report()
    ]
