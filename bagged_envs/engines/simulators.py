"""N copies of one MuJoCo model, stepped in threads, their arrays stacked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import mujoco
import numpy as np
import numpy.typing as npt

from bagged_envs.engines.crew import Crew

Advance: TypeAlias = Callable[[Any], None]


class SimulationError(RuntimeError):
    """MuJoCo could not step one of the copies; the text names it."""


class Simulators:
    """N `MjData` of one `MjModel`.

    The model is shared, as no step changes it. MuJoCo's functions release the interpreter's lock, so that threads
    work at the same time.

    Attributes:
        model: The model.
        data: One per copy.
        now: The copies' arrays as the last step or reset left them, by their names in `MjData`: `now.qpos` is
            `(N, nq)`. They are memory of this object's own, written anew by `gather`.
    """

    def __init__(self, model: Any, num_envs: int, fields: Sequence[str], advance: Advance, num_threads: int) -> None:
        """Make the copies.

        Args:
            model: An `MjModel`.
            num_envs: N.
            fields: Names of arrays in `MjData` to stack.
            advance: Makes one step of an environment with an `MjData` whose `ctrl` is set.
            num_threads: How many threads step the copies; 1 steps them where `step` is called.
        """
        self.model = model
        self.data = [mujoco.MjData(model) for _ in range(num_envs)]
        self._advance = advance
        self._ctrl = [data.ctrl for data in self.data]
        self._views = {field: [getattr(data, field) for data in self.data] for field in fields}
        self._memory = {field: np.concatenate(views) for field, views in self._views.items()}
        self.now = SimpleNamespace(
            **{field: self._memory[field].reshape(num_envs, *views[0].shape) for field, views in self._views.items()}
        )
        self._crew = Crew(num_threads)

    def gather(self) -> None:
        """Write the copies' arrays into `now`."""
        for field, views in self._views.items():
            np.concatenate(views, out=self._memory[field])

    def step(self, controls: npt.NDArray[Any], slots: Sequence[int]) -> None:
        """Make one step in the copies `slots`; `now` is as it was.

        Args:
            controls: What `ctrl` is set to, `(N, nu)`.
            slots: Their indices.

        Raises:
            SimulationError: MuJoCo could not; other copies may have made their step.
        """
        rows = list(controls.astype(np.float64, copy=False))
        ctrl, data, advance = self._ctrl, self.data, self._advance

        def work(own: Iterable[int]) -> None:
            slot = -1
            try:
                for slot in own:
                    ctrl[slot][...] = rows[slot]
                    advance(data[slot])
            except Exception as error:
                raise SimulationError(f"environment {slot} could not be stepped: {error} Call reset().") from error

        self._crew.run(work, slots)

    def close(self) -> None:
        """End the threads."""
        self._crew.close()
