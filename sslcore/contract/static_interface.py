"""The interface of a component, read from its source, so that listing does not import torch.

If the source is not plain (an inherited constructor, a type that the plugin defines), the code is
imported after all, which is slower and never wrong.
"""

from __future__ import annotations

import ast
import builtins
import collections.abc
import importlib.util
import typing
from functools import cache
from pathlib import Path
from typing import Any

import annotated_types

from sslcore.contract.interface import (
    Interface,
    interface_of,
    load_reference,
    supplied_to,
)
from sslcore.contract.settings import REQUIRED, Setting, docstring_arguments

_NAMES: dict[str, object] = {
    **vars(builtins),
    **{name: getattr(typing, name) for name in typing.__all__},
    **{name: getattr(annotated_types, name) for name in annotated_types.__all__},
    "Sequence": collections.abc.Sequence,
    "Mapping": collections.abc.Mapping,
    "annotated_types": annotated_types,
    "at": annotated_types,
    "typing": typing,
}

#: Modules of sslcore that a plugin imports return types from.
_SIGNALS = "sslcore.signals"


#: Bases without parameters of their own.
_PLAIN_BASES = ("nn.Module", "torch.nn.Module", "torch.optim.Optimizer", "Optimizer")


class _Unclear(Exception):
    """The source can't be read without running it."""


def static_interface(reference: str) -> Interface:
    """Return the interface of `"package.module:attribute"`, importing it only if need be.

    Raises:
        SslcoreError: it can neither be read nor imported.
    """
    found = read_interface(reference)
    if found is not None:
        return found
    return interface_of(load_reference(reference))


@cache
def read_interface(reference: str) -> Interface | None:
    """Return the interface that the source shows; None if that would take an import."""
    module_name, _, attribute = reference.partition(":")
    try:
        return _read(module_name, attribute)
    except (_Unclear, SyntaxError, OSError, ImportError, AttributeError, ValueError):
        return None


def _read(module_name: str, attribute: str) -> Interface:
    tree = _parse(module_name)
    names = {**_NAMES, **_constants(tree)}
    definition = _definition(tree, attribute)
    if isinstance(definition, ast.FunctionDef):
        docstring = ast.get_docstring(definition) or ""
        return Interface(settings=_settings(definition, names, docstring, frozenset()))
    lineage = _lineage(definition, tree)
    docstring = next(filter(None, map(ast.get_docstring, lineage)), "")
    constructor = _method(lineage, "__init__")
    forward = _method(lineage, "forward")
    known = supplied_to(is_stage=forward is not None)
    parameters = {} if constructor is None else _settings(constructor, names, docstring, known)
    call = forward or _method(lineage, "__call__")
    supplied = {
        name: parameter.default is REQUIRED
        for name, parameter in parameters.items()
        if name in known
    }
    settings = {name: item for name, item in parameters.items() if name not in known}
    if call is None:
        bases = {ast.unparse(base) for each in lineage for base in each.bases}
        if any(base.endswith("Module") for base in bases):
            raise _Unclear
        # Trackers and optimizers are called by other methods.
        return Interface(settings, supplied)
    return Interface(
        settings=settings,
        supplied=supplied,
        needs={
            argument.arg: default is None
            for argument, default in _arguments(call)
            if argument.arg != "self"
        },
        provides=_provides(call, tree),
    )


@cache
def _parse(module_name: str) -> ast.Module:
    return ast.parse(_source(module_name).read_text(encoding="utf-8"))


def _source(module_name: str) -> Path:
    """Return a module's file. Python itself would import the packages above it to find it."""
    top, *below = module_name.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or (not below and spec.origin is None):
        raise _Unclear
    if not below:
        return Path(str(spec.origin))
    for folder in spec.submodule_search_locations or ():
        base = Path(folder, *below)
        for path in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if path.is_file():
                return path
    raise _Unclear


def _definition(tree: ast.Module, name: str) -> ast.ClassDef | ast.FunctionDef:
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
            return node
    raise _Unclear


def _lineage(definition: ast.ClassDef, tree: ast.Module) -> list[ast.ClassDef]:
    """Return a class and the bases it has in its module; bases from elsewhere are unclear."""
    found = [definition]
    for base in definition.bases:
        name = ast.unparse(base)
        if name in _PLAIN_BASES:
            continue
        parent = _definition(tree, name)
        if not isinstance(parent, ast.ClassDef):
            raise _Unclear
        found += _lineage(parent, tree)
    return found


def _method(lineage: list[ast.ClassDef], name: str) -> ast.FunctionDef | None:
    for definition in lineage:
        for node in definition.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
    return None


def _constants(tree: ast.Module) -> dict[str, object]:
    """Return module-level names whose values are plain, or types built of known names."""
    found: dict[str, object] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = _evaluate(node.value, {**_NAMES, **found})
            except _Unclear:
                continue
    return found


def _arguments(function: ast.FunctionDef) -> list[tuple[ast.arg, ast.expr | None]]:
    positional = [*function.args.posonlyargs, *function.args.args]
    missing = len(positional) - len(function.args.defaults)
    defaults: list[ast.expr | None] = [None] * missing + list(function.args.defaults)
    keyword = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return [*zip(positional, defaults, strict=True), *keyword]


def _settings(
    function: ast.FunctionDef,
    names: dict[str, object],
    docstring: str,
    supplied: frozenset[str],
) -> dict[str, Setting]:
    helps = docstring_arguments(docstring)
    found: dict[str, Setting] = {}
    for argument, default in _arguments(function):
        if argument.arg == "self":
            continue
        annotation = REQUIRED
        if argument.annotation is not None and argument.arg not in supplied:
            annotation = _evaluate(argument.annotation, names)
        found[argument.arg] = Setting(
            argument.arg,
            annotation,
            REQUIRED if default is None else _evaluate(default, names),
            helps.get(argument.arg, ""),
        )
    return found


def _evaluate(node: ast.expr, names: dict[str, object]) -> Any:
    """Evaluate an annotation or default made of known names, numbers and text."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in names:
            raise _Unclear
        if isinstance(part, ast.Call) and not _is_bound(part, names):
            raise _Unclear
        if isinstance(part, (ast.Lambda, ast.Await, ast.NamedExpr, ast.comprehension)):
            raise _Unclear
    try:
        return eval(compile(ast.Expression(node), "<annotation>", "eval"), {}, names)
    except Exception as error:
        raise _Unclear from error


def _is_bound(call: ast.Call, names: dict[str, object]) -> bool:
    """Whether a call makes a bound, such as Gt(0): nothing else is run."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in annotated_types.__all__ and names.get(name) is getattr(annotated_types, name)


def _provides(call: ast.FunctionDef, tree: ast.Module) -> dict[str, bool]:
    if call.returns is None:
        return {}
    name = ast.unparse(call.returns)
    for source in (tree, _parse(_SIGNALS)):
        try:
            definition = _definition(source, name)
        except _Unclear:
            continue
        if not isinstance(definition, ast.ClassDef):
            raise _Unclear
        if [ast.unparse(base) for base in definition.bases] != ["TypedDict"]:
            raise _Unclear
        if definition.keywords:
            raise _Unclear
        return {
            node.target.id: "NotRequired" not in ast.unparse(node.annotation)
            for node in definition.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
    if name in ("Tensor", "torch.Tensor") or "dict" in name:
        return {}
    raise _Unclear
