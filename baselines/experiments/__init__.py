"""Experiments of the literature, each one command that writes a table."""
