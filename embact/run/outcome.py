"""What running a program shows: its status, what it wrote, and the instructions that it executed.

This module must not know emulators.
"""

from __future__ import annotations

import collections
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from embact.run.cross import Image

MOST_WRITTEN_BYTES = 1 << 26
"""A program that writes more is ended."""

FOR_EVER = "it did not end within {:g} s"
TOO_MUCH = f"it wrote more than {MOST_WRITTEN_BYTES} bytes"


@dataclass(frozen=True)
class Trace:
    """One stretch between embact_bare_begin and embact_bare_end.

    instructions: how many were executed, each execution counted, whether or not its condition held.
    executed: the same by address. followed: by address and the address executed next, of which the
    last is that of the branch to the end mark.
    """

    instructions: int
    executed: Mapping[int, int] = field(repr=False)
    followed: Mapping[tuple[int, int], int] = field(repr=False)


def trace_of(followed: Mapping[tuple[int, int], int]) -> Trace:
    """Return the trace of these pairs of addresses executed one after the other.

    >>> trace_of({(0, 2): 1, (2, 2): 8, (2, 4): 1})
    Trace(instructions=10)
    """
    executed: collections.Counter[int] = collections.Counter()
    for (address, _), times in followed.items():
        executed[address] += times
    return Trace(sum(followed.values()), dict(executed), dict(followed))


@dataclass(frozen=True)
class Outcome:
    """status: what main returned. written: all bytes sent to the host.

    traces: one for each stretch that was begun and ended, in order; empty if not traced.
    """

    status: int
    written: bytes = field(repr=False)
    traces: tuple[Trace, ...]


@dataclass(frozen=True)
class Ran:
    """What an emulator saw: as an Outcome, and in words why it is not one, else ""."""

    status: int
    written: bytes
    traces: tuple[Trace, ...] = ()
    failure: str = ""


class Counter:
    """Sorts executed addresses, in order, into traces."""

    def __init__(self, image: Image) -> None:
        self._begin = image.symbols["embact_bare_begin"]
        self._end = image.symbols["embact_bare_end"]
        self._waiting: list[int] = []
        self._followed: collections.Counter[tuple[int, int]] | None = None
        self._done: list[Trace] = []

    def executed(self, addresses: Iterable[int]) -> None:
        """Take note of further instructions, in the order in which they were executed."""
        self._waiting.extend(addresses)
        if len(self._waiting) >= _TOGETHER:
            self._sort()

    def traces(self) -> tuple[Trace, ...]:
        """Return the stretches that were ended."""
        self._sort()
        return tuple(self._done)

    def _sort(self) -> None:
        """Sort what is waiting, but for the last instruction of a stretch that is not ended."""
        waiting, position = self._waiting, 0
        while True:
            wanted = self._begin if self._followed is None else self._end
            try:
                found = waiting.index(wanted, position)
            except ValueError:
                break
            if self._followed is None:
                self._followed = collections.Counter()
            else:
                self._note(waiting[position:found])
                self._done.append(trace_of(self._followed))
                self._followed = None
            position = found + 1
        rest = waiting[position:]
        if self._followed is not None:
            self._note(rest)
        self._waiting = [] if self._followed is None else rest[-1:]

    def _note(self, stretch: list[int]) -> None:
        if self._followed is not None:
            self._followed.update(itertools.pairwise(stretch))


_TOGETHER = 1 << 18
"""Instructions that are sorted at once."""
