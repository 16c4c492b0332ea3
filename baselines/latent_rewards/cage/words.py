"""Words as keys: a program may name the items of a dictionary, but a word is never more than a key.

NumPy and Python do more with a text than look it up: they read types, times ("now") and formats from it. So two kinds
of names are told apart, in the whole program: those of dictionaries that have words as keys, and those of the keys in a
loop over one. The first are made by `name = {...}`, and read item by item, by `.values()`, or by such a loop; the
second stand between brackets, or before a colon of another such dictionary. Neither is handed on, so no other name has
them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import NoneType

_LOOPS = (ast.For, ast.comprehension)
_DISPLAYS = (ast.Dict, ast.DictComp)
_USES = (
    'read it by d["word"], d.get, d.values(), len(d) or `for name, value in d.items():`, and make it by `d = {...}` '
    "with a name of its own"
)


@dataclass
class _Words:
    """What is known of words.

    Attributes:
        parents: Of each node of the tree.
        dictionaries: Names of dictionaries with words as keys.
        keys: Names that loops over these give to their keys.
    """

    parents: dict[ast.AST, ast.AST]
    dictionaries: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    def is_word(self, node: ast.AST | None) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self.keys
        return isinstance(node, ast.Constant) and isinstance(node.value, str)

    def is_dictionary(self, node: ast.AST | None) -> bool:
        """Return whether a node is a dictionary with words as keys, or the name of one."""
        if isinstance(node, ast.Dict):
            return any(self.is_word(key) for key in node.keys)
        if isinstance(node, ast.DictComp):
            return self.is_word(node.key)
        return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in self.dictionaries


def problems(tree: ast.Module) -> Iterator[tuple[ast.AST, str, str]]:
    """Yield where a word could become a value: the node, what is not allowed, and what to do instead."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    words = _Words(parents)
    _find(tree, words)
    for node in ast.walk(tree):
        if words.is_dictionary(node) and not (_is_read(node, words) or _is_named(node, words)):
            yield node, "this use of a dictionary with words as keys", _USES
        elif isinstance(node, ast.Name):
            yield from _of_name(node, words)
        elif isinstance(node, ast.arg) and node.arg in words.dictionaries:
            yield node, f"the dictionary {node.arg} as an argument", "give the argument another name"
        elif not isinstance(_stored_in(node, words), (ast.Name, NoneType)):
            yield node, "a word as a key of what has no name", "give the dictionary a name: d = {}"


def _find(tree: ast.Module, words: _Words) -> None:
    """Find the names, until there are no more: each may be the reason for another."""
    nodes = [one for one in ast.walk(tree) if isinstance(one, (ast.Assign, ast.AnnAssign, ast.Subscript, *_LOOPS))]
    found = -1
    while found < len(words.dictionaries) + len(words.keys):
        found = len(words.dictionaries) + len(words.keys)
        for node in nodes:
            _note(node, words)


def _note(node: ast.AST, words: _Words) -> None:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and words.is_dictionary(node.value):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        words.dictionaries.update(target.id for target in targets if isinstance(target, ast.Name))
    elif isinstance(stored := _stored_in(node, words), ast.Name):
        words.dictionaries.add(stored.id)
    elif isinstance(node, _LOOPS):
        key = _key_of(node, words)
        words.keys.update([key.id] if key is not None else [])


def _stored_in(node: ast.AST, words: _Words) -> ast.expr | None:
    """Return what gets a word as a key by `x["word"] = ...`, if a node is such a place."""
    stored = isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and words.is_word(node.slice)
    return node.value if stored and isinstance(node, ast.Subscript) else None


def _key_of(loop: ast.For | ast.comprehension, words: _Words) -> ast.Name | None:
    """Return the name that a loop over a dictionary with words as keys gives to the keys."""
    over, way = loop.iter, "keys"
    if isinstance(over, ast.Call) and isinstance(called := over.func, ast.Attribute):
        over, way = called.value, called.attr
    target: ast.AST = loop.target
    if way == "items" and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        target = target.elts[0]
    elif way != "keys":
        return None
    return target if words.is_dictionary(over) and isinstance(target, ast.Name) else None


def _is_read(node: ast.AST, words: _Words) -> bool:
    """Return whether a dictionary is read item by item, so that it and its keys get no further name."""
    above = words.parents[node]
    if isinstance(above, ast.Subscript):
        return above.value is node
    if isinstance(above, ast.Call):
        return isinstance(above.func, ast.Name) and above.func.id == "len"
    if isinstance(above, ast.Attribute):
        return above.attr in ("get", "values") or _is_looped(words.parents[above], words)
    return _is_looped(node, words)


def _is_looped(node: ast.AST, words: _Words) -> bool:
    """Return whether a loop goes over a node, and gives a name to each key."""
    loop = words.parents[node]
    return isinstance(loop, _LOOPS) and loop.iter is node and _key_of(loop, words) is not None


def _is_named(node: ast.AST, words: _Words) -> bool:
    """Return whether a node is new, and the whole of what a name is given."""
    above = words.parents[node]
    targets = (
        above.targets if isinstance(above, ast.Assign) else [above.target] if isinstance(above, ast.AnnAssign) else []
    )
    return isinstance(node, _DISPLAYS) and len(targets) == 1 and isinstance(targets[0], ast.Name)


def _of_name(node: ast.Name, words: _Words) -> Iterator[tuple[ast.AST, str, str]]:
    above = words.parents[node]
    if isinstance(node.ctx, ast.Store):
        value = above.value if isinstance(above, (ast.Assign, ast.AnnAssign)) else None
        if node.id in words.dictionaries and not (value is not None and _is_named(value, words)):
            yield node, f"another meaning for the dictionary {node.id}", "choose another name"
    elif node.id in words.keys and not _looks_up(node, above):
        yield node, f"the word {node.id} as a value", "use it as a key alone, as in d[name], or choose another name"


def _looks_up(node: ast.Name, above: ast.AST) -> bool:
    if isinstance(above, ast.Subscript):
        return above.slice is node
    if isinstance(above, ast.Call):
        called = above.func
        return isinstance(called, ast.Attribute) and called.attr == "get" and above.args[:1] == [node]
    return (isinstance(above, ast.DictComp) and above.key is node) or (
        isinstance(above, ast.Dict) and node in above.keys
    )
