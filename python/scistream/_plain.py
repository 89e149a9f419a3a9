"""What `_core` refuses is named, with its type, and never shown.

pybind11 repeats all arguments of a call that it refuses, tokens and keys among them. It also takes
bytes for text, None for False, and for a whole number whatever can be cut to one. So each function
of `_core` is replaced here by one that looks at its arguments first, as the signature has them that
pybind11 writes into the docstring.
"""

from __future__ import annotations

import functools
import operator
import os
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from scistream import _core
from scistream._errors import InvalidRequest

if TYPE_CHECKING:
    from scistream._live import Path

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

PARAMETER = re.compile(r"(\w+): (.*?)(?=, \*|, \w+: |\)$|\) ->)")


def given(value: object) -> str:
    """Its type, in words."""
    name = type(value).__name__
    if value is None or isinstance(value, bytes):
        return "None" if value is None else name
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def mistyped(what: str, wanted: str, value: object) -> TypeError:
    """The error for an argument of a wrong type."""
    return TypeError(f"{what}: {wanted} is wanted, not {given(value)}")


def path(value: Path | None, default: Callable[[], Path] = str) -> Path:
    """As `_core` has it: without one it is the default, which is empty where there is none."""
    return default() if value is None or (isinstance(value, str) and not value) else value


def listed(values: Iterable[T]) -> Sequence[T]:
    """A list; text, and what cannot be one, as it is, for a check to refuse."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        return cast("Sequence[T]", values)
    return list(values)


# ---- what is wrong with a value, in words; empty for what fits ----------------------------------


def _no_bool(value: object) -> str:
    kinds = (bool, getattr(sys.modules.get("numpy"), "bool_", bool))
    return "" if isinstance(value, kinds) else given(value)


def _no_whole_number(value: object) -> str:
    return "" if hasattr(type(value), "__index__") else given(value)


def _no_number(value: object) -> str:
    kind = type(value)
    return "" if hasattr(kind, "__float__") or hasattr(kind, "__index__") else given(value)


def _no_text(value: object) -> str:
    return "" if isinstance(value, str) else given(value)


def _no_path(value: object) -> str:
    return "" if isinstance(value, (str, os.PathLike)) else given(value)


def _no_texts(value: object) -> str:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return given(value)
    for each in value:
        if not isinstance(each, str):
            return f"{given(value)} with {given(each)}"
    return ""


def _no_pairs(value: object) -> str:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return given(value)
    for each in value:
        wrong = _no_texts(each)
        if not wrong and len(each) != 2:
            wrong = f"{given(each)} of {len(each)}"
        if wrong:
            return f"{given(value)} with {wrong}"
    return ""


def _no_mapping(value: object) -> str:
    if not isinstance(value, Mapping):
        return given(value)
    for each in (*value.keys(), *value.values()):
        if not isinstance(each, str):
            return f"{given(value)} with {given(each)}"
    return ""


class Kind(NamedTuple):
    """What an argument must be."""

    wanted: str
    wrong: Callable[[object], str]
    """What was given instead; empty for what fits."""

    def check(self, what: str, value: object) -> None:
        """Raises a TypeError that names the argument."""
        if wrong := self.wrong(value):
            raise TypeError(f"{what}: {self.wanted} is wanted, not {wrong}")


TEXT = Kind("a str", _no_text)
TEXTS = Kind("a list of strings", _no_texts)
PATH = Kind("a str or a path", _no_path)
NUMBER = Kind("a number", _no_number)
WHOLE_NUMBER = Kind("an int", _no_whole_number)
BOOL = Kind("a bool", _no_bool)

# The first that a type's name has in it, as an expression. Without one any object will do.
KINDS = {
    r"Sequence\[tuple\[str, str\]\]": Kind("a list of pairs of strings", _no_pairs),
    r"Sequence\[str\]": TEXTS,
    r"Mapping\[str, str\]": Kind("a mapping of strings to strings", _no_mapping),
    r"PathLike\b": PATH,
    r"SupportsFloat\b": NUMBER,
    r"SupportsInt\b": WHOLE_NUMBER,
    r"bool\b": BOOL,
    r"str\b": TEXT,
}


def _kind(name: str) -> Kind | None:
    """Of an argument whose type is called so."""
    kind = next((kind for word, kind in KINDS.items() if re.search(rf"\b{word}", name)), None)
    if kind is None or not name.endswith("| None"):
        return kind
    wrong = kind.wrong
    return Kind(f"{kind.wanted} or None", lambda value: "" if value is None else wrong(value))


# ---- functions ---------------------------------------------------------------------------------


def plain(call: F) -> F:
    """A function of `_core` that raises nothing with an argument's value in it."""
    types_of = dict(PARAMETER.findall((call.__doc__ or "").partition("\n")[0]))
    names = tuple(types_of)
    kinds = {name: kind for name in names if (kind := _kind(types_of[name]))}
    if not kinds and "object" not in types_of.values():
        return call

    @functools.wraps(call)
    def plainly(*words: Any, **named: Any) -> Any:
        by_name = {**dict(zip(names, words)), **named}
        for what, value in by_name.items():
            if what in kinds:
                kinds[what].check(what, value)
        try:
            return call(*words, **named)
        except (TypeError, RuntimeError) as error:
            if not str(error).startswith("Unable to cast") and "Invoked with" not in str(error):
                raise
        # Out here, where what pybind11 has raised is no context of it.
        raise _refused(by_name, kinds)

    return cast(F, plainly)


def _refused(by_name: dict[str, object], kinds: dict[str, Kind]) -> Exception:
    """Why, although the types are right."""
    for what, value in by_name.items():
        if _has_odd_text(value):
            return InvalidRequest(f"{what}: it has half of a surrogate pair")
        if kinds.get(what) is PATH and "\0" in os.fsdecode(cast("Path", value)):
            return InvalidRequest(f"{what}: it has a NUL")
    # How large a number may be is not in the signature.
    large = [what for what, value in by_name.items() if _may_be_too_large(value)]
    if large:
        return InvalidRequest(f"{' or '.join(large)}: out of range")
    return TypeError(f"one of these arguments is not taken: {', '.join(by_name)}")


def _has_odd_text(value: object) -> bool:
    if isinstance(value, Mapping):
        value = (*value.keys(), *value.values())
    if isinstance(value, (list, tuple)):
        return any(map(_has_odd_text, value))
    try:
        if isinstance(value, str):
            value.encode()
    except UnicodeError:
        return True
    return False


def _may_be_too_large(value: object) -> bool:
    try:
        return not 0 <= operator.index(value) < 1 << 31  # type: ignore[arg-type]
    except Exception:  # it is no number, whatever it says
        return False


def _replace_all() -> None:
    for name, value in list(vars(_core).items()):
        if isinstance(value, types.BuiltinFunctionType):
            setattr(_core, name, plain(value))
        elif isinstance(value, type):
            for inner, method in list(vars(value).items()):
                if inner == "__init__" or (callable(method) and not inner.startswith("_")):
                    setattr(value, inner, plain(method))


_replace_all()
