"""A program written by a language model, read by an allow-list and run in a locked process of its own."""
