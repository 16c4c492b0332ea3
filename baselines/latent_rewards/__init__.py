"""Latent rewards: factors of a step that a language model writes as a program, and methods that learn over them."""
