"""What the allow-list says: where, what, and what to write instead."""

import contextlib
import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bagged_envs.baselines.latent_rewards.cage import allow_list, allowed, worker
from bagged_envs.baselines.latent_rewards.cage.allow_list import check_source
from bagged_envs.baselines.latent_rewards.cage.errors import RefusedError
from bagged_envs.baselines.latent_rewards.cage.text import normalized
from tests.baselines.latent_rewards.hostile import inside
from tests.baselines.latent_rewards.world import ACTIONS, OBSERVATIONS

# What can be done with words, and names for them.
NAMES = st.sampled_from("xyz")
STEPS = (
    *("{0} = {{}}", "{0} = {{'a': 1, 'b': 2}}", "{0} = {1}", "{0}['a'] = {1}", "{0}[{1}] = {2}", "{0} = [{1}]"),
    *("{0} = {1}[{2}]", "{0} = {1}['a']", "{0} = {1}.get({2}, {0})", "{0} = list({1}.values())", "{0}, {1} = {1}, {2}"),
    *("for {0} in {1}: np.array({2})", "for {0} in {1}: {2}[{0}] = {1}", "for {0} in {1}.keys(): {2} = {1}[{0}]"),
    *("for {0}, {1} in {2}.items(): {2}[{0}] = {1}", "{0} = [{1} for {1} in {2}]", "{0} = {{{1}: 1 for {1} in {2}}}"),
    *(
        "for {0}, {1} in {2}.items(): np.array({0})",
        "{0} = {{{1}: {2} for {1}, {2} in {0}.items()}}",
        "{0} += {1}",
        "{0} = len({1})",
        "np.array({0})",
        "np.array([{0}, {1}])",
        "for {0} in {1}: np.array({0})",
    ),
)


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
        ("d = {'a': 1}; x = list(d)", "line 2: this use of a dictionary with words as keys is not allowed; read it by"),
        ("d = {'a': {'b': 1}}", "line 2: this use of a dictionary with words as keys is not allowed"),
        ("for k in {'now': 1}: x = np.array(k)", "line 2: the word k as a value is not allowed; use it as a key alone"),
        ("d = {'a': 1}; x = [k for k, v in d.items()]", "line 2: the word k as a value is not allowed"),
        ("a = {}; b = a; b['x'] = 1", "line 2: another meaning for the dictionary b is not allowed; choose another"),
        ("x = [{}]; x[0]['a'] = 1", "line 2: a word as a key of what has no name is not allowed; give the dictionary"),
        ("action['a'] = 1", "line 1: the dictionary action as an argument is not allowed; give the argument another"),
        ("d = {'a': 1}; x = list(d.keys())", "line 2: this use of a dictionary with words as keys is not allowed"),
        ("import numpy as x", "line 2: `import numpy as x` is not allowed; write `import numpy as np` and nothing"),
        ("action.T = 1", "line 2: setting .T is not allowed; make a new array instead"),
        ("__x = 1", "line 2: a new meaning for the name __x is not allowed"),
        ("def f(max): return 1", "line 2: a new meaning for the name max is not allowed"),
        ("def f(): return 1\n    def f(): return 2", "line 3: a second function f is not allowed"),
        ("x = action.astype('object')", "line 2: the dtype 'object' is not allowed; use np.float64"),
    ],
)
def test_it_names_line_construct_and_remedy(line, words):
    with pytest.raises(RefusedError) as caught:
        check_source(inside("PLACE").replace("PLACE", line))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "place",
    [
        *("BAD", "x = BAD", "x: float = BAD", "x = 1; x += BAD", "action[BAD] = 1", "return BAD"),
        *("x = [BAD]", "x = (BAD,)", "x = {1: BAD}", "x = {BAD: 1}", "x = {'a': BAD}", "x = action[BAD:]"),
        *("x = BAD[0]", "if BAD: pass", "if 1: BAD", "def f(): return BAD"),
        *("x = BAD.T", "x = BAD.sum()", "x = action.sum(BAD)", "x = action.sum(axis=BAD)", "x = action.astype(BAD)"),
        *("x = np.sum(BAD)", "x = np.zeros(3, dtype=BAD)", "x = np.einsum(BAD)", "x = {}.get(BAD)", "x = abs(BAD)"),
        *("x = -BAD", "x = 1 + BAD", "x = 1 < BAD", "x = 1 and BAD", "x = BAD if 1 else 0", "x = 1 if BAD else 0"),
        *("x = [BAD for i in [1]]", "x = [i for i in BAD]", "x = [i for i in [1] if BAD]", "x = {i: BAD for i in [1]}"),
        *("for i in BAD: pass", "for i in [1]: BAD"),
    ],
)
def test_what_is_refused_is_refused_wherever_it_stands(place):
    check_source(inside("PLACE").replace("PLACE", place.replace("BAD", "float" if "type" in place else "abs(1)")))
    with pytest.raises(RefusedError, match=r"line 2: (open\(...\)|the dtype open\(1\)) is not allowed"):
        check_source(inside("PLACE").replace("PLACE", place.replace("BAD", "open(1)")))


