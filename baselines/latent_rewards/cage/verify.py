"""What a program must keep before it is used: tried on steps of the task, in two processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.latent_rewards.cage.errors import FailedError
from bagged_envs.baselines.latent_rewards.cage.patience import Patience
from bagged_envs.baselines.latent_rewards.cage.process import DEFAULT, CagedFunction, Floats, Limits

# How far two numbers may be apart, relative to the larger, that are the same: sums are rounded by their order.
SAME = 1e-9
ROWS_ALONE = 8
RANDOM_ROWS = 64


def verify(
    text: str,
    observations: npt.ArrayLike,
    actions: npt.ArrayLike,
    limits: Limits = DEFAULT,
    allow_weaker_sandbox: bool = False,
) -> int:
    """Return how many factors a program has, if it is fit for use on steps like these.

    It must pass the allow-list and run within its limits; return arrays `[n, 1]` of finite real numbers that are not
    too large; say the same in two processes that hash differently, and of a row whatever rows are beside it; and no
    factor may be constant, or the same as another. It cannot change its inputs: they are read-only.

    Args:
        text: Python that defines `evaluation_func(observation, action)`.
        observations: `[n, D]`, at least two steps of the task; the more they differ, the better.
        actions: `[n, U]`.
        limits: What it may use; `seconds` for all of this.
        allow_weaker_sandbox: As for `CagedFunction`.

    Raises:
        ProgramError: It is not fit; the text says what to mend, for its author. Factors are numbered from 1.
        CageError: Programs cannot be caged on this machine.
        ValueError: The inputs are no such arrays.
    """
    inputs = np.array(observations, np.float64), np.array(actions, np.float64)
    if inputs[0].ndim != 2 or inputs[1].ndim != 2 or len(inputs[0]) < 2:
        raise ValueError(f"observations must be [n, D] of at least two rows, got shape {inputs[0].shape}: pass more.")
    patience = Patience(limits.seconds, "the tries together")
    with CagedFunction(text, limits, allow_weaker_sandbox, hash_seed=1) as function:
        ask = partial(function, patience=patience)
        values = ask(*inputs)
        _raise_all(list(_of_values(values, limits.magnitude)))
        _raise_all(list(_of_rows(ask, inputs, values)))
    with CagedFunction(text, limits, allow_weaker_sandbox, hash_seed=2) as function:
        _check_same(function(*inputs, patience), values)
    return int(values.shape[1])


def check_steady(first: CagedFunction, second: CagedFunction, observation_size: int, action_size: int) -> None:
    """Check on random rows what must hold wherever a program is used, also one that comes without steps to try.

    It says the same in two processes, and of a row whatever rows are beside it: else what it said of a step once would
    not be what it says of it the next time. Numbers that are not finite may come, for rows that no task knows.

    Args:
        first: The program in a process.
        second: The same in another, with another `hash_seed`.
        observation_size: D.
        action_size: U.

    Raises:
        ProgramError: It does not hold, or the program fails.
    """
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(RANDOM_ROWS, observation_size)), rng.normal(size=(RANDOM_ROWS, action_size))
    values = first(*inputs)
    _raise_all(list(_of_rows(first, inputs, values)))
    _check_same(second(*inputs), values)


def _check_same(values: Floats, before: Floats) -> None:
    if values.tobytes() != before.tobytes():
        raise FailedError("the same inputs must give the same factors, but a second process gave others.")


def _raise_all(problems: list[str]) -> None:
    if problems:
        raise FailedError("\n".join(problems))


def _of_values(values: Floats, magnitude: float) -> Iterator[str]:
    """Yield what is wrong with values, factor by factor."""
    for number, column in enumerate(values.T, start=1):
        wrong = ~np.isfinite(column)
        if wrong.any():
            yield (
                f"factor {number} must be finite, got {column[wrong][0]} in {wrong.sum()} of {len(column)} rows: guard "
                "divisions, logarithms and roots, e.g. with np.maximum(x, 1e-8)."
            )
        elif np.abs(column).max() > magnitude:
            yield (
                f"factor {number} must be between -{magnitude:g} and {magnitude:g}, got "
                f"{column[np.abs(column).argmax()]:g}: scale it, or bound it with np.tanh or np.clip."
            )
        elif _same(column, column[:1]):
            yield f"factor {number} must depend on its row, but is {column[0]:g} in all of them: leave it out."
        else:
            yield from _of_twins(number, values.T[:number])


def _of_twins(number: int, columns: Floats) -> Iterator[str]:
    for other, column in enumerate(columns[:-1], start=1):
        if _same(column, columns[-1]):
            yield f"factor {number} must differ from factor {other}, but is the same in all rows: leave one out."
            return


def _of_rows(ask: Callable[..., Floats], inputs: tuple[Floats, Floats], values: Floats) -> Iterator[str]:
    """Yield which factors change with the rows beside theirs: in another order, or alone."""
    rows = len(values)
    orders = [np.random.default_rng(0).permutation(rows)]
    orders += [np.array([row]) for row in np.linspace(0, rows - 1, min(rows, ROWS_ALONE)).astype(int)]
    scales = np.abs(np.where(np.isfinite(values), values, 0.0)).max(axis=0)
    wrong = np.zeros(values.shape[1], np.bool_)
    for order in orders:
        alone = ask(inputs[0][order], inputs[1][order])
        wrong |= ~np.isclose(alone, values[order], rtol=0.0, atol=SAME * scales, equal_nan=True).all(axis=0)
    for number in np.flatnonzero(wrong) + 1:
        yield (
            f"factor {number} must depend on its own row alone, but changes with the rows beside it or their order: "
            "use axis=1, never sums, means or extremes over all rows."
        )


def _same(first: Floats, second: Floats) -> bool:
    """Return whether finite values are the same but for rounding, relative to the largest of them."""
    largest = max(np.abs(first).max(), np.abs(second).max())
    return bool(np.abs(first - second).max() <= SAME * largest)
