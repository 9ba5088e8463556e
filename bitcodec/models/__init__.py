"""The model families, their parts, and weights files."""
