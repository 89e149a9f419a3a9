"""Frames: how `scistream.arrays` writes a message. Nothing here waits or touches a socket.

The layout is in the docstring of `scistream.arrays`.
"""

from __future__ import annotations

import json
import mmap
import re
import struct
import sys
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from scistream._errors import InvalidRequest, InvalidState
from scistream._plain import mistyped

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Buffer

MAGIC = b"\x93SCA"
VERSION = 1
END, BYTES, ARRAY, CLOSE = range(4)
PREAMBLE = struct.Struct("<4sBBHQ")  # magic, version, kind, bytes of header, bytes of payload

MOST_HEADER = 0xFFFF
MOST_DIMENSIONS = 32  # of NumPy 1
MOST_NESTING = 8
MOST_SIZE = (1 << 63) - 1
LAZY = 1 << 20  # from here on memory is taken as bytes come, not when they are announced

END_FRAME = PREAMBLE.pack(MAGIC, VERSION, END, 0, 0)
CLOSE_FRAME = PREAMBLE.pack(MAGIC, VERSION, CLOSE, 0, 0)

# Long doubles are left out: machines disagree on what one is.
_ITEM = re.compile(
    r"[<>|]([biu]1|S[1-9][0-9]{0,9}|V[1-9][0-9]{0,9})"
    r"|[<>]([iu][248]|f[248]|c8|c16|U[1-9][0-9]{0,9}"
    r"|[mM]8(\[([1-9][0-9]{0,8})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)


class BadFrame(InvalidRequest):
    """What came is no frame; nothing more can be received on this connection."""


class Frame(NamedTuple):
    """A message with what was sent along."""

    data: Any
    """An array, or bytes; with `out=` that object."""
    meta: dict[str, Any]
    """Empty if nothing was."""


class Head(NamedTuple):
    """A frame without its payload."""

    kind: int
    size: int
    """Bytes of payload."""
    dtype: np.dtype[Any] | None
    """None unless it is an array."""
    shape: tuple[int, ...]
    meta: dict[str, Any]

    def __str__(self) -> str:
        what = "" if self.dtype is None else f"an array of {self.dtype} and shape {self.shape}, "
        return f"{what}{self.size} byte{'' if self.size == 1 else 's'}"


# ---- writing -----------------------------------------------------------------------------------


def pack(
    data: Buffer | np.ndarray[Any, Any] | np.generic, meta: Mapping[str, Any] | None = None
) -> list[memoryview]:
    """A frame's beginning, and its payload unless that is empty: the memory of `data` itself.

    The payload is a copy only where `data` is not C-contiguous.

    Raises:
        TypeError: `data` is neither an array nor a buffer.
        InvalidRequest: Its dtype, or `meta`, cannot be sent.
        InvalidState: It needs numpy, which is not there.

    """
    array = _as_array(data)
    if array is None:
        view = memoryview(data)  # type: ignore[arg-type]
        if not view.c_contiguous:
            view = memoryview(view.tobytes())
        if view.format != "B" and view.nbytes:
            view = view.cast("B")
        parts = []
        kind = BYTES
    else:
        parts = [_described(array.dtype, array.shape)]
        view = raw(array)
        kind = ARRAY
    if meta:
        parts.append(f'"meta":{_json(meta)}')
    header = b"{%s}" % ",".join(parts).encode("ascii") if parts else b""
    if len(header) > MOST_HEADER:
        raise InvalidRequest(
            f"dtype, shape and metadata take {len(header)} bytes, {MOST_HEADER} at most: "
            "send more as a message of its own"
        )
    begin = PREAMBLE.pack(MAGIC, VERSION, kind, len(header), view.nbytes) + header
    return [memoryview(begin), view] if view.nbytes else [memoryview(begin)]


def _as_array(data: object) -> np.ndarray[Any, Any] | None:
    """The array to send, C-contiguous; None for bytes."""
    # Whoever has an array has imported it.
    numpy = sys.modules.get("numpy")
    kinds = getattr(numpy, "ndarray", ()), getattr(numpy, "generic", ())
    if isinstance(data, kinds):
        masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())
        if isinstance(data, masked):
            raise InvalidRequest("a masked array: send its .data and its .mask")
    else:
        try:
            view = memoryview(data)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(
                f"neither an array nor a buffer: {type(data).__name__}; numpy.asarray() may help"
            ) from None
        if view.ndim == 1 and view.format in ("B", "c"):
            return None
        data = view
    numpy = numpy_for("typed buffers")
    array: np.ndarray[Any, Any] = numpy.asarray(data)
    if array.flags.c_contiguous:
        return array
    copy: np.ndarray[Any, Any] = numpy.zeros(
        array.shape, array.dtype
    )  # padding shows nothing of this memory
    copy[...] = array
    return copy


