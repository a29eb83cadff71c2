"""Which compilers and emulators of each core are found on this machine.

This module must not know what they are used for or how that is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.bench.measure import version_of
from embact.cores import CORES
from embact.errors import EmbactError
from embact.run import cross, emulator

if TYPE_CHECKING:
    from embact.cores import Core


@dataclass(frozen=True)
class Available:
    """A core, and the compilers and emulators for it here: kind, name and version."""

    name: str
    architecture: str
    tier: str
    has: str
    compilers: tuple[str, ...]
    emulators: tuple[str, ...]


def cores() -> tuple[Available, ...]:
    """Return every core with what is found for it, the first of each being the default."""
    return tuple(
        Available(
            *(core.name, core.architecture, core.tier, core.has),
            tuple(text for kind in cross.KINDS if (text := _compiler(core, kind))),
            tuple(text for kind in emulator.KINDS if (text := _emulator(core, kind))),
        )
        for core in CORES.values()
    )


def _compiler(core: Core, kind: str) -> str:
    """Return a compiler's kind, name and version, or "": that it is not there is the answer."""
    try:
        return f"{kind}: {version_of(cross.cross_compiler(core, kind).version)}"
    except EmbactError:
        return ""


def _emulator(core: Core, kind: str) -> str:
    """Return an emulator's kind and version, or ""."""
    try:
        return f"{kind} {emulator.emulator(core, kind).version}"
    except EmbactError:
        return ""
