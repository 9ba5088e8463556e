"""Bytes <-> the parts of a file. No network and no picture lives here."""
