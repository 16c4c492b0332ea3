"""The laws of the delay, each as a check of one recorded episode."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bagged_envs.testing.model import bags, borders, in_order, payments
from bagged_envs.testing.rollout import Episode, demand
from bagged_envs.wrappers import RewardSchedule

OURS = ("bag_end", "reward_observed", "is_success", "dense_reward")
UNIT = 2.0**-53
LEAK = "Nothing leaks: the dense reward cannot be read off info"
REMEDY = "Name the key in reward_info_keys, which removes it."


def check_info(episode: Episode, schedule: RewardSchedule) -> None:
    """Our keys are there with the same types on reset and on every step, and False on reset."""
    keys = ("bag_end", "reward_observed") + (("is_success",) if schedule.success is not None else ())
    for key in keys:
        for when, info in [("reset", episode.reset_info), *((f"step {i + 1}", x) for i, x in enumerate(episode.infos))]:
            demand(
                type(info.get(key)) is bool,
                f"Info: {key!r} is a bool in every info, that of reset included",
                f"{info.get(key)!r} in the info of {when}",
                "Add the key on reset and on every step.",
            )
        demand(episode.reset_info[key] is False, f"Info: {key!r} is False on reset", "True", "A reset closes no bag.")


def check_payment_types(episode: Episode) -> None:
    """What is paid is a Python float."""
    odd = next((paid for paid in episode.paid if type(paid) is not float), 0.0)
    demand(type(odd) is float, "A payment is a Python float", f"{odd!r} of type {type(odd).__name__}", "Convert it.")


def check_borders(episode: Episode, schedule: RewardSchedule) -> None:
    """Bags close when the schedule says so, and the end of an episode closes the open one."""
    ends = episode.told("bag_end")
    lengths = [len(bag) for bag in bags(episode.dense, ends)]
    demand(
        ends[-1],
        "Borders: the end of an episode, by termination or truncation, closes the open bag",
        f"bag_end=False in the last of {len(ends)} steps",
        "Look for a TimeLimit outside the delay (check_wrapper_order).",
    )
    if isinstance(schedule.bag_len, tuple):
        low, high = schedule.bag_len
        fits = all(low <= n <= high for n in lengths[:-1]) and lengths[-1] <= high
    else:
        fits = ends == borders([schedule.bag_len] * len(ends), len(ends))
    demand(fits, f"Borders: bags close by bag_len={schedule.bag_len!r}", f"lengths {lengths}", "Count from the reset.")


def check_labels(episode: Episode, schedule: RewardSchedule) -> None:
    """A label is shown at the end of a bag only, for as many bags as the schedule's unit allows."""
    ends, shown = episode.told("bag_end"), episode.told("reward_observed")
    law = f"Labels: reward_observed marks the last steps of labeled bags, label_fraction={schedule.label_fraction}"
    early = [step + 1 for step, (end, label) in enumerate(zip(ends, shown, strict=True)) if label and not end]
    demand(not early, law, f"it is True inside a bag in steps {early[:5]}", "Show labels where bags close.")
    labels = [label for end, label in zip(ends, shown, strict=True) if end]
    if not schedule.draws_labels:
        demand(all(labels), law, f"{labels.count(False)} of {len(labels)} bags are unlabeled", "Show every label.")
    elif schedule.label_unit == "episode":
        demand(len(set(labels)) == 1, law, "an episode with labeled and unlabeled bags", "Draw once per episode.")


def check_payments(episode: Episode, schedule: RewardSchedule) -> None:
    """Every payment equals, to the bit, what the schedule makes of the bag's dense rewards."""
    ends, shown = episode.told("bag_end"), episode.told("reward_observed")
    success = False
    if schedule.judge is not None:
        observation, info, terminated = episode.final
        success = bool(schedule.judge(observation, info, in_order(episode.dense), terminated))
    labeled = [label for end, label in zip(ends, shown, strict=True) if end]
    expected = payments(schedule, episode.dense, ends, labeled, success)
    for step, (paid, due) in enumerate(zip(episode.paid, expected, strict=True)):
        equal = paid == due or (paid != paid and due != due)
        demand(
            equal,
            f"S1: a bag pays, to the bit, what {schedule} makes of its dense rewards in step order",
            f"{paid!r} instead of {due!r} in step {step + 1}",
            "Add Python floats from left to right, start anew at every reset and after every bag.",
        )
    if schedule.success is not None:
        told = episode.told("is_success")
        demand(not any(told[:-1]), "is_success is False until the episode ends", "True before", "Judge at the end.")


def check_totals(episode: Episode, schedule: RewardSchedule) -> None:
    """Over an episode nothing is lost and nothing is added, up to the rounding of float64."""
    if not schedule.keeps_return:
        return
    longest = max(len(bag) for bag in bags(episode.dense, episode.told("bag_end")))
    gap = abs(math.fsum(episode.paid) - math.fsum(episode.dense))
    bound = (longest + 1) * UNIT * math.fsum(map(abs, episode.dense)) * 1.01
    demand(
        gap <= bound,
        "S2: an episode's payments add up to its dense rewards, up to (n + 1) * 2**-53 of their absolute sum",
        f"a difference of {gap!r}, more than {bound!r}",
        "Look for a tail that is never paid, or a payment in float32.",
    )


def check_leaks(episode: Episode) -> None:
    """The dense reward cannot be read off info.

    No info value, and no sum of `reward_*` values, is on every step that has it (at least three) the dense reward, the
    same with the other sign, the previous step's, or the return so far, up to rounding. Where the dense reward is
    constant, no key is called a reward.
    """
    told = [dict(_candidates(info)) for info in episode.infos]
    names = dict.fromkeys(name for values in told for name in values)
    if len(set(episode.dense)) == 1:
        named = next((name for name in names if "reward" in name.lower()), "")
        demand(not named, LEAK, f"{named}, where the dense reward is constant", REMEDY)
        return
    returns = list(itertools.accumulate(episode.dense))
    secrets = {
        "the dense reward": episode.dense,
        "minus the dense reward": [-reward for reward in episode.dense],
        "the previous dense reward": [math.nan, *episode.dense[:-1]],
        "the return so far": returns,
    }
    for name, (what, secret) in itertools.product(names, secrets.items()):
        steps = [step for step, values in enumerate(told) if name in values and not math.isnan(secret[step])]
        demand(
            not _agree([told[step][name] for step in steps], [secret[step] for step in steps]),
            LEAK,
            f"{name} is {what} in all {len(steps)} steps that have it",
            REMEDY,
        )


def _agree(told: Sequence[float], secret: Sequence[float]) -> bool:
    if len(told) < 3 or len(set(secret)) < 2:
        return False
    scale = max(map(abs, secret))
    return all(
        math.isclose(one, other, rel_tol=1e-5, abs_tol=1e-6 * scale) for one, other in zip(told, secret, strict=True)
    )


def _candidates(info: dict[str, Any]) -> Iterator[tuple[str, float]]:
    values = dict(_numbers(info, "info"))
    yield from values.items()
    terms = [value for name, value in values.items() if "['reward_" in name]
    if terms:
        yield "the sum of info['reward_*']", math.fsum(terms) if all(map(math.isfinite, terms)) else math.nan


def _numbers(info: dict[str, Any], place: str) -> Iterator[tuple[str, float]]:
    for key, value in info.items():
        name = f"{place}[{key!r}]"
        if isinstance(value, dict):
            yield from _numbers(value, name)
        elif key not in OURS and isinstance(value, (int, float, np.number, np.ndarray, list, tuple)):
            array = np.asarray(value)
            if array.size == 1 and array.dtype.kind in "fiub":
                yield name, float(array.item())
