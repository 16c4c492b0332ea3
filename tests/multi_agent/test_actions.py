"""What is in a space, what is cast to it, and what the refusal of everything else says."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from bagged_envs.multi_agent.actions import in_space

UNIT = Box(np.float32(0.1), np.float32(1.0), (2,), np.float32)
BYTES = Box(0, 200, (2,), np.uint8)


@pytest.mark.parametrize(
    ("action", "space"),
    [
        (np.array([0.5, 0.7]), UNIT),
        (np.array([0.5, 0.7], np.float16), UNIT),
        (np.array([0.1, 1.0]), UNIT),  # the float32 0.1 is greater than the float64 one
        ([0.5, 0.7], UNIT),
        ([1, 1], UNIT),
        (np.array([True, True]), UNIT),
        ([0, 200], BYTES),
        (np.array([7, 9], np.int16), BYTES),
    ],
)
def test_numbers_become_the_boxs(action, space):
    cast = in_space("action", action, space)
    assert space.contains(cast)
    assert np.array_equal(cast, np.asarray(action).astype(space.dtype))


def test_an_array_of_the_boxs_dtype_is_returned_itself():
    action = np.array([0.5, 0.7], np.float32)
    assert in_space("action", action, UNIT) is action


@pytest.mark.parametrize(
    ("action", "space", "said"),
    [
        (np.array([0.5]), UNIT, r"array\(\[0.5\]\) of shape \(1,\) instead of \(2,\)"),
        (0.5, UNIT, r"0.5 of shape \(\) instead of \(2,\)"),
        (None, UNIT, r"None of shape \(\) instead of"),
        ([[1.0], [1.0, 2.0]], UNIT, "which is no array: "),
        (np.array([0.5, 0.5j]), UNIT, "of dtype complex128, which does not cast to float32"),
        (["a", "b"], UNIT, "of dtype <U1, which does not cast to float32"),
        ([None, None], UNIT, "of dtype object, which does not cast to float32"),
        ([0.5, 1.5], UNIT, "with values from 0.5 to 1.5, out of bounds"),
        ([0.05, 0.5], UNIT, "with values from 0.05 to 0.5, out of bounds"),
        ([0.5, 1e300], UNIT, r"with values from 0.5 to 1e\+300, out of bounds"),
        ([0.5, np.nan], UNIT, "with values from nan to nan, out of bounds"),
        ([1.0, 2.0], BYTES, "of dtype float64, which does not cast to uint8"),
        ([1, 257], BYTES, "with values from 1 to 257, out of bounds"),
        ([-1, 3], BYTES, "with values from -1 to 3, out of bounds"),
    ],
)
def test_what_is_wrong_is_said(action, space, said):
    with pytest.raises(ValueError, match=rf"^action must be in Box\(.*, {space.dtype}\), got .*{said}"):
        in_space("action", action, space)


def test_entries_of_dicts_and_tuples():
    pair = {"b": Discrete(2), "a": UNIT}
    both = in_space("action", {"a": [0.5, 0.7], "b": 1}, Dict(pair))
    assert Dict(pair).contains(both)
    assert Tuple(pair.values()).contains(in_space("action", [1, [0.5, 0.7]], Tuple(pair.values())))
    with pytest.raises(ValueError, match=r"^action\['a'\] must be in Box.* of shape \(1,\)"):
        in_space("action", {"a": [0.5], "b": 1}, Dict(pair))
    with pytest.raises(ValueError, match=r"^action\[0\] must be in Discrete\(2\), got 2"):
        in_space("action", (2, [0.5, 0.7]), Tuple(pair.values()))


@pytest.mark.parametrize("action", [{"a": [0.5, 0.7]}, {"a": [0.5, 0.7], "b": 1, "c": 1}, [1], None])
def test_other_entries_than_the_spaces(action):
    with pytest.raises(ValueError, match=r"^action must be in Dict\("):
        in_space("action", action, Dict({"a": UNIT, "b": Discrete(2)}))


@pytest.mark.parametrize("action", [(1,), (1, 1, 1), {0: 1, 1: 1}, 1])
def test_another_number_of_entries(action):
    with pytest.raises(ValueError, match=r"^action must be in Tuple\("):
        in_space("action", action, Tuple([Discrete(2)] * 2))
