"""Programs as models write them: none is refused, and the cage returns what they compute, to the bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.errors import RefusedError
from bagged_envs.baselines.latent_rewards.cage.process import CagedFunction
from bagged_envs.baselines.latent_rewards.cage.text import normalized
from bagged_envs.baselines.latent_rewards.cage.verify import verify
from tests.baselines.latent_rewards.honest import HONEST
from tests.baselines.latent_rewards.world import ACTIONS, OBSERVATIONS, needs_lock

NAMES = sorted(HONEST)
# What a model may slip in, and what only an attacker would.
PIECES = st.one_of(
    st.sampled_from(
        (
            *(
                "(",
                ")",
                "[",
                "]",
                "{",
                "}",
                ":",
                "\n",
                "\n    ",
                "    ",
                "\t",
                "#",
                '"',
                "'",
                '"""',
                "\\",
                ",",
                ";",
                "=",
                ".",
                "*",
            ),
            *(
                "np",
                "def ",
                "return ",
                "lambda: ",
                "for x in ",
                "if ",
                "yield ",
                "import os\n",
                "f'{x}'",
                "@",
                "->",
                ":=",
            ),
            *(
                "__class__",
                "match x:\n",
                "async ",
                "await ",
                "1e999",
                "0x",
                "1_0",
                "10**99",
                "\\N{",
                "b'",
                "...",
                "é",
                "\0",
            ),
        )
    ),
    st.text(max_size=5),
)


def in_process(text):
    names = {"np": np}
    exec(normalized(text), names)
    with np.errstate(all="ignore"):
        factors = names["evaluation_func"](OBSERVATIONS.copy(), ACTIONS.copy())
    return np.concatenate([factor.astype(np.float64) for factor in factors], axis=1)


def test_there_are_many():
    assert len(HONEST) >= 60


@pytest.mark.parametrize("name", NAMES)
def test_none_is_refused(name):
    check_source(HONEST[name])


def check_same(name):
    with CagedFunction(HONEST[name]) as function:
        assert function(OBSERVATIONS, ACTIONS).tobytes() == in_process(HONEST[name]).tobytes()


@needs_lock
@pytest.mark.parametrize("name", NAMES[::8])
def test_nothing_changes_in_the_cage(name):
    check_same(name)


@needs_lock
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_nothing_changes_for_any_in_the_cage(name):
    check_same(name)


@needs_lock
@pytest.mark.slow
def test_all_are_fit_for_use():
    for text in HONEST.values():
        assert verify(text, OBSERVATIONS, ACTIONS) == in_process(text).shape[1]


@given(st.sampled_from(NAMES), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PIECES), min_size=1, max_size=4))
def test_whatever_the_text_it_is_refused_in_words_or_not_at_all(name, edits):
    text = HONEST[name]
    for place, removed, piece in edits:
        at = int(place * len(text))
        text = text[:at] + piece + text[at + removed :]
    refuse(text)


@given(st.text(max_size=200))
def test_any_text_at_all(text):
    refuse(text)


def refuse(text):
    try:
        check_source(text)
    except RefusedError as error:
        assert str(error).startswith("line ")  # noqa: PT017 (other errors must be seen as they are)
