"""Image-to-image translation methods as diffusers pipelines."""

from pipelines.hub.registry import list_checkpoints

__all__ = ["list_checkpoints"]
