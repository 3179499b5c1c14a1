"""The Space's entry: `python app.py` starts the app."""

# ruff: noqa: E402, I001 - `spaces` must be imported before anything that touches CUDA, the environment set before gradio
import contextlib
import os

with contextlib.suppress(ImportError):  # only Spaces have it
    import spaces  # noqa: F401

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from pipelines.hub.allocator import tune_allocator

tune_allocator()

from demo.frame import build
from demo.settings import DemoSettings
from demo.theme import launch_options

settings = DemoSettings.from_environment()
demo = build(settings)

if __name__ == "__main__":
    demo.launch(**launch_options(settings))
