"""The Python package: a page a module, from the signatures and docstrings of what is installed."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import FunctionType, ModuleType

from markup import code, docstring, escaped, page, table

MODULES = ("scistream", "scistream.aio", "scistream.arrays", "scistream.plot")
WIDTH = 88  # of a signature in one line


class NotDocumentedError(Exception):
    """Names that anybody may use have no docstring."""


@dataclass
class Field:
    """What a value object has under a name."""

    name: str
    kind: str
    said: str


def public_names(module: ModuleType) -> list[str]:
    """Those that the module gives to `import *`."""
    return list(module.__all__)


def signature(call: object) -> str:
    """Parameters and result, in a line or one parameter a line."""
    read = inspect.signature(call)  # type: ignore[arg-type]
    parts, keywords_only = [], False
    for each in read.parameters.values():
        if each.name in ("self", "cls"):
            continue
        if each.kind is each.KEYWORD_ONLY and not keywords_only:
            parts.append("*")
        keywords_only |= each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        stars = "*" * ((each.kind is each.VAR_POSITIONAL) + 2 * (each.kind is each.VAR_KEYWORD))
        annotated = "" if each.annotation is each.empty else f": {named(each.annotation)}"
        default = "" if each.default is each.empty else literal(each.default)
        equals = " = " if annotated else "="
        parts.append(f"{stars}{each.name}{annotated}{equals + default if default else ''}")
    result = read.return_annotation
    end = "" if result is read.empty else f" -> {named(result)}"
    line = f"({', '.join(parts)}){end}"
    below = "".join(f"    {part},\n" for part in parts)
    return line if len(line) <= WIDTH else f"(\n{below}){end}"


def literal(value: object) -> str:
    """A default as this package writes it."""
    return json.dumps(value) if isinstance(value, str) else repr(value)


def named(annotation: object) -> str:
    """An annotation as it is written."""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def is_of_the_package(kind: type) -> bool:
    """Whether we wrote it."""
    return kind.__module__.split(".")[0] == "scistream"


def fields(kind: type) -> list[Field]:
    """Those of a dataclass or named tuple, with the text below each."""
    if not (is_dataclass(kind) or hasattr(kind, "_fields")):
        return []
    tree = source(kind)
    found: list[Field] = []
    for node, below in zip(tree.body, [*tree.body[1:], None]):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            said = ""
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                said = str(below.value.value)
            found.append(Field(node.target.id, ast.unparse(node.annotation), said))
    return found


def source(kind: type) -> ast.ClassDef:
    """Where it is written; its `__module__` is where users find it, which may be elsewhere."""
    for module in [each for name, each in sys.modules.items() if name.startswith("scistream")]:
        if vars(module).get(kind.__name__) is kind and str(module.__file__).endswith(".py"):
            for node in ast.parse(inspect.getsource(module)).body:
                if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                    return node
    raise LookupError(f"{kind} has no source")


def members(kind: type) -> dict[str, object]:
    """Methods and properties that are ours, also of what it is derived from, in order.

    Of the names with two underscores only those that say something of themselves.
    """
    found: dict[str, object] = {}
    for base in reversed([each for each in kind.__mro__ if is_of_the_package(each)]):
        for name, value in vars(base).items():
            if isinstance(value, (FunctionType, property, staticmethod, classmethod)) and (
                not name.startswith("_") or is_told_of(name, value)
            ):
                found.pop(name, None)
                found[name] = value
    return found


def is_told_of(name: str, value: object) -> bool:
    """A special method with a docstring of ours; `dataclass` makes some, too."""
    if not isinstance(value, FunctionType) or not re.fullmatch(r"__\w+__", name):
        return False
    ours = "scistream" in Path(value.__code__.co_filename).parts
    return ours and name != "__init__" and bool(value.__doc__)


def undocumented(module: ModuleType) -> Iterator[str]:
    """The public names without a docstring; values cannot have one."""
    for name in public_names(module):
        value = getattr(module, name)
        if inspect.isclass(value):
            if not vars(value).get("__doc__") or is_generated_docstring(value):
                yield name
            for member, of_class in members(value).items():
                if not inspect.getdoc(of_class):
                    yield f"{name}.{member}"
        elif callable(value) and not inspect.getdoc(value):
            yield name


def is_generated_docstring(kind: type) -> bool:
    """A dataclass or named tuple has its signature for one where none is written."""
    return (kind.__doc__ or "").startswith(f"{kind.__name__}(")


def of_class(name: str, kind: type) -> Iterator[str]:
    """A class, its fields, and its members."""
    bases = [base.__name__ for base in kind.__bases__ if is_shown(base)]
    init = vars(kind).get("__init__") or vars(kind).get("__new__")
    made = isinstance(init, FunctionType) and not is_dataclass(kind) and not bases_are_errors(kind)
    yield f"## {name}"
    yield code(f"class {name}{signature(init) if made else ''}".replace(" -> None", ""), "python")
    if bases:
        yield f"A kind of {' and '.join(f'`{base}`' for base in bases)}."
    yield docstring(kind.__doc__ or "")
    if rows := [(f"`{f.name}`", f"`{f.kind}`", escaped(f.said)) for f in fields(kind)]:
        yield table(("field", "type", "what it says"), rows)
    for member, value in members(kind).items():
        yield f"### {name}.{member}"
        if isinstance(value, property):
            result = inspect.signature(value.fget).return_annotation if value.fget else ""
            yield code(f"{member}: {named(result)}", "python")
        else:
            yield code(definition(member, value), "python")
        yield docstring(inspect.getdoc(value) or "")


def is_shown(base: type) -> bool:
    """Whether a reader needs to know that a class is derived from it."""
    return base is not object and not base.__name__.startswith("_") and not is_internal(base)


def is_internal(base: type) -> bool:
    """It is ours, but not the package's to give."""
    return is_of_the_package(base) and base.__module__.rpartition(".")[2].startswith("_")


def bases_are_errors(kind: type) -> bool:
    """Exceptions are caught, and not made, by who reads this."""
    return issubclass(kind, BaseException)


def definition(name: str, value: object) -> str:
    """The line that begins a function."""
    call = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
    asynchronous = inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)
    return f"{'async ' if asynchronous else ''}def {name}{signature(call)}"


def markdown(module: ModuleType) -> str:
    """A module's page. Raises NotDocumentedError."""
    if missing := [f"{module.__name__}.{name}" for name in undocumented(module)]:
        raise NotDocumentedError(f"without a docstring: {', '.join(missing)}")
    parts = [f"# {module.__name__}", docstring(module.__doc__ or "")]
    for name in public_names(module):
        value = getattr(module, name)
        if inspect.isclass(value):
            parts += of_class(name, value)
        elif callable(value):
            parts += [f"## {name}", code(definition(name, value), "python")]
            parts.append(docstring(inspect.getdoc(value) or ""))
        else:
            parts += [f"## {name}", code(f"{name}: {type(value).__name__}", "python")]
    return page(*parts)


def pages() -> dict[str, str]:
    """By the names of their files."""
    return {
        f"{name.replace('.', '-')}.md": markdown(importlib.import_module(name)) for name in MODULES
    }