@pytest.mark.parametrize(
    "call",
    [
        *("action.tofile", "action.dump", "action.tobytes", "action.view", "action.setflags", "action.getfield"),
        *("np.save", "np.load", "np.fromfile", "np.memmap", "np.loadtxt", "np.fromiter", "np.frombuffer", "np.empty"),
        *("np.frompyfunc", "np.vectorize", "np.seterr", "np.datetime64", "np.array2string", "np.void", "np.str_"),
        *("open", "eval", "exec", "compile", "getattr", "setattr", "vars", "dir", "type", "id", "hash", "iter", "map"),
    ],
)
def test_no_name_that_does_more_than_compute_is_allowed(call):
    with pytest.raises(RefusedError, match=r"line 2: .* is not allowed"):
        check_source(inside(f"x = {call}(1)"))


@pytest.mark.parametrize(
    ("least", "more", "words"),
    [
        ("x = [" + "1, " * 3900 + "]", "x = [" + "1, " * 4000 + "]", "the program has more than 4000 parts"),
        ("x = 1" + " + 1" * 100, "x = 1" + " + 1" * 130, "line 2: nested more than 120 deep"),
        ("# " + "x" * 15_900, "# " + "x" * 16_000, "the program has more than 16000 bytes"),
        ("x = " + "(" * 25 + "1" + ")" * 25, "x = " + "(" * 30 + "1" + ")" * 30, "line 2: nested more than 30 deep"),
        ("x = 10**9", "x = 1000000001", "line 2: a whole number above 1000000000"),
    ],
    ids=["parts", "depth", "bytes", "brackets", "number"],
)
def test_programs_are_small(least, more, words):
    check_source(inside(least))
    with pytest.raises(RefusedError, match=words):
        check_source(inside(more))


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


def texts_in(values):
    """Return the texts in lists and dictionaries, which may hold themselves."""
    texts, left, seen = [], list(values), set()
    while left:
        value = left.pop()
        texts += [value] if isinstance(value, str) else []
        if isinstance(value, (list, tuple, dict)) and id(value) not in seen:
            seen.add(id(value))
            left += [*value, *value.values()] if isinstance(value, dict) else value
    return texts


def accepted(lines):
    try:
        check_source(inside("\n".join(lines)))
    except RefusedError:
        return False
    return True


@pytest.mark.law
@given(st.lists(st.tuples(st.sampled_from(STEPS), NAMES, NAMES, NAMES).map(lambda one: one[0].format(*one[1:]))))
def test_numpy_never_gets_a_text(steps):
    lines = ["x = {'a': 1, 'b': 2}", "y = {}", "z = 1"]
    for step in steps:
        lines += [step] if accepted([*lines, step]) else []
    got = []
    names = {"np": SimpleNamespace(array=got.append)}
    exec(inside("\n".join(lines)), names)
    with contextlib.suppress(Exception):  # whatever it is, the program ends there
        names["evaluation_func"](OBSERVATIONS, ACTIONS)
    assert texts_in(got) == []


def test_the_places_of_dtypes_are_numpys():
    functions = {name: getattr(np, name) for name in allowed.NUMPY_FUNCTIONS}
    for name in [name for name, one in functions.items() if not isinstance(one, np.ufunc)]:
        try:
            parameters = inspect.signature(functions[name]).parameters
        except ValueError:  # of functions in C, some versions of NumPy do not tell
            continue
        kind = parameters["dtype"].kind if "dtype" in parameters else inspect.Parameter.KEYWORD_ONLY
        place = None if kind == inspect.Parameter.KEYWORD_ONLY else list(parameters).index("dtype")
        assert name == "arange" or allowed.FUNCTION_DTYPES.get(name) == place
    assert allowed.FUNCTION_DTYPES.keys() <= allowed.NUMPY_FUNCTIONS
    assert allowed.METHOD_DTYPES.keys() <= allowed.METHODS


def test_both_sides_call_the_same_function():
    assert allow_list.ENTRY == worker.ENTRY
