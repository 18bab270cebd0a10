# Copyright: immutable.compose contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which expressions of a test script are machines, as far as that can be seen without running it. PRIVATE."""

from __future__ import annotations

import ast
import typing as t


class MachineNames:
    """Knows the variables of a script that are machines, or several of them.

    A name counts only if all that is ever bound to it does; a parameter of a function, if all its calls are seen.

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
        if isinstance(item, ast.IfExp):
            return self.is_one(item.body) and self.is_one(item.orelse)
        if isinstance(item, ast.Subscript):
            return not isinstance(item.slice, ast.Slice) and self._are_many(item.value)
        name, arguments = _called(item)
        return name in _PICKS and self._are_many(arguments[0])

    def are_all(self, item: ast.expr) -> bool:
        """Whether it is the list of all machines."""
        return isinstance(item, ast.Name) and item.id == "machines" and "machines" in self._many

    def _are_many(self, item: ast.expr) -> bool:
        if isinstance(item, ast.Name):
            return item.id in self._many
        if isinstance(item, (ast.List, ast.Tuple, ast.Set)):
            return bool(item.elts) and all(map(self._is_among, item.elts))
        if isinstance(item, ast.Subscript):
            return isinstance(item.slice, ast.Slice) and self._are_many(item.value)
        if isinstance(item, ast.BinOp):
            return self._are_many(item.left) and self._are_many(item.right)
        if isinstance(item, ast.IfExp):
            return self._are_many(item.body) and self._are_many(item.orelse)
        if isinstance(item, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return self.is_one(item.elt)
        name, arguments = _called(item)
        return name in _KEEPS and self._are_many(arguments[-1 if name == "filter" else 0])

    def _is_among(self, item: ast.expr) -> bool:
        return self._are_many(item.value) if isinstance(item, ast.Starred) else self.is_one(item)

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
#: What is said to be a machine.
_MACHINE = _Bound(ast.parse("machines[0]", mode="eval").body, False)
#: Functions that give one of what they are given, or what has the same in it; those whose results are made of it.
_PICKS = frozenset({"choice", "max", "min", "next"})
_KEEPS = frozenset({"filter", "iter", "list", "reversed", "set", "sorted", "tuple"})
_TOGETHER = frozenset({"combinations", "pairwise", "permutations"})


class _Call(t.NamedTuple):
    """What a function is called with: by place, and by name (``None``: by names that are not seen)."""

    places: t.Sequence[_Bound]
    names: t.Mapping[str | None, _Bound]


def _called(item: ast.expr) -> tuple[str, t.Sequence[ast.expr]]:
    """Name of the function that is called with something, and with what; empty if it is no such call."""
    if isinstance(item, ast.Call) and item.args:
        if isinstance(item.func, ast.Name):
            return item.func.id, item.args
        module = item.func.value if isinstance(item.func, ast.Attribute) else None
        if isinstance(module, ast.Name) and module.id in ("itertools", "random"):
            return t.cast(ast.Attribute, item.func).attr, item.args
    return "", []


def _bindings(tree: ast.Module) -> dict[str, list[_Bound]]:
    """Name → all that is bound to it, in whatever scope."""
    bound: dict[str, list[_Bound]] = {}

    def bind(target: ast.expr, value: _Bound) -> None:
        if isinstance(target, ast.Name):
            bound.setdefault(target.id, []).append(value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for number, element in enumerate(target.elts):
                if isinstance(element, ast.Starred):  # some of what there is
                    bind(element.value, _UNSEEN if value.each else value)
                else:
                    bind(element, _part(value, number, len(target.elts)))

    functions: dict[ast.expr | ast.stmt, ast.arguments] = {}
    for item in ast.walk(tree):
        if isinstance(item, ast.Assign):
            for target in item.targets:
                bind(target, _Bound(item.value, False))
        elif isinstance(item, (ast.AnnAssign, ast.NamedExpr)):
            bind(item.target, _Bound(item.value, False) if item.value else _UNSEEN)
        elif isinstance(item, (ast.For, ast.AsyncFor, ast.comprehension)):
            bind(item.target, _Bound(item.iter, True))
        elif isinstance(item, ast.Lambda):
            functions[item] = item.args
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            functions[item] = item.args
            bound.setdefault(item.name, []).append(_UNSEEN)
        elif isinstance(item, ast.AugAssign):
            bind(item.target, _UNSEEN)
        elif isinstance(item, ast.withitem) and item.optional_vars:
            bind(item.optional_vars, _UNSEEN)
    calls = _calls(tree, bound)
    for function, arguments in functions.items():
        for name, value in _parameters(arguments, calls.get(function, ())):
            bound.setdefault(name, []).append(value)
    return bound


def _calls(tree: ast.Module, bound: t.Mapping[str, t.Sequence[_Bound]]) -> dict[ast.expr | ast.stmt, t.Sequence[_Call]]:
    """Function → its calls, where all of them are seen: nothing else is done with it."""
    found: dict[str | ast.expr, list[_Call]] = {}
    uses: dict[str, int] = {}
    named: dict[ast.expr | ast.stmt, str] = {}
    for item in ast.walk(tree):
        if isinstance(item, ast.Name) and isinstance(item.ctx, ast.Load):
            uses[item.id] = uses.get(item.id, 0) + 1
        elif isinstance(item, ast.FunctionDef) and not item.decorator_list:
            named[item] = item.name
        elif isinstance(item, ast.Assign) and isinstance(item.value, ast.Lambda):
            for target in item.targets:
                if isinstance(target, ast.Name):
                    named[item.value] = target.id
        elif isinstance(item, ast.Call):
            function = item.func
            call = _Call(
                [_Bound(argument, False) for argument in item.args],
                {keyword.arg: _Bound(keyword.value, False) for keyword in item.keywords},
            )
            if isinstance(function, ast.Name) and function.id in ("filter", "map") and item.args:
                function, call = item.args[0], _Call([_Bound(argument, True) for argument in item.args[1:]], {})
            key = function.id if isinstance(function, ast.Name) else function
            found.setdefault(key, []).append(call)
    calls: dict[ast.expr | ast.stmt, t.Sequence[_Call]] = {
        function: found[name]
        for function, name in named.items()
        if len(bound[name]) == 1 and 0 < uses.get(name, 0) == len(found.get(name, ()))
    }
    calls.update({function: values for function, values in found.items() if isinstance(function, ast.Lambda)})
    return calls


def _parameters(args: ast.arguments, calls: t.Sequence[_Call]) -> t.Iterator[tuple[str, _Bound]]:
    """What the parameters of a function are bound to: what calls give, and their default values (``lambda m=m: …``)."""
    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for place, (parameter, default) in enumerate([*zip(positional, defaults), *zip(args.kwonlyargs, args.kw_defaults)]):
        name = parameter.arg
        if isinstance(parameter.annotation, ast.Name) and parameter.annotation.id in ("BaseMachine", "Machine"):
            yield name, _MACHINE
            continue
        if default is not None:
            yield name, _Bound(default, False)
        elif not calls:
            yield name, _UNSEEN
        for places, names in calls:
            given = places[: place + 1] if place < len(positional) else []
            if any(isinstance(value.item, ast.Starred) for value in given):
                yield name, _UNSEEN
            elif len(given) > place:
                yield name, given[place]
            elif name in names or None in names or default is None:
                yield name, names.get(name, _UNSEEN)
    if args.vararg:
        for places, _names in calls or [_Call([_UNSEEN], {})]:
            rest = places[len(positional) :]
            all_ = ast.Tuple([value.item for value in rest], ast.Load())
            yield args.vararg.arg, _UNSEEN if any(value.each for value in rest) else _Bound(all_, False)
    if args.kwarg:
        yield args.kwarg.arg, _UNSEEN


def _part(value: _Bound, number: int, length: int) -> _Bound:
    """What the element of that number of several targets is bound to."""
    item = value.item
    if not value.each:
        if isinstance(item, (ast.Tuple, ast.List)) and len(item.elts) == length:
            return _Bound(item.elts[number], False)
        return _Bound(item, True)
    name, arguments = _called(item)
    if name == "zip" and number < len(arguments):
        return _Bound(arguments[number], True)
    if name in _TOGETHER or (name == "enumerate" and number == 1):
        return _Bound(arguments[0], True)
    return _UNSEEN
