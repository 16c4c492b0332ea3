"""Who is nearest, by any sort."""

import numpy as np

from bagged_envs.particle import nearest as module
from bagged_envs.particle.nearest import nearest


def test_equal_numbers_come_by_index_in_small_and_large_arrays():
    row = np.array([5.0, 2.0, 9.0, 2.0, np.inf, 1.0, 2.0, 0.5] * 4)
    expected = [7, 15, 23, 31, 5, 13]
    assert nearest(row, 6).tolist() == expected
    many = np.tile(row, (1000, 1))
    assert many.size > module.SMALL
    assert nearest(many, 6).tolist() == [expected] * 1000


def test_large_arrays_without_equal_numbers_are_sorted():
    numbers = np.random.default_rng(0).random((500, 30))
    expected = [sorted(range(30), key=row.__getitem__)[:6] for row in numbers.tolist()]
    assert nearest(numbers, 6).tolist() == expected


def test_of_two_equal_numbers_at_the_border_the_first_is_taken():
    numbers = np.random.default_rng(0).permuted(np.tile(np.r_[:6, 5, 6:29.0], (500, 1)), axis=1)
    expected = [[row.index(number) for number in range(6)] for row in numbers.tolist()]
    assert nearest(numbers, 6).tolist() == expected
