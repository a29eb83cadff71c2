"""Checks a flatbuffer against the tables of LiteRT's generated schema before that reads it.

The generated code trusts offsets, drops fields that it does not know, and copies what is shared as
often as it is referred to. Here every table is visited first: what is outside the file, would be
dropped, or would grow is refused. What tables and fields there are is read off the generated code,
so that there is no second schema to keep. This module must not know what the tables mean.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from embact.errors import EmbactError

if TYPE_CHECKING:
    from types import ModuleType

Kind: TypeAlias = Literal["scalar", "string", "table", "union", "scalars", "strings", "tables"]

MOST_TABLES = 1_000_000
"""More than any model has; it bounds the time that a hostile file can take."""
MOST_GROWTH = 8
"""Bytes that are read for each of the file, where tables share parts: 1 where none do."""

WHAT_IS_ALLOWED = "a complete TFLite flatbuffer (identifier TFL3)"
U16, U32, I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")


@dataclass(frozen=True)
class Field:
    """A field of a table. width: bytes of a scalar. targets: its tables, by the union's value."""

    name: str
    kind: Kind
    width: int = 0
    targets: tuple[tuple[int, str], ...] = ()


class _Recorder:
    """Stands in for a table of the flatbuffers library, to be told where a field is looked up."""

    place = 0

    def Offset(self, place: int) -> int:  # noqa: N802 - the name the generated code calls
        self.place = place
        return 0  # absent