def raw(array: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of a C-contiguous array; memoryview alone refuses times and some structures."""
    return array.reshape(-1).view("u1").data


def _describe(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    """Dtype and shape as JSON, if whoever reads that gets these."""
    if len(shape) > MOST_DIMENSIONS:
        raise InvalidRequest(f"{len(shape)} dimensions, {MOST_DIMENSIONS} at most")
    try:
        text = json.dumps(dtype.str if dtype.names is None else dtype.descr)
        if _dtype(json.loads(text)) == dtype:
            return f'"dtype":{text},"shape":{json.dumps(shape)}'
        why = "it has titles, or is no dtype of NumPy's own"
    except (ValueError, TypeError) as error:
        why = str(error)
    raise InvalidRequest(f"arrays of {dtype} cannot be sent: {why}")


_described = lru_cache(maxsize=256)(_describe)


def _json(meta: Mapping[str, Any]) -> str:
    if not isinstance(meta, Mapping):
        raise mistyped("meta", "a dict", meta)
    try:
        if not all(isinstance(name, str) for name in meta):
            raise TypeError("names must be strings")
        return json.dumps(dict(meta), allow_nan=False, separators=(",", ":"), default=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"meta: {error}") from None


def _plain(value: object) -> object:
    """A NumPy scalar as Python's own."""
    if isinstance(value, getattr(sys.modules.get("numpy"), "generic", ())):
        return value.item()  # type: ignore[attr-defined]
    raise TypeError(f"{type(value).__name__} is not JSON")


# ---- reading -----------------------------------------------------------------------------------


def begin(data: memoryview) -> tuple[int, int, int]:
    """Kind, bytes of header and bytes of payload, from a frame's first 16 bytes.

    Raises:
        BadFrame: These bytes begin no frame.

    """
    magic, version, kind, header, payload = PREAMBLE.unpack_from(data)
    if magic != MAGIC:
        raise BadFrame(f"no frame of scistream.arrays: {bytes(data[: PREAMBLE.size])!r}")
    if version != VERSION:
        raise BadFrame(f"a frame of version {version}; this side knows version {VERSION}")
    if kind not in (END, BYTES, ARRAY, CLOSE):
        raise BadFrame(f"a frame of kind {kind}")
    if kind in (END, CLOSE) and (header or payload):
        raise BadFrame("an end that is not empty")
    return kind, header, payload


def head(kind: int, header: bytes, size: int) -> Head:
    """What the header says. Whatever it holds, nothing is evaluated, and little memory taken.

    Raises:
        BadFrame: It is not JSON, or not what its kind needs, or contradicts the payload's size.
        InvalidState: It is an array, and numpy is not there.

    """
    try:
        fields = json.loads(header.decode(), parse_constant=_no_constant) if header else {}
        if not isinstance(fields, dict):
            raise ValueError("not an object")
        meta = fields.get("meta", {})
        if not isinstance(meta, dict):
            raise ValueError("meta is not an object")
        if kind != ARRAY:
            return Head(kind, size, None, (), meta)
        dtype, shape = _dtype(fields.get("dtype")), _shape(fields.get("shape"))
        if dtype.itemsize * prod(max(1, n) for n in shape) > MOST_SIZE:
            raise ValueError(f"shape {shape} is too large")
        if dtype.itemsize * prod(shape) != size:
            raise ValueError(f"{dtype} and shape {shape} do not make {size} bytes")
        return Head(kind, size, dtype, shape, meta)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadFrame(f"a frame's header: {error}") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _shape(sizes: object) -> tuple[int, ...]:
    if not isinstance(sizes, list) or len(sizes) > MOST_DIMENSIONS:
        raise ValueError(f"shape is no list of at most {MOST_DIMENSIONS} sizes")
    if not all(type(n) is int and 0 <= n <= MOST_SIZE for n in sizes):
        raise ValueError("a size in shape is no number from 0 on")
    return tuple(sizes)


def _dtype(described: object, depth: int = 0) -> np.dtype[Any]:
    """The dtype of a text such as `<f4`, or of a list of fields; ValueError for any other."""
    if isinstance(described, str):
        return _simple_dtype(described)
    if not isinstance(described, list) or not described or depth == MOST_NESTING:
        raise ValueError("dtype is neither text nor a list of fields")
    numpy = numpy_for("arrays")
    names, formats, offsets, size = [], [], [], 0
    for field in described:
        if not isinstance(field, list) or len(field) not in (2, 3):
            raise ValueError("a field of dtype is not [name, type] or [name, type, shape]")
        dtype = _dtype(field[1], depth + 1)
        if len(field) == 3:
            dtype = numpy.dtype((dtype, _shape(field[2])))
        name = field[0]
        if not isinstance(name, str) or not name.isprintable():
            raise ValueError("a field's name is no printable text")
        if name:
            names.append(name)
            formats.append(dtype)
            offsets.append(size)
        elif dtype.kind != "V" or dtype.names is not None:
            raise ValueError("a field has no name, and is not padding")
        size += dtype.itemsize
    if size == 0:
        raise ValueError("items have no size")
    return _built(names, formats, offsets, size)


def _simple_dtype(text: str) -> np.dtype[Any]:
    if not _ITEM.fullmatch(text):
        raise ValueError(f"dtype {text[:40]!r} is none that is sent")
    return numpy_for("arrays").dtype(text)  # type: ignore[no-any-return]


def _built(
    names: list[str], formats: list[np.dtype[Any]], offsets: list[int], size: int
) -> np.dtype[Any]:
    fields = {"names": names, "formats": formats, "offsets": offsets, "itemsize": size}
    return numpy_for("arrays").dtype(fields)  # type: ignore[no-any-return]


# ---- memory for a payload ----------------------------------------------------------------------


def fresh(head: Head, max_bytes: int) -> tuple[Any, memoryview]:
    """Memory for a payload, and its bytes.

    Raises:
        InvalidRequest: It is more than `max_bytes`.

    """
    if head.size > max_bytes:
        raise InvalidRequest(
            f"{head} is over max_bytes, {max_bytes}: raise that, or receive into out="
        )
    if head.dtype is not None:
        array = numpy_for("arrays").empty(head.shape, head.dtype)
        return array, raw(array)
    memory: Any = mmap.mmap(-1, head.size) if head.size >= LAZY else bytearray(head.size)
    return memory, memoryview(memory)


def within(head: Head, out: Any) -> memoryview:
    """The bytes of `out`, if the payload is what they are for.

    Raises:
        TypeError: It is neither an array nor a buffer.
        InvalidRequest: It is of another dtype, shape or size, not C-contiguous, or read-only.

    """
    numpy = sys.modules.get("numpy")
    if head.dtype is not None and isinstance(out, getattr(numpy, "ndarray", ())):
        array: np.ndarray[Any, Any] = numpy_for("arrays").asarray(out)  # not of a subclass
        if (array.dtype, array.shape) != (head.dtype, head.shape):
            raise _unfit(f"an array of {array.dtype} and shape {array.shape}", array, head)
        if not (array.flags.c_contiguous and array.flags.writeable):
            raise InvalidRequest("out: not C-contiguous, or read-only")
        return raw(array)
    try:
        view = memoryview(out)
    except TypeError:
        raise mistyped("out", "an array or a buffer", out) from None
    except (ValueError, BufferError) as error:  # an array of times, for instance
        raise InvalidRequest(f"out: no buffer of bytes: {error}") from None
    if view.format not in ("B", "c"):
        raise _unfit(f"a buffer of items {view.format!r} instead of bytes", view, head)
    if view.nbytes != head.size:
        raise _unfit("a buffer", view, head)
    if view.readonly or not view.c_contiguous:
        raise InvalidRequest("out: not C-contiguous, or read-only")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


def _unfit(what: str, out: Any, head: Head) -> InvalidRequest:
    size = Head(BYTES, out.nbytes, None, (), {})
    return InvalidRequest(f"out: it is {what}, {size}; what has come is {head}")


def numpy_for(what: str) -> Any:
    """NumPy, imported when it is first needed."""
    try:
        import numpy
    except ImportError:
        raise InvalidState(f"{what} need numpy: pip install numpy") from None
    return numpy
