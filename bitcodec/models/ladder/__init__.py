"""The family `ladder`: one network for all rates, latents coded with a context model."""
