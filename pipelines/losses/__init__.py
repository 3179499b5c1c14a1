"""Losses that more than one method uses."""
