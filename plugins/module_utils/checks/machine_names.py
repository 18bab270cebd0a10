# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which expressions of a test script are machines, as far as that can be seen without running it. PRIVATE."""

from __future__ import annotations

import ast
import typing as t


class MachineNames:
    """Knows the variables of a script that are machines, or several of them.

    A name counts only if all that is ever bound to it does.

    :param nodes: variables that stand for nodes.
    :param assigned: names that the script gives a meaning itself.
    """

    def __init__(self, tree: ast.Module, nodes: t.Iterable[str], assigned: t.Collection[str]) -> None:
        self._ones = {name for name in nodes if name not in assigned}
        self._many = {"machines"} - set(assigned)
        # ``lambda m=m: …`` says nothing new of the name.
        bound = {
            name: [value for value in values if not (isinstance(value.item, ast.Name) and value.item.id == name)]
            for name, values in _bindings(tree).items()
        }
        unknown = set(assigned) - bound.keys()
        self._settle({name: values for name, values in bound.items() if name not in unknown})

    def is_one(self, item: ast.expr) -> bool:
        """Whether it is a machine."""
        if isinstance(item, ast.NamedExpr):
            return self.is_one(item.value)
        if isinstance(item, ast.Name):
            return item.id in self._ones
        return isinstance(item, ast.Subscript) and not isinstance(item.slice, ast.Slice) and self.are_all(item.value)

    def are_all(self, item: ast.expr) -> bool:
        """Whether it is the list of all machines."""
        return isinstance(item, ast.Name) and item.id == "machines" and "machines" in self._many

    def _are_many(self, item: ast.expr) -> bool:
        if isinstance(item, ast.Name):
            return item.id in self._many
        if isinstance(item, (ast.List, ast.Tuple, ast.Set)):
            return bool(item.elts) and all(map(self.is_one, item.elts))
        if isinstance(item, ast.Subscript):
            return isinstance(item.slice, ast.Slice) and self._are_many(item.value)
        if isinstance(item, ast.BinOp):
            return self._are_many(item.left) and self._are_many(item.right)
        if isinstance(item, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self.is_one(item.elt)
        return (
            isinstance(item, ast.Call)
            and isinstance(item.func, ast.Name)
            and item.func.id in ("filter", "list", "reversed", "set", "sorted", "tuple")
            and bool(item.args)
            and self._are_many(item.args[-1] if item.func.id == "filter" else item.args[0])
        )

    def _gives_one(self, value: _Bound) -> bool:
        return self._are_many(value.item) if value.each else self.is_one(value.item)

    def _settle(self, bound: t.Mapping[str, t.Sequence[_Bound]]) -> None:
        """One name may hang on another."""
        before = -1
        while before != len(self._ones) + len(self._many):
            before = len(self._ones) + len(self._many)
            for name, values in bound.items():
                if values and all(map(self._gives_one, values)):
                    self._ones.add(name)
                elif values and all(not value.each and self._are_many(value.item) for value in values):
                    self._many.add(name)


class _Bound(t.NamedTuple):
    """What a name is bound to: an expression, or each of what that holds in turn."""

    item: ast.expr
    each: bool


#: Bound to something that nobody can see.
_UNSEEN = _Bound(ast.Constant(None), False)


def _bindings(tree: ast.Module) -> dict[str, list[_Bound]]:
    """Name → all that is bound to it, in whatever scope."""
    bound: dict[str, list[_Bound]] = {}

    def bind(target: ast.expr, value: _Bound) -> None:
        if isinstance(target, ast.Name):
            bound.setdefault(target.id, []).append(value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for number, element in enumerate(target.elts):
                bind(element, _part(value, number, len(target.elts)))
        elif isinstance(target, ast.Starred):
            bind(target.value, _UNSEEN)

    for item in ast.walk(tree):
        if isinstance(item, ast.Assign):
            for target in item.targets:
                bind(target, _Bound(item.value, False))
        elif isinstance(item, (ast.AnnAssign, ast.NamedExpr)):
            bind(item.target, _Bound(item.value, False) if item.value else _UNSEEN)
        elif isinstance(item, (ast.For, ast.AsyncFor, ast.comprehension)):
            bind(item.target, _Bound(item.iter, True))
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            _bind_arguments(item.args, bound)
            if not isinstance(item, ast.Lambda):
                bound.setdefault(item.name, []).append(_UNSEEN)
        elif isinstance(item, ast.AugAssign):
            bind(item.target, _UNSEEN)
        elif isinstance(item, ast.withitem) and item.optional_vars:
            bind(item.optional_vars, _UNSEEN)
    return bound


def _bind_arguments(args: ast.arguments, bound: dict[str, list[_Bound]]) -> None:
    """A default value says what an argument is (``lambda m=m: …``); of others nobody knows."""
    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for argument, default in [*zip(positional, defaults), *zip(args.kwonlyargs, args.kw_defaults)]:
        bound.setdefault(argument.arg, []).append(_Bound(default, False) if default else _UNSEEN)
    for argument in filter(None, (args.vararg, args.kwarg)):
        bound.setdefault(argument.arg, []).append(_UNSEEN)


def _part(value: _Bound, number: int, length: int) -> _Bound:
    """What the element of that number of several targets is bound to."""
    item = value.item
    if not value.each and isinstance(item, (ast.Tuple, ast.List)) and len(item.elts) == length:
        return _Bound(item.elts[number], False)
    call = item if value.each and isinstance(item, ast.Call) and isinstance(item.func, ast.Name) else None
    if call is not None and isinstance(call.func, ast.Name):
        if call.func.id == "enumerate" and number == 1 and call.args:
            return _Bound(call.args[0], True)
        if call.func.id == "zip" and number < len(call.args):
            return _Bound(call.args[number], True)
    return _UNSEEN
