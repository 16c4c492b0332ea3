"""The bags of a replay buffer: only closed ones that are there whole, however often the ring wraps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.replay_bags import NAMES, ReplayBags


class Model:
    """The same by lists and loops: every step ever added, with its bag once that is closed."""

    def __init__(self, rows, copies):
        self.rows, self.copies = rows, copies
        self.columns = [[] for _ in range(copies)]  # of each copy its steps: [bag, labeled, position]
        self.open = [[] for _ in range(copies)]
        self.position = [0] * copies
        self.closed = 0

    def add(self, closes, observed, ended):
        for copy in range(self.copies):
            step = [None, False, self.position[copy]]
            self.columns[copy].append(step)
            self.open[copy].append(step)
            self.position[copy] += 1
            if closes[copy]:
                for one in self.open[copy]:
                    one[0], one[1] = self.closed, bool(observed[copy])
                self.closed += 1
                self.open[copy] = []
            if ended[copy]:
                self.position[copy] = 0

    def abandon(self, copies):
        for copy in np.flatnonzero(copies):
            self.open[copy], self.position[copy] = [], 0

    def whole(self):
        """Of each closed bag that is there whole: its steps' names, whether it is labeled, and its position."""
        bags = {}
        for copy, column in enumerate(self.columns):
            for time, (bag, labeled, position) in enumerate(column):
                if bag is not None:
                    steps, _, _, times = bags.setdefault(bag, ([], labeled, position, []))
                    steps.append((time % self.rows) * self.copies + copy)
                    times.append(time)
        oldest = len(self.columns[0]) - self.rows
        return [bag for bag in bags.values() if bag[3][0] >= oldest]


def assert_same(bags, model):
    whole = model.whole()
    assert sorted(bags.all("bags")) == sorted(steps[0] for steps, *_ in whole)
    assert sorted(bags.all("labeled_bags")) == sorted(steps[0] for steps, labeled, *_ in whole if labeled)
    assert sorted(bags.all("steps")) == sorted(step for steps, *_ in whole for step in steps)
    assert sorted(bags.all("labeled_steps")) == sorted(
        step for steps, labeled, *_ in whole if labeled for step in steps
    )
    assert [bags.count(name) for name in NAMES] == [len(bags.all(name)) for name in NAMES]
    expected = np.full(bags.rows * bags.copies, -1)
    for steps, labeled, position, _ in whole:
        expected[steps] = steps[0]
        assert (bags.length[steps[0]], bags.labeled[steps[0]]) == (len(steps), labeled)
        assert bags.position[steps[0]] == position
        assert bags.last_steps(np.array(steps[:1])).tolist() == steps[-1:]
    np.testing.assert_array_equal(bags.bag, expected)


@st.composite
def moves(draw):
    """Sizes, and for each row whose step closes, is labeled, ends, and who is cut off before it."""
    rows, copies = draw(st.integers(2, 9)), draw(st.integers(1, 3))
    flags = st.lists(st.booleans(), min_size=copies, max_size=copies)
    rare = st.lists(st.sampled_from([False] * 9 + [True]), min_size=copies, max_size=copies)
    return rows, copies, draw(st.lists(st.tuples(flags, flags, flags, rare), max_size=60))


@given(moves())
def test_as_a_model_of_loops_has_it(case):
    rows, copies, made = case
    bags, model = ReplayBags(rows, copies), Model(rows, copies)
    for closes, observed, ended, cut in made:
        cut = np.array(cut)
        bags.abandon(cut)
        model.abandon(cut)
        # A bag that is as long as the ring closes; and an episode ends with its bag.
        full = np.array([len(steps) == rows - 1 for steps in model.open])
        closes, ended = np.array(closes) | full, np.array(ended)
        ended &= closes
        before = model.closed
        closed = bags.add(closes, np.array(observed), ended)
        model.add(closes, observed, ended)
        assert len(closed) == model.closed - before
        assert_same(bags, model)
    bags.clear()
    assert_same(bags, Model(rows, copies))


def filled(lengths, rows=20, labeled=True):
    """One copy with bags of these lengths in one episode."""
    bags = ReplayBags(rows, 1)
    for length in lengths:
        for left in reversed(range(length)):
            bags.add(np.array([left == 0]), np.array([labeled]), np.array([False]))
    return bags


def test_draws_are_uniform_over_all_copies():
    bags = ReplayBags(12, 2)
    for row in range(12):  # copy 0 closes a bag of 9 steps and leaves three open, copy 1 closes twelve bags of one
        bags.add(np.array([row == 8, True]), np.array([True, row % 2 == 0]), np.zeros(2, bool))
    random = np.random.default_rng(0)
    drawn = {name: np.bincount(bags.draw(name, 42_000, random), minlength=24) for name in NAMES}
    for name, counts in drawn.items():
        expected = bags.all(name)
        assert set(np.flatnonzero(counts)) == set(expected)
        np.testing.assert_allclose(counts[expected], 42_000 / len(expected), rtol=0.1)
    assert len(bags.all("steps")) == 21
    by_length = np.bincount(bags.draw_bags(30_000, "length", random), minlength=24)
    assert by_length[0] == pytest.approx(30_000 * 9 / 15, rel=0.05)
    by_bag = np.bincount(bags.draw_bags(30_000, "bag", random), minlength=24)
    assert by_bag[0] == pytest.approx(30_000 / 7, rel=0.05)
    assert not by_bag[3::4].any()  # unlabeled ones


def test_cells_of_whole_bags():
    bags = filled([2, 3, 1])
    steps, inside, context = bags.cells(np.array([2, 5, 0]), history=2)
    assert inside.tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert context.tolist() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 0]]
    assert steps[context].tolist() == [0, 1, 2, 3, 4, 3, 4, 5, 0, 1]
    assert set(steps[~context]) == {5, 0}


def test_history_ends_where_the_ring_or_the_episode_does():
    bags = filled([2, 2, 2, 1], rows=6)  # the seventh step is over the first
    assert bags.cells(np.array([2]), history=5)[2].tolist() == [[0, 0, 0, 0, 1, 1, 1]]  # step 1 is still there
    assert bags.cells(np.array([0]), history=9)[2].sum() == 1 + 5
    other = ReplayBags(6, 1)
    for _ in range(2):
        other.add(np.array([True]), np.array([True]), np.array([True]))
    assert other.cells(np.array([1]), history=3)[2].tolist() == [[False, False, False, True]]


def test_some_steps_wrap_with_the_ring():
    bags = filled([4, 4], rows=6)
    steps = bags.some_steps(np.array([4]), 4, np.random.default_rng(0))
    assert steps.tolist() == [[4, 5, 0, 1]]
    assert bags.all("bags").tolist() == [4]


def test_what_cannot_be_is_refused():
    bags = filled([], rows=3)
    no = np.array([False])
    for _ in range(3):
        bags.add(no, no, no)
    with pytest.raises(ValueError, match="at least 1 environments times twice the longest bag, .*got 3"):
        bags.add(np.array([True]), no, no)
    with pytest.raises(ValueError, match="there must be labeled bags to draw from, got none: add more steps"):
        bags.draw("labeled_bags", 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="weight must be one of 'bag', 'length', got 'size'"):
        bags.draw_bags(2, "size", np.random.default_rng(0))
