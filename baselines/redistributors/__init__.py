"""Redistributors: each turns bags and their labels into a reward per step and agent; each is a file of its own."""