@functools.cache
def fields_of(schema: ModuleType, table: str) -> dict[int, Field]:
    """Return the fields of a table by slot, read off the generated code; not the deprecated."""
    found = {}
    for name in vars(getattr(schema, f"{table}T")()):
        accessor = name[0].upper() + name[1:]
        reader, recorder = getattr(schema, table)(), _Recorder()
        reader._tab = recorder  # noqa: SLF001 - what Init sets
        getattr(reader, f"{accessor}Length", getattr(reader, accessor))()
        found[(recorder.place - 4) // 2] = _field(schema, table, name, accessor)
    return found


def _field(schema: ModuleType, table: str, name: str, accessor: str) -> Field:
    """Return a field, told by what its accessor calls."""
    import flatbuffers

    reader = getattr(schema, table)
    called = getattr(reader, accessor).__code__.co_names
    many = hasattr(reader, f"{accessor}Length")
    if "Union" in called:
        return Field(name, "union", targets=_members(schema, table, accessor))
    if "String" in called:
        return Field(name, "strings" if many else "string", 1)
    if "Indirect" in called:
        (target,) = (one for one in called if hasattr(schema, f"{one}Start"))
        return Field(name, "tables" if many else "table", targets=((0, target),))
    (flags,) = {one for one in called if one.endswith("Flags")} - {"UOffsetTFlags"}
    width = getattr(flatbuffers.number_types, flags).bytewidth
    return Field(name, "scalars" if many else "scalar", width)


def _members(schema: ModuleType, table: str, accessor: str) -> tuple[tuple[int, str], ...]:
    """Return the tables of a union by value; they have the names of an enumeration's members.

    That is named as the field is, or is the only one that the table unpacks.
    """
    called = getattr(schema, f"{table}T")._UnPack.__code__.co_names  # noqa: SLF001 - no other has it
    creators = [one for one in called if one.endswith("Creator")]
    named = [one for one in creators if one == f"{accessor}Creator"]
    (creator,) = named or creators
    members = vars(getattr(schema, creator.removesuffix("Creator")))
    return tuple(
        (value, name) for name, value in members.items() if hasattr(schema, f"{name}Start")
    )


@dataclass
class _Walk:
    """A visit to every table. read: bytes so far, with those that are shared; end: of all read."""

    schema: ModuleType
    content: bytes
    where: str
    tables: int = 0
    read: int = 0
    end: int = 8

    def damage(self, got: str) -> EmbactError:
        return EmbactError(
            "damaged or truncated TFLite model", got=got, allowed=WHAT_IS_ALLOWED, where=self.where
        )

    def span(self, start: int, size: int, what: str) -> None:
        """Count bytes as read; raises EmbactError if they are not in the file."""
        if start < 0 or start + size > len(self.content):
            raise self.damage(f"{what} at byte {start} of {len(self.content)}")
        self.read += size
        self.end = max(self.end, start + size)
        if self.read > MOST_GROWTH * len(self.content) + 4096:
            raise self.damage("tables that share their parts so often that they would not fit")

    def enter(self, number: int) -> None:
        """Count tables; raises EmbactError for more than the file can hold, or a model needs."""
        self.tables += number
        # each has 4 bytes of its own and 4 of a reference, unless they are shared
        if self.tables > min(MOST_TABLES, len(self.content) * MOST_GROWTH // 8 + 16):
            raise self.damage(f"{self.tables} table entries in {len(self.content)} bytes")

    def target(self, place: int, what: str) -> int:
        """Return where the reference at a place leads."""
        self.span(place, 4, what)
        to: int = place + U32.unpack_from(self.content, place)[0]
        return to

    def vector(self, start: int, width: int, what: str) -> int:
        """Return the length of the vector at a place, all of which is in the file."""
        self.span(start, 4, what)
        length: int = U32.unpack_from(self.content, start)[0]
        self.span(start + 4, length * width, f"{what} of {length} elements")
        return length

    def references(self, start: int, what: str) -> range:
        """Return the places of the references in the vector at a place."""
        length = self.vector(start, 4, what)
        return range(start + 4, start + 4 + 4 * length, 4)

    def slots(self, start: int, table: str) -> list[int]:
        """Return the offsets of a table's fields by slot, 0 where one is absent.

        Raises EmbactError if there are others.
        """
        self.span(start, 4, table)
        places = start - I32.unpack_from(self.content, start)[0]
        self.span(places, 4, f"the fields of {table}")
        size, inline = U16.unpack_from(self.content, places)[0], places + 2
        self.span(places, size, f"the fields of {table}")
        self.span(start, U16.unpack_from(self.content, inline)[0], table)
        if size < 4 or size % 2:
            raise self.damage(f"{size} bytes for the fields of {table}")
        found = list(struct.unpack_from(f"<{size // 2 - 2}H", self.content, places + 4))
        known = fields_of(self.schema, table)
        unknown = next((slot for slot, at in enumerate(found) if at and slot not in known), None)
        if unknown is not None:
            raise EmbactError(
                "a field that the installed schema does not have, and that would be lost",
                got=f"field {unknown} of {table}",
                allowed="a newer ai-edge-litert (pip install --upgrade ai-edge-litert)",
                where=self.where,
            )
        return found


def check(schema: ModuleType, content: bytes, where: str, root: str = "Model") -> int:
    """Return where a flatbuffer ends: no table, vector or string reaches beyond that byte.

    Raises EmbactError if a part of it is outside the bytes, a table has a field or a union a member
    that the schema does not know, or parts are shared so often that reading it would take more than
    MOST_GROWTH times the bytes. Time and memory are linear in the size of the content.
    """
    walk = _Walk(schema, content, where)
    waiting: list[tuple[int, str]] = [(walk.target(0, "the root"), root)]
    walk.enter(1)
    while waiting:
        start, table = waiting.pop()
        slots = walk.slots(start, table)
        for slot, one in fields_of(schema, table).items():
            if slot < len(slots) and slots[slot]:
                before = slots[slot - 1] if slot else 0
                kind = content[start + before] if one.kind == "union" and before else 0
                waiting += _follow(walk, one, start + slots[slot], f"{table}.{one.name}", kind)
    return walk.end


def _follow(walk: _Walk, one: Field, place: int, what: str, kind: int) -> list[tuple[int, str]]:
    """Check the field at a place; returns the tables that it leads to.

    kind: which member a union holds, from the field before it.
    """
    if one.kind == "scalar":
        walk.span(place, one.width, what)
        return []
    first = walk.target(place, what)
    match one.kind:
        case "scalars" | "string":
            walk.vector(first, one.width, what)
            return []
        case "strings":
            places = walk.references(first, what)
            for at in places:
                walk.vector(walk.target(at, what), 1, what)
            return []
        case "tables":
            places = walk.references(first, what)
            walk.enter(len(places))
            return [(walk.target(at, what), one.targets[0][1]) for at in places]
    member = dict(one.targets).get(kind)
    if member is None:
        raise walk.damage(f"{what} of the unknown kind {kind}")
    walk.enter(1)
    return [(first, member)]
