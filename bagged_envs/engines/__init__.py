"""Engines: simulators of other libraries as batches, equal to those libraries' own environments to the bit."""
