"""Checkpoints and devices: the registry, verified downloads, and where networks are placed."""
