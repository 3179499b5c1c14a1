"""Images in and out: reading every format, sizes, and PNGs that say how they were made."""
