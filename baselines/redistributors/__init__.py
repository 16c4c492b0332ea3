"""Redistributors: what turns bags and their labels into a reward per step."""
