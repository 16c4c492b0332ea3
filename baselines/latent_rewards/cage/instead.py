"""What to write instead of what a program may not have; models mend what they are told how to."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# By the name of a node of the syntax tree: how the construct is called, and what to do.
CONSTRUCTS = {
    "While": ("`while`", "use `for i in range(...)` with a fixed count"),
    "Try": ("`try`", "guard the values instead, e.g. np.maximum(x, 1e-8) or np.where(...)"),
    "TryStar": ("`try`", "guard the values instead, e.g. np.maximum(x, 1e-8) or np.where(...)"),
    "JoinedStr": ("an f-string", "leave it out: nothing is printed, and factors are numbers"),
    "TemplateStr": ("a t-string", "leave it out: nothing is printed, and factors are numbers"),
    "Assert": ("`assert`", "leave it out: shapes of inputs and outputs are checked outside"),
    "Raise": ("`raise`", "return a number for every row, e.g. with np.where(...)"),
    "With": ("`with`", "leave it out: NumPy's warnings are off, and there are no files"),
    "Lambda": ("`lambda`", "write a function with `def` above its use"),
    "ClassDef": ("`class`", "use functions and arrays"),
    "AsyncFunctionDef": ("`async def`", "use `def`"),
    "Await": ("`await`", "call functions directly"),
    "AsyncFor": ("`async for`", "use `for`"),
    "AsyncWith": ("`async with`", "leave it out"),
    "Yield": ("`yield`", "collect the factors in a list and return it"),
    "YieldFrom": ("`yield from`", "collect the factors in a list and return it"),
    "Global": ("`global`", "pass values as arguments: calls must not remember anything"),
    "Nonlocal": ("`nonlocal`", "pass values as arguments: calls must not remember anything"),
    "NamedExpr": ("`:=`", "assign on a line of its own"),
    "Match": ("`match`", "use `if` or np.where(...)"),
    "Delete": ("`del`", "leave it out"),
    "Starred": ("`*`", "write the items out, or use np.concatenate"),
    "Set": ("a set", "use a list"),
    "SetComp": ("a set", "use a list"),
    "TypeAlias": ("`type`", "leave it out"),
}
IMPORT = "write `import numpy as np` and nothing else: np has sqrt, exp, pi and the like, as math does"
# By name, of functions and modules that models reach for.
NAMES = {
    "print": "leave it out: nothing is printed",
    "isinstance": "leave it out: observation and action are always float64 arrays of two dimensions",
    "type": "leave it out: observation and action are always float64 arrays of two dimensions",
    "hasattr": "leave it out: observation and action are always float64 arrays of two dimensions",
    "callable": "leave it out: observation and action are always float64 arrays of two dimensions",
    "math": "use np, e.g. np.sqrt, np.exp, np.pi",
    "torch": "use np: observation and action are NumPy arrays",
    "numpy": "write `import numpy as np` and use np",
    "random": "leave it out: the same row must always give the same factors",
    "time": "leave it out: the same row must always give the same factors",
    "map": "use a list comprehension",
    "filter": "use a list comprehension",
    "set": "use a list",
    "dict": "write {...}",
    "str": "leave it out: factors are numbers",
    "slice": "write x[:, a:b]",
    "divmod": "use // and %",
    "__name__": "leave test code out: only the functions are used",
}
NUMPY = {
    "random": "leave it out: the same row must always give the same factors",
    "empty": "use np.zeros",
    "empty_like": "use np.zeros_like",
    "copy": "use x.copy()",
    "errstate": "leave it out: NumPy's warnings are off",
    "seterr": "leave it out: NumPy's warnings are off",
    "ndarray": "use np.array or np.zeros",
    "matrix": "use np.array",
    "vectorize": "work on whole arrays",
    "apply_along_axis": "use the argument axis=1 of np.sum, np.max and the like",
    "piecewise": "use np.where or np.select",
    "unique": "use np.isclose with each value",
    "nonzero": "use np.where(condition, a, b): there must be one value per row",
    "finfo": "write the number, e.g. 1e-8",
    "isscalar": "leave it out: observation and action are always float64 arrays of two dimensions",
    "bool": "use np.bool_",
    "float": "use np.float64",
    "fft": "use sums of np.sin and np.cos",
}


def instead(table: dict[str, str], name: str, choices: Iterable[str]) -> str:
    """Return what to do about a name: what the table says, or the nearest of what there is."""
    near = difflib.get_close_matches(name, sorted(choices), n=2, cutoff=0.7)
    return table.get(name) or (f"did you mean {' or '.join(near)}?" if near else "do without it")
