"""Who is nearest to whom."""

from __future__ import annotations

import numpy as np

from bagged_envs.batch import Floats, Ints

# Up to here NumPy's stable sort is the faster one.
SMALL = 4096


def nearest(distances: Floats, count: int) -> Ints:
    """Return the indices of the `count` smallest numbers of each row, smallest first, equal ones by index.

    Args:
        distances: `(..., n)`, n at least `count`.
        count: How many.

    Returns:
        `(..., count)`.

    Example:
        >>> nearest(np.array([[3.0, 1.0, 2.0, 1.0]]), 3).tolist()
        [[1, 3, 2]]
    """
    if distances.size <= SMALL:
        return distances.argsort(axis=-1, kind="stable")[..., :count]
    # NumPy's quick sort leaves equal numbers in any order, and is else as good: where it has put none side by side.
    order = distances.argsort(axis=-1)
    ranked = np.take_along_axis(distances, order[..., : count + 1], axis=-1)
    if (ranked[..., 1:] == ranked[..., :-1]).any():
        order = distances.argsort(axis=-1, kind="stable")
    return order[..., :count]
