"""Factors of steps as a program says them, from a caged process: what LaRe's decoders see."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from bagged_envs.baselines.api import Floats32
from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction
from bagged_envs.baselines.latent_rewards.cage.verify import check_steady
from bagged_envs.baselines.latent_rewards.program import Program
from bagged_envs.wrappers.arguments import positive_int

Floats = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
LARGEST = 1e6  # as the cage's battery accepts a program


class ProgramFactors:
    """What a program says of steps, from a caged process that all of the same text and sizes share.

    A value that is not finite becomes 0.0, and a huge one is clipped to ±1e6: a state that no test had seen must not
    end a run. How many there were is counted, and the first is warned of. Steps that are not finite themselves have
    factors that are nan, which is for those to find who learn from them.

    Attributes:
        program: The program.
        size: F, how many factors it says.
        mended: How many values were not finite or too large so far.
    """

    def __init__(
        self, program: Program, observation_size: int, action_size: int, allow_weaker_sandbox: bool = False
    ) -> None:
        """Try the program on random rows, and on one of zeros for the number of its factors.

        Args:
            program: The program.
            observation_size: D.
            action_size: U.
            allow_weaker_sandbox: As for `CagedFunction`.

        Raises:
            CageError: Programs cannot be caged on this machine.
            ProgramError: The program is refused, fails, or says of a row what depends on the rows beside it.
            ValueError: It was written for other sizes.
        """
        sizes = positive_int("observation_size", observation_size), positive_int("action_size", action_size)
        program.check_sizes(*sizes)
        self.program, self.mended = program, 0
        self._weaker = allow_weaker_sandbox
        self.size = int(self._said(*(np.zeros((1, size)) for size in sizes)).shape[1])

    def __call__(self, observations: Floats32, actions: Floats32, next_observations: Floats32) -> Floats32:
        """Return the factors of steps, float32 `[N, F]`; what followed does not matter.

        Raises:
            ProgramError: The program fails.
        """
        if not len(observations):
            return np.zeros((0, self.size), np.float32)
        said = self._said(observations, actions)
        whole = np.asarray(np.isfinite(np.concatenate((observations, actions), axis=1)).all(axis=1))
        wrong = ~(np.abs(said) <= LARGEST)  # also what is nan
        if wrong.any():
            self._mend(said, wrong & whole[:, None])
        said[~whole] = np.nan
        return said.astype(np.float32)

    def _said(self, observations: Floats, actions: Floats) -> Floats:
        sizes = observations.shape[1], actions.shape[1]
        return _worker(self.program.text, self._weaker, sizes)(observations, actions)

    def _mend(self, said: Floats, wrong: Bools) -> None:
        if wrong.any() and not self.mended:
            row, column = np.argwhere(wrong)[0]
            warnings.warn(
                f"Factor {column + 1} of {self.program.origin} is {said[row, column]} in a step: values that are not "
                f"finite count as 0, and all are clipped to ±{LARGEST:g}.",
                RuntimeWarning,
                stacklevel=3,
            )
        self.mended += int(wrong.sum())
        said[...] = np.clip(np.nan_to_num(said, posinf=0.0, neginf=0.0), -LARGEST, LARGEST)


@functools.lru_cache(maxsize=8)
def _worker(text: str, allow_weaker_sandbox: bool, sizes: tuple[int, int]) -> CagedFunction:
    """Return the process for a text and sizes of rows, on which the number of factors may depend."""
    function = CagedFunction(text, allow_weaker_sandbox=allow_weaker_sandbox)
    with CagedFunction(text, allow_weaker_sandbox=allow_weaker_sandbox, hash_seed=1) as other:
        check_steady(function, other, *sizes)
    return function
