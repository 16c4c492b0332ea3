"""Making a redistributor and updating it by its schedule, in our loops and in others'."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any

import torch

from bagged_envs.baselines.api import BagBatch, Metrics, Redistributor, Sampling, Schedule
from bagged_envs.baselines.redistributors import make_redistributor
from bagged_envs.wrappers.arguments import a_seed

PROTOCOL = ("name", "context", "stored", "only_labeled", "sampling", "schedule", "update", "relabel")


class Cadence:
    """Follows a `Schedule` through the steps of an environment, or of all copies together.

    A burst of updates is due whenever the number of steps reaches a multiple of `every` that is at least `warm_up`;
    where one call brings it past several, so many bursts. A burst that is due while there is nothing to learn from is
    left out, not made up for; the first that is made has `first` updates.

    Example:
        >>> cadence = Cadence(Schedule(every=10, updates=2, warm_up=25, first=5))
        >>> [cadence.due(steps) for steps in (10, 20, 29, 30, 31, 40, 60)]
        [0, 0, 0, 5, 0, 2, 4]
    """

    def __init__(self, schedule: Schedule) -> None:
        """Begin at step 0."""
        self.schedule = schedule
        self._steps = 0
        self._begun = False

    @property
    def state(self) -> tuple[int, bool]:
        """The number of steps at the last call, and whether there was a burst."""
        return self._steps, self._begun

    @state.setter
    def state(self, state: tuple[int, bool]) -> None:
        self._steps, self._begun = state

    def due(self, steps: int, ready: bool = True) -> int:
        """Return how many updates to make now.

        Args:
            steps: How many steps there were so far, not fewer than at the last call.
            ready: Whether there is something to learn from.
        """
        schedule, before = self.schedule, max(self._steps, self.schedule.warm_up - 1)
        self._steps = steps
        bursts = max(0, steps // schedule.every - before // schedule.every)
        if not bursts or not ready:
            return 0
        first = schedule.updates if self._begun or schedule.first is None else schedule.first
        self._begun = True
        return first + (bursts - 1) * schedule.updates


class Driver:
    """A redistributor that is updated as steps are made, by labeled bags alone: unlabeled ones would move nothing.

    Attributes:
        redistributor: The redistributor.
        updates: How many updates were made.
        metrics: Of the last burst of updates, means over it.
        fitted: Whether its rewards are worth paying: it was updated, has nothing to learn, or came ready-made.
    """

    def __init__(
        self,
        redistributor: str | Redistributor,
        config: Mapping[str, Any] | object | None,
        observation_size: int,
        action_size: int,
        seed: int,
        device: torch.device | str,
        agents: int = 1,
    ) -> None:
        """Make the redistributor if it comes by its name.

        Args:
            redistributor: A name in `REDISTRIBUTORS`, or a ready redistributor.
            config: Its settings if it comes by its name: a mapping, or its dataclass; None for the defaults.
            observation_size: D.
            action_size: U.
            seed: Of its weights, and of what its updates draw.
            device: Where its networks live.
            agents: A, if it comes by its name.

        Raises:
            TypeError: A ready redistributor does not follow the protocol, or a config is neither form.
            ValueError: There is no such redistributor or setting, or a ready one comes with a config.
        """
        a_seed(seed)
        self.fitted = not isinstance(redistributor, str)
        if isinstance(redistributor, str):
            settings = _settings(config)
            self.redistributor = make_redistributor(
                redistributor, observation_size, action_size, seed=seed, device=device, agents=agents, **settings
            )
        else:
            self.redistributor = _checked(redistributor, config)
        self.fitted |= self.redistributor.sampling is None
        self.updates = 0
        self.metrics: Metrics = {}
        self._cadence = Cadence(self.redistributor.schedule)

    def drive(self, steps: int, draw: Callable[[Sampling], BagBatch], ready: bool) -> bool:
        """Make the updates that are due.

        Args:
            steps: How many steps there were so far.
            draw: Returns labeled bags for an update.
            ready: Whether there are any.

        Returns:
            Whether updates were made.

        Raises:
            FloatingPointError: A loss was not finite; the update that found it changed nothing.
        """
        sampling = self.redistributor.sampling
        due = 0 if sampling is None else self._cadence.due(steps, ready)
        if sampling is None or not due:
            return False
        with torch.inference_mode(False):  # which turns gradients on: TorchRL's collectors step without them
            metrics = [self.redistributor.update(draw(sampling)) for _ in range(due)]
        given = {name: [one[name] for one in metrics if name in one] for name in dict.fromkeys(chain(*metrics))}
        self.metrics = {name: sum(values) / len(values) for name, values in given.items()}
        self.updates += due
        self.fitted = True
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what is to be gone on from; the redistributor has a state of its own."""
        steps, begun = self._cadence.state
        return {"steps": steps, "begun": begun, "updates": self.updates, "fitted": self.fitted}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._cadence.state = state["steps"], state["begun"]
        self.updates, self.fitted = state["updates"], state["fitted"]


def _settings(config: Any) -> dict[str, Any]:
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    if is_dataclass(config) and not isinstance(config, type):
        return {field.name: getattr(config, field.name) for field in fields(config)}
    raise TypeError(f"config must be a mapping of settings, their dataclass, or None, got {config!r}.")


def _checked(redistributor: Any, config: Any) -> Redistributor:
    missing = [name for name in PROTOCOL if not hasattr(redistributor, name)]
    if isinstance(redistributor, type) or missing:
        remedy = (
            "pass an object of this class" if isinstance(redistributor, type) else f"it has no {', '.join(missing)}"
        )
        raise TypeError(
            f"redistributor must be a name, or an object as bagged_envs.baselines.api.Redistributor describes it, got "
            f"{redistributor!r}: {remedy}."
        )
    if config is not None:
        raise ValueError(f"config={config!r} needs a redistributor by its name, got a ready {redistributor.name!r}.")
    ready: Redistributor = redistributor
    return ready
