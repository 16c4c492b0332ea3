"""PocketWatch: repair a watch and sell it, or not; what it was worth shows long after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete, MultiDiscrete, Space

from bagged_envs.batch import Bools, Floats, Ints
from bagged_envs.envs import drawing
from bagged_envs.native import BatchEnv, no_options
from bagged_envs.wrappers.arguments import positive_int

HORIZON = 50  # steps
PRICE = np.array([18.0, 28.0, 31.0, 59.0])  # money, per brand, as all money below
REPAIR_MEAN = np.array([1.0, 4.0, 5.0, 24.5])
REPAIR_STD = np.array([2.0, 2.0, 2.0, 1.0])
DELIVERY_MEAN = np.array([0.5, 2.5, 4.5, 18.0])
DELIVERY_STD = 1.5
JAM_PROBABILITY, JAM_COST = 0.1, 0.1  # per step; money
TIRE_PROBABILITY, TIRE_COST = 0.05, 7.0
BRANDS = len(PRICE)
REWARD_INFO_KEYS: tuple[str, ...] = ()
METADATA: dict[str, Any] = {"render_modes": ["rgb_array", "ansi"], "render_fps": 8}

REPAIR, LEAVE = range(2)
BRAND_COLORS = ((120, 84, 160), (40, 140, 150), (200, 120, 40), (110, 110, 60))


class PocketWatchBatch:
    """N copies of `PocketWatch`."""

    metadata = METADATA

    def __init__(self, num_envs: int) -> None:
        """Make N shops."""
        self.num_envs = positive_int("num_envs", num_envs)
        self.observation_space: Space[Any] = MultiDiscrete([2, HORIZON + 1, HORIZON + 1, BRANDS, HORIZON + 1])
        self.action_space: Space[Any] = Discrete(2)
        self._copies = np.arange(self.num_envs)
        self._brand = np.zeros(self.num_envs, dtype=np.int64)
        self._time = np.zeros(self.num_envs, dtype=np.int64)
        self._repaired = np.zeros(self.num_envs, dtype=np.bool_)
        self._jams = np.zeros((self.num_envs, HORIZON + 1), dtype=np.int64)  # so far, at each time
        self._tires = np.zeros((self.num_envs, HORIZON + 1), dtype=np.int64)
        self._repair_cost = np.zeros(self.num_envs)
        self._delivery_cost = np.zeros(self.num_envs)

    def reset(
        self, slots: Ints, generators: Sequence[np.random.Generator], options: Mapping[str, Any] | None = None
    ) -> None:
        """Take a watch in, and draw everything that will happen on its way."""
        no_options(options)
        drawn = np.array([generator.random(1 + 2 * HORIZON) for generator in generators])
        noise = np.array([generator.standard_normal(2) for generator in generators])
        brand = (drawn[:, 0] * BRANDS).astype(np.int64)
        self._brand[slots], self._time[slots], self._repaired[slots] = brand, 0, False
        self._jams[slots, 1:] = np.cumsum(drawn[:, 1 : 1 + HORIZON] < JAM_PROBABILITY, axis=1)
        self._tires[slots, 1:] = np.cumsum(drawn[:, 1 + HORIZON :] < TIRE_PROBABILITY, axis=1)
        self._repair_cost[slots] = REPAIR_MEAN[brand] + REPAIR_STD[brand] * noise[:, 0]
        self._delivery_cost[slots] = DELIVERY_MEAN[brand] + DELIVERY_STD * noise[:, 1]

    def step(self, actions: Ints) -> tuple[Floats, Bools]:
        """Repair at the first step or not, then deliver."""
        rewards = np.zeros(self.num_envs)
        repaired_now = np.flatnonzero((self._time == 0) & (actions == REPAIR))
        self._repaired[repaired_now] = True
        rewards[repaired_now] = -self._repair_cost[repaired_now]
        self._time = np.minimum(self._time + 1, HORIZON)
        ended = self._time == HORIZON
        sold = np.flatnonzero(ended & self._repaired)
        jams, tires = self._jams[sold, HORIZON], self._tires[sold, HORIZON]
        rewards[sold] += PRICE[self._brand[sold]] - (JAM_COST * jams + TIRE_COST * tires) - self._delivery_cost[sold]
        return rewards, ended

    def observe(self) -> Ints:
        """Return whether it is repaired, jams, flat tires, brand and time."""
        jams, tires = self._jams[self._copies, self._time], self._tires[self._copies, self._time]
        return np.stack((self._repaired, jams, tires, self._brand, self._time), axis=1)

    def info(self) -> dict[str, Any]:
        """Return nothing: costs show in the rewards only."""
        return {}

    def render(self, slot: int, mode: str) -> Any:
        """Draw the watch, the jams and flat tires so far, and the time."""
        repaired, jams, tires, brand, time = self.observe()[slot].tolist()
        if mode == "ansi":
            state = "repaired" if repaired else "broken"
            return drawing.text([f"brand {brand}, {state}, jams {jams}, flat tires {tires}, {time}/{HORIZON}"])
        picture = drawing.canvas(6, 6)
        drawing.disc(picture, 1, 2.5, drawing.GREEN if repaired else drawing.RED, 1.4)
        drawing.disc(picture, 1, 2.5, BRAND_COLORS[brand], 1.1)
        for row, share, color in ((3, jams / 10, drawing.GOLD), (4, tires / 10, drawing.RED)):
            drawing.bar(picture, row, min(share, 1.0), color)
        drawing.bar(picture, 5, time / HORIZON, drawing.AGENT)
        return picture


class PocketWatch(BatchEnv):
    """Repair a watch and sell it, or not; what it was worth shows long after.

    Description: A broken watch of a brand comes in, 0 to 3 with equal probability. At the first step the agent decides
        whether to repair it; later actions have no effect. The watch then travels for the rest of 50 steps and is sold
        at the last one. At every step, repaired or not, there is a traffic jam with probability 0.1, and a flat tire
        with probability 0.05.
    Observation: `MultiDiscrete([2, 51, 51, 4, 51])`: whether the watch is repaired, the number of jams so far, the
        number of flat tires so far, the brand, the number of steps made. What the sale brings beyond them is noise.
    Action: `Discrete(2)`: repair, leave it.
    Reward: For repairing, minus a normal repair cost of mean (1, 4, 5, 24.5) and standard deviation (2, 2, 2, 1) by
        brand. At the last step, if repaired: the price (18, 28, 31, 59) by brand, minus 0.1 per jam and 7 per flat
        tire, minus a normal delivery cost of mean (0.5, 2.5, 4.5, 18) by brand and standard deviation 1.5. Else 0.
        Repairing is worth -1.5, 3.5, 3.5 and -1.5 by brand in expectation, so the optimal first actions are to leave,
        repair, repair and leave, and the optimal expected return is 1.75.
    Termination: After 50 steps; no time limit is needed.
    Arguments: `render_mode` ("rgb_array", "ansi" or None).
    Source: The watch repair demonstration of RUDDER's official code, ml-jku/rudder-demonstration-code (arXiv
        1806.07857), process and numbers. Its text speaks of variances, but the code passes them as standard deviations,
        and so do we. Unlike it, later actions may be any; they have no effect there either.

    Example:
        >>> env = PocketWatch(render_mode="ansi")
        >>> _ = env.reset(seed=0)
        >>> _ = env.step(0)
        >>> print(env.render(), end="")
        brand 2, repaired, jams 0, flat tires 0, 1/50
    """

    metadata = METADATA
    batch = PocketWatchBatch

    def __init__(self, render_mode: str | None = None) -> None:
        """Make one copy.

        Raises:
            ValueError: The render mode is unknown.
        """
        super().__init__(PocketWatchBatch(1), render_mode)
