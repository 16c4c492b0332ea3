"""Features: Gymnasium's own flatten, for whole batches, and the way back."""

import numpy as np
import pytest
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    MultiBinary,
    MultiDiscrete,
    Sequence,
    Text,
    Tuple,
    flatdim,
    flatten,
    unflatten,
)
from gymnasium.vector.utils import batch_space, iterate

from bagged_envs.baselines.features import Features

SPACES = [
    Box(-1, 1, (3,)),
    Box(-1, 1, (), np.float32),
    Box(0, 255, (2, 2), np.uint8),
    Discrete(4),
    Discrete(3, start=-1),
    MultiDiscrete([5, 16, 2]),
    MultiDiscrete([[2, 3], [4, 5]], start=[[1, 0], [-2, 7]]),
    MultiBinary(3),
    MultiBinary([2, 2]),
    Tuple((Discrete(2), Box(-1, 1, (2,)))),
    Dict({"b": Discrete(3), "a": Dict({"x": MultiBinary(2), "y": Tuple((MultiDiscrete([2, 2]), Discrete(2)))})}),
]


def batch_of(space, size=7):
    batched = batch_space(space, size)
    batched.seed(3)
    return batched, batched.sample()


def equal(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, tuple):
        return len(left) == len(right) and all(equal(*pair) for pair in zip(left, right, strict=True))
    return left.dtype == right.dtype and np.array_equal(left, right)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_encode_is_gymnasiums_flatten(space):
    batched, batch = batch_of(space)
    encoded = Features(space).encode(batch)
    rows = [flatten(space, one) for one in iterate(batched, batch)]
    assert encoded.dtype == np.float32
    assert encoded.shape == (7, Features(space).size) == (7, flatdim(space))
    np.testing.assert_array_equal(encoded, np.array(rows, dtype=np.float32))


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_decode_is_the_way_back(space):
    _, batch = batch_of(space)
    features = Features(space)
    decoded = features.decode(features.encode(batch))
    assert equal(decoded, batch)
    for one, row in zip(iterate(batch_space(space, 7), decoded), features.encode(batch), strict=True):
        if space.shape is not None:
            one = np.asarray(one)
            assert equal(one, np.asarray(unflatten(space, row)))
        assert space.contains(one)


@pytest.mark.parametrize("space", SPACES[-2:], ids=str)
def test_features_of_a_composed_space_pass_through(space):
    _, batch = batch_of(space)
    encoded = Features(space).encode(batch)
    np.testing.assert_array_equal(Features(space).encode(encoded), encoded)


def test_literal_one_hots():
    assert Features(Discrete(3, start=5)).encode(np.array([5, 7])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert Features(MultiDiscrete([2, 3])).encode(np.array([[1, 0]])).tolist() == [[0, 1, 1, 0, 0]]
    assert Features(Discrete(3, start=5)).decode(np.array([[0.1, 2.0, 1.0]])).tolist() == [6]


def test_agents_side_by_side():
    seen, acted = Features(Box(-1, 1, (3, 14)), agents=3), Features(MultiDiscrete([5] * 3), agents=3)
    observations = np.arange(2 * 3 * 14, dtype=np.float64).reshape(2, 3, 14)
    assert (seen.size, acted.size) == (14, 5)
    np.testing.assert_array_equal(seen.encode(observations), observations)
    assert acted.encode(np.array([[0, 4, 2]]))[0].argmax(axis=1).tolist() == [0, 4, 2]
    assert acted.decode(acted.encode(np.array([[0, 4, 2], [1, 1, 3]]))).tolist() == [[0, 4, 2], [1, 1, 3]]
    two = Features(Tuple((Discrete(3), Discrete(3))), agents=2)
    assert two.encode((np.array([1]), np.array([2]))).tolist() == [[[0, 1, 0], [0, 0, 1]]]


@pytest.mark.parametrize(
    "space", [Box(-1, 1, (2, 4)), Box(-1, 1, ()), MultiDiscrete([5, 5, 4]), Discrete(3), Tuple([Discrete(2)] * 2)]
)
def test_what_is_not_three_agents_is_refused(space):
    with pytest.raises(ValueError, match=r"agents=3 needs .* use agents=1"):
        Features(space, agents=3)


@pytest.mark.parametrize(
    "space", [Text(5), Graph(Discrete(2), None), Sequence(Discrete(2)), Dict({"a": Text(5)})], ids=str
)
def test_spaces_without_a_size_are_refused(space):
    with pytest.raises(TypeError, match="space must be Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple"):
        Features(space)


@pytest.mark.parametrize(
    ("space", "batch", "message"),
    [
        (Discrete(3), np.array([0, 3]), r"elements of Discrete\(3\), got numbers from 0 to 3"),
        (Discrete(3, start=1), np.array([0]), "got numbers from 0 to 0"),
        (MultiDiscrete([2, 2]), np.array([[0, -1]]), "got numbers from -1 to 0"),
        (Discrete(3), np.array([0.5]), "integers for .* got float64"),
        (Discrete(3), np.array([[0]]), r"shape \('N',\) for Discrete\(3\), got \(1, 1\)"),
        (Box(-1, 1, (3,)), np.zeros(3), r"shape \('N', 3\) for .*, got \(3,\)"),
        (Tuple([Discrete(2)]), np.zeros((4, 3)), r"shape \('N', 2\) for .*, got \(4, 3\)"),
    ],
)
def test_a_batch_of_another_space_is_refused(space, batch, message):
    with pytest.raises(ValueError, match=message):
        Features(space).encode(batch)


def test_features_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"features must have shape \('N', 3\) for Discrete\(3\), got \(1, 4\)"):
        Features(Discrete(3)).decode(np.zeros((1, 4)))
    with pytest.raises(ValueError, match=r"shape \('N', 2, 5\) for MultiDiscrete\(.5 5.\), got \(1, 10\)"):
        Features(MultiDiscrete([5, 5]), agents=2).decode(np.zeros((1, 10)))


def test_unsigned_numbers_are_numbers():
    assert Features(Discrete(3, start=1)).encode(np.array([3], dtype=np.uint64)).tolist() == [[0, 0, 1]]
    space = MultiDiscrete([3, 2], dtype=np.uint64, start=[1, 0])
    batch = np.array([[3, 1]], dtype=np.uint64)
    assert equal(Features(space).decode(Features(space).encode(batch)), batch)
