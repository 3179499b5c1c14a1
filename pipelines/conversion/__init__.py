"""Files of other people's code, read without running any of it, and turned into networks of this library."""
