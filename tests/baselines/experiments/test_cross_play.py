"""Cross-play: who acts for whom, and that a table has each match once."""

import numpy as np
import pytest

from bagged_envs.baselines.experiments import cross_play
from bagged_envs.baselines.growing_table import read_rows

STAY, RIGHT = 0, 2


def always(action, seen=None):
    """A team that always does the same, and notes how many agents it acts for."""

    def policy(observations):
        if seen is not None:
            seen.add(observations.shape)
        return np.full(len(observations), action)

    return policy


def test_each_policy_acts_for_its_own_team_whoever_is_controlled():
    predators, prey = set(), set()
    both = cross_play.match(always(STAY, predators), always(RIGHT, prey), seed=0, episodes=2)
    assert (predators, prey) == ({(6, 24)}, {(2, 24)})
    assert both >= 0
    cross_play.match(None, always(RIGHT, prey), seed=0, episodes=2)
    cross_play.match(always(STAY, predators), None, seed=0, episodes=2)
    assert (predators, prey) == ({(6, 24)}, {(2, 24)})
    with pytest.raises(ValueError, match="must not both be scripted"):
        cross_play.match(None, None, seed=0)


def test_a_match_depends_on_its_seed_alone():
    first, again, other = (cross_play.match(None, always(STAY), seed, episodes=3) for seed in (0, 0, 7))
    assert first == again != other


def test_prey_that_stays_is_touched_more_often_than_prey_that_flees():
    hunted, fleeing = cross_play.match(None, always(STAY), 0, 20), cross_play.match(None, always(RIGHT), 0, 20)
    assert hunted > fleeing


@pytest.mark.slow
def test_a_table_has_each_match_once(tmp_path):
    out = tmp_path / "table.csv"
    cross_play.run(out, seeds=1, iterations=1, episodes=1)
    first = out.read_text()
    assert [(row["predators"], row["prey"]) for row in read_rows(out)] == cross_play.PAIRS
    cross_play.run(out, seeds=1, iterations=1, episodes=1)
    assert out.read_text() == first
    lines = cross_play.summary(out).splitlines()
    assert lines[-1].startswith("| scripted | ")
    assert lines[-1].endswith("|  |")  # both scripted
