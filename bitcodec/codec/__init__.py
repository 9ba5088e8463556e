"""A picture -> the bytes of a file, and back; with any model."""
