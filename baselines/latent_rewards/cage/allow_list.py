"""The allow-list: reads a program without running it, and refuses all that is not known to be harmless.

It lists what may be in the syntax tree, not what may not. A program that passes computes with numbers: it holds no
module, no function, no type and no text as a value, and has no attribute but the few of arrays and lists that `allowed`
names. Where words may stand as keys of dictionaries, `words` knows.
It is the first of several walls, and the one that tells the program's author what to write instead.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bagged_envs.baselines.latent_rewards.cage import words
from bagged_envs.baselines.latent_rewards.cage.allowed import (
    ATTRIBUTES,
    BUILTIN_TYPES,
    BUILTINS,
    DTYPE_WORDS,
    KEYWORDS,
    LINALG,
    METHODS,
    NUMPY_CONSTANTS,
    NUMPY_FUNCTIONS,
    NUMPY_TYPES,
    WORDS,
)
from bagged_envs.baselines.latent_rewards.cage.errors import RefusedError
from bagged_envs.baselines.latent_rewards.cage.instead import CONSTRUCTS, IMPORT, NAMES, NUMPY, instead
from bagged_envs.baselines.latent_rewards.cage.text import check_text, normalized, not_python

ENTRY = "evaluation_func"
MOST_NODES = 4000
DEEPEST = 120  # of the tree: a sum of so many terms
LARGEST = 10**9  # of whole numbers in the text
MOST_TOLD = 8  # problems in one message
_NUMPY_CALLS = NUMPY_FUNCTIONS | NUMPY_TYPES
_RESERVED = BUILTINS | {"np", "numpy", "math"}
_TOP = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.AnnAssign)

# What may be in the tree, besides what has a reader of its own (`_READERS`).
_PLAIN = frozenset(
    {
        *(ast.Return, ast.Assign, ast.AugAssign, ast.For, ast.If, ast.Pass, ast.Break, ast.Continue),
        *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Compare, ast.List, ast.Tuple, ast.Slice),
        *(ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.comprehension, ast.Load, ast.Store),
    }
)


@dataclass
class _Reading:
    """What is known of the program while it is read.

    Attributes:
        values: Names that it binds to values, anywhere.
        functions: Names that it gives to functions, anywhere.
        ready: Functions that are defined above the place that is read: only these may be called, so none calls itself.
        problems: What was found: line, text.
    """

    values: frozenset[str]
    functions: frozenset[str]
    ready: frozenset[str] = frozenset()
    problems: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, node: ast.AST, what: str, remedy: str) -> None:
        self.problems.append((getattr(node, "lineno", 1), f"{what} is not allowed; {remedy}."))


def check_source(text: str) -> None:
    """Check that a program has nothing in it that is not on the allow-list; nothing is run.

    Args:
        text: Python that defines `evaluation_func(observation, action)`.

    Raises:
        RefusedError: It has; the text names line, construct and remedy, of the first few.
    """
    text = normalized(text)
    check_text(text)
    tree = _parsed(text)
    _check_size(tree)
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    reading = _Reading(frozenset(_bound(tree)), frozenset(names))
    _read_module(tree, reading)
    for problem in words.problems(tree):
        reading.refuse(*problem)
    if reading.problems:
        found = list(dict.fromkeys(sorted(reading.problems)))
        more = [f"... and {len(found) - MOST_TOLD} more."] if len(found) > MOST_TOLD else []
        raise RefusedError("\n".join([f"line {line}: {what}" for line, what in found[:MOST_TOLD]] + more))


def _parsed(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # e.g. of "\d" in a docstring, which harms nobody
            return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise RefusedError(not_python(error)) from error
    except (RecursionError, MemoryError) as error:
        raise RefusedError("line 1: an expression is nested too deeply; split it over more lines.") from error


def _check_size(tree: ast.Module) -> None:
    """Check the tree level by level, without recursion."""
    level: list[ast.AST] = [tree]
    nodes = depth = 0
    while level:
        nodes, depth = nodes + len(level), depth + 1
        if nodes > MOST_NODES:
            raise RefusedError(f"line 1: the program has more than {MOST_NODES} parts; write a shorter one.")
        if depth > DEEPEST:
            line = next((node.lineno for node in level if isinstance(node, (ast.expr, ast.stmt))), 1)
            raise RefusedError(f"line {line}: nested more than {DEEPEST} deep; split it over more lines.")
        level = [child for node in level for child in ast.iter_child_nodes(node)]


def _bound(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _read_module(tree: ast.Module, reading: _Reading) -> None:
    for statement in tree.body:
        if isinstance(statement, _TOP) or _is_text(statement) or type(statement).__name__ in CONSTRUCTS:
            _read(statement, reading)
        else:
            reading.refuse(statement, "code outside of functions", f"put it into {ENTRY}, or leave test code out")
    entries = [one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == ENTRY]
    if len(entries) != 1:
        came = "two" if entries else "none"
        reading.problems.append((1, f"there must be one function {ENTRY}(observation, action), got {came}; write one."))
    for entry in entries:
        if len(entry.args.args) != 2:
            reading.refuse(entry, f"{ENTRY} with other arguments", f"write `def {ENTRY}(observation, action):`")


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and _is_word(statement.value)


def _is_word(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _read(node: ast.AST | None, reading: _Reading) -> None:
    """Read a node: by its reader if it has one, else its children if it is plain, else refuse it."""
    if node is None:
        return
    if type(node) in _READERS:
        _READERS[type(node)](node, reading)
    elif type(node) in _PLAIN or isinstance(node, (ast.operator, ast.unaryop, ast.cmpop, ast.boolop)):
        for child in ast.iter_child_nodes(node):
            _read(child, reading)
    else:
        kind = type(node).__name__
        reading.refuse(node, *CONSTRUCTS.get(kind, (f"`{kind}`", "do without it")))


def _read_import(node: ast.Import, reading: _Reading) -> None:
    if [(name.name, name.asname) for name in node.names] != [("numpy", "np")]:
        reading.refuse(node, f"`{ast.unparse(node)}`", IMPORT)


def _read_import_from(node: ast.ImportFrom, reading: _Reading) -> None:
    reading.refuse(node, f"`{ast.unparse(node)}`", IMPORT)


def _read_function(node: ast.FunctionDef, reading: _Reading) -> None:
    """Read a function. Annotations are not read: the worker compiles the program so that they are never evaluated."""
    if node.decorator_list or getattr(node, "type_params", []):
        reading.refuse(node, f"a decorator or type parameter of {node.name}", "leave it out")
    arguments = node.args
    if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.posonlyargs or arguments.defaults:
        reading.refuse(node, f"{node.name} with defaults, `*` or `/`", "give it plain arguments")
    if node.name in reading.ready:
        reading.refuse(node, f"a second function {node.name}", "give it another name")
    _check_bound(node, node.name, reading)
    for argument in arguments.args:
        _check_bound(argument, argument.arg, reading, reading.functions)
    above = reading.ready
    for statement in node.body:
        _read(statement, reading)
    reading.ready = above | {node.name}


def _check_bound(node: ast.AST, name: str, reading: _Reading, taken: frozenset[str] = frozenset()) -> None:
    if name in _RESERVED | taken or name.startswith("__"):
        reading.refuse(node, f"a new meaning for the name {name}", "choose another name")


def _read_name(node: ast.Name, reading: _Reading) -> None:
    if isinstance(node.ctx, ast.Store):
        _check_bound(node, node.id, reading, reading.functions)
    elif node.id in reading.functions | BUILTINS:
        reading.refuse(node, f"the function {node.id} without a call", f"call it: {node.id}(...)")
    elif node.id == "np":
        reading.refuse(node, "np without a function", "write np.sum and the like")
    elif node.id not in reading.values or node.id in NAMES or node.id.startswith("__"):
        reading.refuse(node, f"the name {node.id}", instead(NAMES, node.id, reading.values | BUILTINS))


def _read_attribute(node: ast.Attribute, reading: _Reading) -> None:
    if not isinstance(node.ctx, ast.Load):
        reading.refuse(node, f"setting .{node.attr}", "make a new array instead")
    elif _is_numpy(node.value):
        if node.attr not in NUMPY_CONSTANTS:
            known = node.attr in _NUMPY_CALLS
            remedy = f"call it: np.{node.attr}(...)" if known else _numpy_remedy(node.attr)
            reading.refuse(node, f"np.{node.attr}{' without a call' if known else ''}", remedy)
    else:
        if node.attr not in ATTRIBUTES:
            remedy = f"call it: .{node.attr}(...)" if node.attr in METHODS else "use a function of np"
            reading.refuse(node, f".{node.attr}", remedy)
        _read(node.value, reading)


def _is_numpy(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "np"


def _numpy_remedy(name: str) -> str:
    return instead(NUMPY, name, _NUMPY_CALLS | NUMPY_CONSTANTS)


def _read_call(node: ast.Call, reading: _Reading) -> None:
    name = _called(node, reading)
    arguments = node.args
    if name == ".astype" and arguments:
        _read_dtype(arguments[0], reading)
        arguments = arguments[1:]
    elif name in ("np.einsum", ".get") and arguments and _is_word(arguments[0]):
        arguments = arguments[1:]
    for argument in arguments:
        _read(argument, reading)
    for keyword in node.keywords:
        _read_keyword(keyword, name in reading.functions, reading)


def _called(node: ast.Call, reading: _Reading) -> str:
    """Return the name of what is called, or refuse it: `f`, `np.f`, `.f`."""
    called = node.func
    if isinstance(called, ast.Name):
        if called.id in reading.functions - reading.ready:
            reading.refuse(node, f"{called.id}(...) above its end", "define it before its use, without recursion")
        elif called.id not in reading.functions | BUILTINS:
            reading.refuse(node, f"{called.id}(...)", instead(NAMES, called.id, BUILTINS | reading.functions))
        return called.id
    if not isinstance(called, ast.Attribute):
        reading.refuse(node, "a call of what is no name", "call np.f(...), x.f(...) or f(...)")
        return ""
    return _called_attribute(called, reading)


def _called_attribute(called: ast.Attribute, reading: _Reading) -> str:
    inner = called.value
    if isinstance(inner, ast.Attribute) and _is_numpy(inner.value) and inner.attr not in NUMPY_CONSTANTS:
        return _called_below(called, inner.attr, reading)
    if _is_numpy(inner):
        if called.attr not in _NUMPY_CALLS:
            reading.refuse(called, f"np.{called.attr}", _numpy_remedy(called.attr))
        return f"np.{called.attr}"
    if called.attr not in METHODS:
        reading.refuse(called, f".{called.attr}(...)", instead({}, called.attr, METHODS))
    _read(inner, reading)
    return f".{called.attr}"


def _called_below(called: ast.Attribute, module: str, reading: _Reading) -> str:
    """Return the name of what is called in a module of NumPy, or refuse it."""
    if module != "linalg":
        reading.refuse(called, f"np.{module}", _numpy_remedy(module))
    elif called.attr not in LINALG:
        reading.refuse(called, f"np.linalg.{called.attr}", "np.linalg has norm only: do without it")
    return f"np.{module}.{called.attr}"


def _read_keyword(keyword: ast.keyword, own: bool, reading: _Reading) -> None:
    if keyword.arg is None:
        reading.refuse(keyword, "`**`", "write the arguments out")
    elif not own and keyword.arg not in KEYWORDS:
        reading.refuse(keyword, f"the argument {keyword.arg}=", instead({}, keyword.arg, KEYWORDS))
    if keyword.arg == "dtype":
        _read_dtype(keyword.value, reading)
    elif own or keyword.arg not in WORDS or not _is_word(keyword.value):
        _read(keyword.value, reading)


def _read_dtype(node: ast.expr, reading: _Reading) -> None:
    if isinstance(node, ast.Name) and node.id in BUILTIN_TYPES:
        return
    if isinstance(node, ast.Attribute) and _is_numpy(node.value) and node.attr in NUMPY_TYPES:
        return
    if isinstance(node, ast.Constant) and node.value in DTYPE_WORDS:
        return
    if isinstance(node, ast.Attribute) and node.attr == "dtype":
        _read(node, reading)
        return
    reading.refuse(node, f"the dtype {ast.unparse(node)}", "use np.float64, float, np.int64, int or bool")


def _read_constant(node: ast.Constant, reading: _Reading) -> None:
    if isinstance(node.value, str):
        reading.refuse(node, "text", "use numbers; words are for docstrings and for keys of {...}")
    elif isinstance(node.value, (bytes, complex)):
        reading.refuse(node, f"a constant of type {type(node.value).__name__}", "use real numbers")
    elif isinstance(node.value, int) and node.value > LARGEST:
        reading.refuse(node, f"a whole number above {LARGEST}", "use a smaller one, or a float such as 1e12")


def _read_expression(node: ast.Expr, reading: _Reading) -> None:
    if not _is_text(node):
        _read(node.value, reading)


def _read_annotated(node: ast.AnnAssign, reading: _Reading) -> None:
    """Read `x: float = 1.0`. With a bare name as its target the annotation is not evaluated, as those of arguments."""
    if not isinstance(node.target, ast.Name) or node.value is None:
        reading.refuse(node, "an annotation without a value", "write `name = value`")
        return
    _read(node.target, reading)
    _read(node.value, reading)


def _read_dict(node: ast.Dict, reading: _Reading) -> None:
    for key, value in zip(node.keys, node.values, strict=True):
        if key is None:
            reading.refuse(value, "`**`", "write the items out")
        elif not _is_word(key):
            _read(key, reading)
        _read(value, reading)


def _read_subscript(node: ast.Subscript, reading: _Reading) -> None:
    _read(node.value, reading)
    if not _is_word(node.slice):
        _read(node.slice, reading)


_READERS: dict[type[ast.AST], Callable[..., None]] = {
    ast.Import: _read_import,
    ast.ImportFrom: _read_import_from,
    ast.FunctionDef: _read_function,
    ast.Name: _read_name,
    ast.Attribute: _read_attribute,
    ast.Call: _read_call,
    ast.Constant: _read_constant,
    ast.Expr: _read_expression,
    ast.AnnAssign: _read_annotated,
    ast.Dict: _read_dict,
    ast.Subscript: _read_subscript,
}
