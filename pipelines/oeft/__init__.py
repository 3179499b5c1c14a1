"""OEFT: online exemplar fine-tuning."""
