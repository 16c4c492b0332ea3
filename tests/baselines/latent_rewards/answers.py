"""Models that answer as they are told to, for the tests of generation."""

import json

GOOD = """import numpy as np

def evaluation_func(observation, action):
    return [observation[:, :1], np.sum(action ** 2, axis=1, keepdims=True)]
"""


def answer(function=GOOD, **other):
    """What a model says that keeps to the form."""
    return json.dumps({"understanding": "A task.", "analysis": "Good and bad.", "function": function, **other})


class Script:
    """A chat that says what stands in a list, and keeps what it was asked."""

    model = "scripted"

    def __init__(self, *answers):
        self.answers, self.asked, self.occasions = list(answers), [], []

    def __call__(self, messages, count, temperature, occasion=""):
        self.occasions.append(occasion)
        self.asked.append(([dict(message) for message in messages], count, temperature))
        said, self.answers = self.answers[:count], self.answers[count:]
        assert len(said) == count, "asked for more than it has to say"
        return said
