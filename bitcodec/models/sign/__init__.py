"""The family `sign`: one bit a latent, a fixed number of channels for each rate."""
