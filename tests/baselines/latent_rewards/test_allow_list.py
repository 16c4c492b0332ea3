"""What the allow-list says: where, what, and what to write instead."""

import numpy as np
import pytest

from bagged_envs.baselines.latent_rewards.cage import allowed
from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.errors import RefusedError
from bagged_envs.baselines.latent_rewards.cage.text import normalized
from tests.baselines.latent_rewards.hostile import inside


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("while x: pass", "line 2: `while` is not allowed; use `for i in range(...)`"),
        ("try:\n        pass\n    except: pass", "line 2: `try` is not allowed; guard the values instead"),
        ("x = f'{1}'", "line 2: an f-string is not allowed; leave it out"),
        ("print(1)", "line 2: print(...) is not allowed; leave it out: nothing is printed"),
        ("import math", "line 2: `import math` is not allowed; write `import numpy as np` and nothing else"),
        ("x = math.pi", "line 2: the name math is not allowed; use np, e.g. np.sqrt"),
        ("x = isinstance(action, 1)", "line 2: isinstance(...) is not allowed; leave it out"),
        ("assert True", "line 2: `assert` is not allowed; leave it out: shapes"),
        ("x = np.absolut(action)", "line 2: np.absolut is not allowed; did you mean absolute"),
        ("x = np.random.rand(3)", "line 2: np.random is not allowed; leave it out: the same row"),
        ("x = np.linalg.inv(action)", "line 2: np.linalg.inv is not allowed; np.linalg has norm only"),
        ("x = action.summ()", "line 2: .summ(...) is not allowed; did you mean sum?"),
        ("x = action.sum", "line 2: .sum is not allowed; call it: .sum(...)"),
        ("x = [np.exp]", "line 2: np.exp without a call is not allowed; call it: np.exp(...)"),
        ("x = abs", "line 2: the function abs without a call is not allowed"),
        ("x = actoin", "line 2: the name actoin is not allowed; did you mean action?"),
        ("x = np.sum(action, out=action)", "line 2: the argument out= is not allowed"),
        ("x = action.astype(object)", "line 2: the dtype object is not allowed; use np.float64"),
        ("x = 10000000000", "line 2: a whole number above 1000000000 is not allowed"),
        ("x = 'a'", "line 2: text is not allowed"),
        ("max = 1", "line 2: a new meaning for the name max is not allowed; choose another name"),
        ("x = lambda: 1", "line 2: `lambda` is not allowed; write a function with `def`"),
        ("with np.errstate(): pass", "line 2: `with` is not allowed"),
        ("return evaluation_func(1, 2)", "line 2: evaluation_func(...) above its end is not allowed; define it before"),
        ("x = {1, 2}", "line 2: a set is not allowed; use a list"),
        ("x = (1", "this is not valid Python"),
    ],
)
def test_it_names_line_construct_and_remedy(line, words):
    with pytest.raises(RefusedError) as caught:
        check_source(inside("PLACE").replace("PLACE", line))
    assert words in str(caught.value)


def test_all_problems_are_told_at_once_but_not_endlessly():
    with pytest.raises(RefusedError) as caught:
        check_source(inside("\n".join(["print(1)"] * 10)))
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("line 2: ")
    assert lines[7].startswith("line 9: ")
    assert lines[8:] == ["... and 2 more."]


@pytest.mark.parametrize(
    "text",
    [
        "def evaluation_func(observation):\n    return [observation]",
        "def evaluation_func(observation, action, more):\n    return [observation]",
        "def evaluation_func(observation, *, action):\n    return [observation]",
        "def evaluate(observation, action):\n    return [observation]",
    ],
)
def test_there_is_one_function_of_two_arguments(text):
    with pytest.raises(RefusedError, match=r"observation, action|plain arguments"):
        check_source(text)


def test_code_for_trying_it_out_is_refused():
    with pytest.raises(RefusedError, match="line 4: code outside of functions is not allowed; .* leave test code out"):
        check_source(inside("pass") + "if __name__ == '__main__':\n    evaluation_func(1, 2)\n")


def test_a_function_may_call_those_above_it_alone():
    check_source("def f(x):\n    return x\n" + inside("f(1)"))
    with pytest.raises(RefusedError, match=r"line 2: f\(...\) above its end"):
        check_source(inside("f(1)") + "def f(x):\n    return x\n")


def test_line_ends_and_marks_of_other_systems_are_made_plain():
    assert normalized("\ufeffa\r\nb\rc\n") == "a\nb\nc\n"
    check_source(inside("x = 1\nx += 1").replace("\n", "\r\n"))
    with pytest.raises(TypeError, match="text must be a string with a program, got bytes"):
        check_source(b"")


def test_what_is_allowed_exists():
    for name in allowed.NUMPY_FUNCTIONS | allowed.NUMPY_TYPES | allowed.NUMPY_CONSTANTS:
        assert hasattr(np, name)
    for name in allowed.METHODS:
        assert hasattr(np.ndarray, name) or hasattr(list, name) or hasattr(dict, name)
    assert len(allowed.NUMPY_FUNCTIONS) >= 130
