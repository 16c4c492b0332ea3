"""Hypothesis strategies for schedules, reward streams and scripts; importing this module needs hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from bagged_envs.wrappers import RewardSchedule
from bagged_envs.wrappers.schedule import AGGREGATES

LARGEST = 1e150


def dyadic() -> st.SearchStrategy[float]:
    """Rewards ``k * 2**-10`` with k between -2**30 and 2**30, whose float64 sums are exact in any order."""
    return st.integers(-(2**30) + 1, 2**30 - 1).map(lambda k: k * 2.0**-10)


def arbitrary() -> st.SearchStrategy[float]:
    """Any finite rewards whose squares and sums stay finite."""
    return st.floats(-LARGEST, LARGEST, allow_nan=False)


def reward_streams(
    rewards: st.SearchStrategy[float] | None = None, max_size: int = 60
) -> st.SearchStrategy[list[float]]:
    """Dense rewards of one episode, at least one step."""
    return st.lists(arbitrary() if rewards is None else rewards, min_size=1, max_size=max_size)


def bag_lengths(longest: int = 12) -> st.SearchStrategy[Any]:
    """Fixed lengths, pairs, and None."""
    pairs = st.tuples(st.integers(1, longest), st.integers(0, longest)).map(lambda p: (p[0], p[0] + p[1]))
    return st.none() | st.integers(1, longest) | pairs


def schedules(
    aggregates: tuple[str, ...] = AGGREGATES, partially_labeled: bool = True, longest: int = 12
) -> st.SearchStrategy[RewardSchedule]:
    """Schedules over all lengths, aggregates, label fractions and units."""
    return st.builds(
        RewardSchedule,
        bag_len=bag_lengths(longest),
        aggregate=st.sampled_from(aggregates),
        label_fraction=st.sampled_from([1.0, 0.5, 0.1] if partially_labeled else [1.0]),
        label_unit=st.sampled_from(["bag", "episode"]),
        unlabeled_reward=st.sampled_from([0.0, float("nan")]),
    )


@st.composite
def scripts(
    draw: st.DrawFn, rewards: st.SearchStrategy[float] | None = None, max_steps: int = 20, max_episodes: int = 4
) -> list[list[tuple[float, bool, bool]]]:
    """Scripts for `ScriptedEnv`: episodes that end by termination, truncation, or both."""
    episodes = draw(st.lists(reward_streams(rewards, max_steps), min_size=1, max_size=max_episodes))
    ends = [draw(st.sampled_from([(True, False), (False, True), (True, True)])) for _ in episodes]
    return [
        [(reward, *(end if step == len(stream) - 1 else (False, False))) for step, reward in enumerate(stream)]
        for stream, end in zip(episodes, ends, strict=True)
    ]
