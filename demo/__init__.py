"""The Gradio app: a frame, and one tab a task."""
