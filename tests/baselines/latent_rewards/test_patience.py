"""How waiting is counted, with a clock and a pipe of paper."""

from types import SimpleNamespace

import pytest

from bagged_envs.baselines.latent_rewards.cage import patience as module
from bagged_envs.baselines.latent_rewards.cage.patience import Patience


class Paper:
    """A pipe: how many seconds each look at it takes, and whether something is there then."""

    def __init__(self, *looks):
        self.looks, self.now, self.asked = list(looks), 0.0, []

    def register(self, pipe, event):
        assert (pipe, event) == (5, 1)

    def poll(self, milliseconds):
        seconds, ready = self.looks.pop(0)
        self.now += seconds
        self.asked.append(milliseconds)
        return [(5, 1)] if ready else []


def left(monkeypatch, *looks):
    """Return what is left of 0.4 seconds."""
    paper, patience = Paper(*looks), Patience(0.4, "a call")
    monkeypatch.setattr(module, "select", SimpleNamespace(poll=lambda: paper))
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: paper.now))
    try:
        patience.wait(5, 1)
    finally:
        assert max(paper.asked) <= 200
        assert not paper.looks
    return patience.left


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([(0.05, True)], 0.35),
        ([(0.2, False), (0.1, True)], 0.1),
        ([(99.0, True)], 0.2),  # the trainer was stopped meanwhile
        ([(99.0, False), (0.1, True)], 0.1),
        ([(0.2, False), (0.2, False), (0.0, True)], 0.0),  # looked at once more
    ],
)
def test_time_is_counted_in_short_steps(monkeypatch, looks, expected):
    assert left(monkeypatch, *looks) == pytest.approx(expected)


def test_when_it_is_over_that_is_an_error(monkeypatch):
    with pytest.raises(TimeoutError):
        left(monkeypatch, (0.2, False), (0.2, False), (0.0, False))
