"""Queues and random steps."""

from collections import Counter, deque
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.draws import Queue, some_steps, spread


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=30))
def test_a_queue_is_a_deque(calls):
    queue, model = Queue(10), deque()
    for number, (append, count) in enumerate(calls):
        if append:
            values = np.arange(count)[: 10 - len(model)] + 100 * number
            queue.append(values)
            model.extend(values.tolist())
        else:
            count = min(count, len(model))
            queue.drop(count)
            for _ in range(count):
                model.popleft()
        assert len(queue) == len(model)
        assert queue.all().tolist() == list(model)
        assert queue.at(np.arange(len(model))[::-1]).tolist() == list(model)[::-1]


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8),
    st.integers(1, 20),
    st.integers(0, 2**32),
)
def test_some_steps_are_distinct_where_they_can_be(lengths, count, seed):
    steps = some_steps(np.array(lengths), count, np.random.default_rng(seed))
    assert steps.shape == (len(lengths), count)
    for row, length in zip(steps.tolist(), lengths, strict=True):
        assert all(0 <= step < length for step in row)
        assert row == sorted(row)
        if length >= count:
            assert len(set(row)) == count


@pytest.mark.parametrize("length", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("beside", [[], [1], [2, 3, 9]])
def test_every_subset_is_as_likely(length, beside):
    rows = np.array([length] * 6000 + beside)
    steps = some_steps(rows, 2, np.random.default_rng(0))[:6000]
    found = Counter(map(tuple, steps.tolist()))
    subsets = list(combinations(range(length), 2))
    assert set(found) == set(subsets)
    expected = 6000 / len(subsets)
    assert sum((found[s] - expected) ** 2 / expected for s in subsets) < 3 * len(subsets) + 10  # chi-squared


def test_short_bags_repeat_uniformly():
    steps = some_steps(np.full(3000, 2), 3, np.random.default_rng(0))
    assert abs(steps.mean() - 0.5) < 0.02
    assert not some_steps(np.ones(4, dtype=np.int64), 5, np.random.default_rng(0)).any()


def test_spread():
    assert spread(np.array([7, 3, 0]), np.array([1, 3, 2])).tolist() == [7, 3, 4, 5, 0, 1]
    assert spread(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)).tolist() == []
