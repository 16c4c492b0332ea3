"""When a redistributor is updated, for those who drive one step by step."""

from __future__ import annotations

from bagged_envs.baselines.api import Schedule


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
