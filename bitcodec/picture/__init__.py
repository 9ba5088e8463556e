"""Picture files <-> arrays of pixels, and how far two pictures are apart."""
