"""The frame around the tabs."""

import gradio as gr

from demo.accessibility import NAME_PARTS
from demo.settings import DemoSettings, on_space
from demo.tab_about import about_rows, build_about, device_in_words
from demo.tab_classes import ClassesTab
from demo.tab_exemplar import ExemplarTab
from demo.tab_single import SingleTab
from demo.tab_unpaired import UnpairedTab

TITLE = "Image Translation Hub"


def build(settings: DemoSettings) -> gr.Blocks:
    """Build the app; theme and styles are given to `launch`."""
    keep = settings.keep_minutes * 60
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, delete_cache=(keep, keep)) as demo:
        with gr.Row(elem_id="head"):
            gr.HTML(f"<h1>{TITLE}</h1><p>One picture's shapes, another one's colors.</p>", container=False)
            gr.HTML(device_in_words(), elem_id="device", container=False)
            gr.DuplicateButton(visible=on_space(), elem_id="duplicate", size="sm", scale=0)
        with gr.Tabs(overflow_behavior="wrap"):
            with gr.Tab("Exemplar", id="exemplar"):
                exemplar = ExemplarTab(settings)
            with gr.Tab("Unpaired", id="unpaired"):
                unpaired = UnpairedTab(settings)
            with gr.Tab("Many-class", id="classes"):
                classes = ClassesTab(settings)
            with gr.Tab("Single image", id="single"):
                single = SingleTab(settings)
            with gr.Tab("About", id="about"):
                tables = build_about()
        demo.load(None, js=NAME_PARTS, api_visibility="private")
        demo.load(about_rows, None, tables, queue=False, api_visibility="private")
        demo.unload(exemplar.leave)
        demo.unload(single.leave)
        demo.unload(unpaired.leave)
        demo.unload(classes.leave)
    return demo.queue(max_size=settings.queue_size)
