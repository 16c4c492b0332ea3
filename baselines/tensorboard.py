"""Evaluations of a run for TensorBoard, beside its CSV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

FOLDER = "tensorboard"
Report = Callable[[int, Mapping[str, Any] | None], None]
MISSING = 'tensorboard=True needs the tensorboard extra: pip install "bagged_envs[tensorboard]"'


def both(first: Report, second: Report | None) -> Report:
    """Return a report that tells two, or the first where there is no second."""

    def report(step: int, row: Mapping[str, Any] | None) -> None:
        first(step, row)
        if second is not None:
            second(step, row)

    return report


class Board:
    """A report, as `runs.train` takes one, that writes each evaluation's numbers as scalars.

    A run that goes on from a checkpoint makes steps again that were told already: these are purged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Board(Path(folder)) as report:
        ...     report(5000, {"step": 5000, "return": 12.5})
        ...     len(list(Path(folder, "tensorboard").iterdir()))
        1
    """

    def __init__(self, folder: Path) -> None:
        """Begin; nothing is written before the first evaluation.

        Args:
            folder: Of the run.

        Raises:
            gymnasium.error.DependencyNotInstalled: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise gym.error.DependencyNotInstalled(MISSING) from error
        self._make, self._folder = SummaryWriter, folder / FOLDER
        self._writer: Any = None

    def __call__(self, step: int, row: Mapping[str, Any] | None) -> None:
        """Write the row of an evaluation, where there is one."""
        if row is None:
            return
        if self._writer is None:
            self._writer = self._make(self._folder, purge_step=step)
        for name, value in row.items():
            if name != "step" and value is not None:
                self._writer.add_scalar(f"evaluation/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
