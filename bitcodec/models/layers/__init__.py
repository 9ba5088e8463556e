"""Layers and arithmetic that more than one network is built from."""
