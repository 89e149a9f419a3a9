"""The wire: a page of what stands in proto/, by the compiler's own reading of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from markup import code, escaped, page, table

# Numbers of descriptor.proto: where a part of a file is to be found in it.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED_MESSAGES, NESTED_ENUMS, VALUES, METHODS, SYNTAX = 2, 3, 4, 2, 2, 12

ABOUT = """Every service and message of the control protocol, as `proto/` describes them. What they
mean together, in which order calls are made and what is answered when, stands in
[the control protocol](../../../docs/protocol.md). Fields that are not sent have the value of
Protobuf's version 3: 0, false, or nothing."""


def files(root: Path) -> list[FileDescriptorProto]:
    """What the compiler reads out of each file of proto/, comments included."""
    proto = root / "proto"
    sources = sorted(path.relative_to(proto).as_posix() for path in proto.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        flags = (f"--proto_path={proto}", f"--descriptor_set_out={out}", "--include_source_info")
        # In a process of its own: its Protobuf and that of the package would meet in one.
        compiler = [sys.executable, "-m", "grpc_tools.protoc", *flags, *sources]
        if not sources or subprocess.run(compiler, check=False).returncode:
            raise ValueError(f"{proto} cannot be compiled")
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """What is said of each part, above it and behind it, as one text."""
    found = {}
    for location in file.source_code_info.location:
        pieces = [location.leading_comments, location.trailing_comments]
        lines = [line.strip() for piece in pieces for line in piece.splitlines()]
        found[tuple(location.path)] = "\n".join(lines).strip()
    return found


def type_of(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    """As it is written in the file; maps are messages to the compiler only."""
    name = field.type_name.rpartition(".")[2]
    for nested in message.nested_type:
        if nested.options.map_entry and nested.name == name:
            key, value = nested.field
            return f"map<{type_of(key, nested)}, {type_of(value, nested)}>"
    if not name:
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    return f"{'repeated ' if repeated else 'optional ' if field.proto3_optional else ''}{name}"


class Page:
    """The parts of one file as Markdown. `links` are the names that have a heading."""

    def __init__(self, file: FileDescriptorProto, links: set[str]) -> None:
        self._file = file
        self._links = links
        self._comments = comments(file)

    def _said(self, *path: int) -> str:
        return self._comments.get(path, "")

    def _linked(self, kind: str) -> str:
        """A type as code, and the last word of it, if it is a message, as a link to it."""
        before, _, name = kind.rpartition(" ")
        if name not in self._links:
            return f"`{kind}`"
        return f"{f'`{before}` ' if before else ''}[`{name}`](#{name.lower()})"

    def parts(self) -> Iterator[str]:
        """The file's heading, and below it everything in it."""
        yield f"## {Path(self._file.name).name}"
        yield escaped(self._said(SYNTAX))
        for number, service in enumerate(self._file.service):
            yield from self.service(service, (SERVICES, number))
        for number, message in enumerate(self._file.message_type):
            yield from self.message(message, (MESSAGES, number))
        for number, values in enumerate(self._file.enum_type):
            yield from self.values(values, (ENUMS, number))

    def service(self, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        """Its rpcs, each with what is taken and given."""
        yield f"### service {service.name}"
        yield escaped(self._said(*path))
        for number, rpc in enumerate(service.method):
            request, response = (
                f"{'stream ' if streams else ''}{kind.rpartition('.')[2]}"
                for kind, streams in (
                    (rpc.input_type, rpc.client_streaming),
                    (rpc.output_type, rpc.server_streaming),
                )
            )
            yield f"#### {service.name}.{rpc.name}"
            yield code(f"rpc {rpc.name}({request}) returns ({response});", "proto")
            yield f"Takes {self._linked(request)}, answers {self._linked(response)}."
            yield escaped(self._said(*path, METHODS, number))

    def message(
        self, message: DescriptorProto, path: tuple[int, ...], within: str = ""
    ) -> Iterator[str]:
        """Its fields in the order of the file, and then what is declared inside of it."""
        yield f"### {within}{message.name}"
        yield escaped(self._said(*path))
        rows = []
        for number, field in enumerate(message.field):
            said = [escaped(self._said(*path, FIELDS, number))]
            if field.HasField("oneof_index") and not field.proto3_optional:
                said.append(f"One of `{message.oneof_decl[field.oneof_index].name}`.")
            if field.options.deprecated:
                said.append("Deprecated.")
            text = re.sub(r"\s+", " ", " ".join(said)).strip()
            kind = self._linked(type_of(field, message))
            rows.append((f"`{field.name}`", kind, str(field.number), text))
        yield table(("field", "type", "number", "what it says"), rows) if rows else "It is empty."
        inside = f"{within}{message.name}."
        for number, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                yield from self.message(nested, (*path, NESTED_MESSAGES, number), inside)
        for number, values in enumerate(message.enum_type):
            yield from self.values(values, (*path, NESTED_ENUMS, number), inside)

    def values(
        self, values: EnumDescriptorProto, path: tuple[int, ...], within: str = ""
    ) -> Iterator[str]:
        """Its names and their numbers."""
        yield f"### {within}{values.name}"
        yield escaped(self._said(*path))
        yield table(
            ("name", "number", "what it says"),
            (
                (f"`{value.name}`", str(value.number), escaped(self._said(*path, VALUES, number)))
                for number, value in enumerate(values.value)
            ),
        )


def markdown(read: Sequence[FileDescriptorProto]) -> str:
    """The page."""
    links = {message.name for file in read for message in file.message_type}
    links |= {values.name for file in read for values in file.enum_type}
    parts = [part for file in read for part in Page(file, links).parts()]
    return page("# Messages and calls", ABOUT, *parts)


def pages(root: Path) -> dict[str, str]:
    """By the names of their files."""
    return {"wire.md": markdown(files(root))}
