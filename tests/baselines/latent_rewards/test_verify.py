"""What a program must keep before it is used, and what its author is told."""

import time
from functools import partial

import numpy as np
import pytest

from bagged_envs.baselines.latent_rewards.cage import verify as module
from bagged_envs.baselines.latent_rewards.cage.errors import FailedError, RefusedError
from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction, Limits
from bagged_envs.baselines.latent_rewards.cage.verify import verify
from tests.baselines.latent_rewards.hostile import inside
from tests.baselines.latent_rewards.world import ACTIONS, OBSERVATIONS, needs_lock

pytestmark = needs_lock

X = "observation[:, :1]"


def test_it_returns_how_many_factors_there_are():
    assert verify(inside("pass", f"[{X}, action[:, 2:3] > 0, {X} ** 2]"), OBSERVATIONS, ACTIONS) == 3


def test_rounding_of_sums_is_no_difference():
    text = inside("w = np.arange(144.0).reshape(24, 6)", "[np.sum((observation @ w) * action, axis=1, keepdims=True)]")
    assert verify(text, OBSERVATIONS, ACTIONS) == 1


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (f"[{X}, np.sqrt(-1 - {X} ** 2)]", "factor 2 must be finite, got nan in 16 of 16 rows"),
        (f"[{X} / 0.0]", "factor 1 must be finite, got "),
        (f"[{X} * 1e7]", "factor 1 must be between -1e+06 and 1e+06, got "),
        (f"[-1e7 * np.abs({X})]", "factor 1 must be between -1e+06 and 1e+06, got -"),
        (f"[{X}, {X} * 0 + 3]", "factor 2 must depend on its row, but is 3 in all of them: leave it out"),
        (f"[{X} - {X}]", "factor 1 must depend on its row, but is 0 in all of them"),
        (f"[action[:, :1], {X}, 1.0 * {X}]", "factor 3 must differ from factor 2"),
        (f"[action[:, :1], {X} - {X}.mean()]", "factor 2 must depend on its own row alone"),
        (f"[np.roll({X}, 1)]", "factor 1 must depend on its own row alone"),
        (f"[{X} * len(action)]", "factor 1 must depend on its own row alone"),
        (f"[{X} + 1e-6 * {X}.mean()]", "factor 1 must depend on its own row alone"),
        (f"[1e5 * {X}, 1e-5 * (action[:, :1] - {X}.mean())]", "factor 2 must depend on its own row alone"),
        (f"[{X} * (1 + (np.arange(len(action))[:, None] == 1))]", "factor 1 must depend on its own row alone"),
        ("[observation[:, 0]]", r"factor 1 must have shape [n, 1] = (16, 1), got (16,): use slices"),
        (f"[{X}, 1.0]", "factor 2 must be an array [n, 1], got float"),
        ("[]", "the list must have 1 to 64 factors, got 0"),
        (X, "the function must return a list of arrays, got ndarray"),
        (f"[{X} if action[:, :1] > 0 else 0]", "line 3: ValueError: The truth value of an array"),
        ("[observation[:, 30]]", "line 3: IndexError: index 30 is out of bounds"),
    ],
)
def test_it_says_what_to_mend(returned, words):
    with pytest.raises(FailedError) as caught:
        verify(inside("pass", returned), OBSERVATIONS, ACTIONS)
    assert words in str(caught.value)


def test_all_factors_that_are_wrong_are_named():
    text = inside("pass", f"[{X}, np.log({X} * 0), {X} * 0, {X} + 0]")
    with pytest.raises(FailedError) as caught:
        verify(text, OBSERVATIONS, ACTIONS)
    assert [line.split(" must ")[0] for line in str(caught.value).splitlines()] == ["factor 2", "factor 3", "factor 4"]


def test_inputs_stay_as_they_are():
    before = OBSERVATIONS.copy()
    with pytest.raises(FailedError, match=r"line 2: .*read-only; .* work on a copy"):
        verify(inside("observation[:, 0] = 1"), OBSERVATIONS, ACTIONS)
    assert np.array_equal(OBSERVATIONS, before)


def test_limits_are_those_given():
    text = inside("pass", f"[{X}, action[:, :1]]")
    with pytest.raises(FailedError, match="1 to 1 factors, got 2"):
        verify(text, OBSERVATIONS, ACTIONS, Limits(factors=1))
    with pytest.raises(FailedError, match="must be between -0.001 and 0.001"):
        verify(text, OBSERVATIONS, ACTIONS, Limits(magnitude=1e-3))


def test_all_tries_together_have_the_time_of_one_call():
    slow = inside("for i in range(10**7): pass")  # some 0.2 s, eleven times
    begin = time.perf_counter()
    with pytest.raises(FailedError, match="together took more than 0.8 s; do less|a call took more than 0.8 s"):
        verify(slow, OBSERVATIONS, ACTIONS, Limits(seconds=0.8))
    assert time.perf_counter() - begin < 4.0


def test_two_processes_that_hash_differently_must_agree(monkeypatch):
    monkeypatch.setattr(module, "CagedFunction", partial(CagedFunction, allow_list=False, names="all"))
    with pytest.raises(FailedError, match="the same inputs must give the same factors, but a second process gave oth"):
        verify(inside("pass", f"[{X} + hash('a') % 1000]"), OBSERVATIONS, ACTIONS)


def test_the_text_is_read_first():
    with pytest.raises(RefusedError, match="import os"):
        verify("import os\n" + inside("pass"), OBSERVATIONS, ACTIONS)


@pytest.mark.parametrize("observations", [OBSERVATIONS[0], OBSERVATIONS[:1]])
def test_there_must_be_rows_to_compare(observations):
    with pytest.raises(ValueError, match="observations must be .* of at least two rows"):
        verify(inside("pass"), observations, ACTIONS[:1])
