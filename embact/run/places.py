"""Where a compiled kernel is compared with its definition: this machine, or an emulated core.

This module must not know where headers come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.cores import HOST
from embact.run import host, observer, on_core
from embact.run.cross import cross_compiler
from embact.run.emulator import emulator
from embact.run.toolchain import ToolMissing

if TYPE_CHECKING:
    from embact.cores import Core
    from embact.kernel import Kernel


LEVELS = ("-O2", "-Os")


def place_of(core: Core) -> str:
    """Return the name of a place in a certificate.

    >>> from embact.cores import CORES
    >>> place_of(HOST), place_of(CORES["cortex-m4"])
    ('host-c', 'cortex-m4-emulated')
    """
    return host.PLACE if core == HOST else on_core.place_of(core)


def lacking(core: Core) -> str:
    """Return in words which compiler or emulator a core lacks, or "" if none."""
    try:
        if core != HOST:
            cross_compiler(core)
            emulator(core)
    except ToolMissing as missing:
        return str(missing)
    return ""


def difference_on(core: Core, header: str, function: str, kernel: Kernel) -> str | None:
    """Return in words where a header's function differs from its kernel on a core, or None.

    On every input, however it is called, compiled for speed and for size, since headers may choose
    other code for size; if it crashes, hangs or writes elsewhere, that is the difference. Raises
    ToolMissing without a compiler or emulator, and EmbactError if the header does not compile.
    """
    for optimise in LEVELS:
        if words := _difference(core, header, function, kernel, optimise):
            return words if optimise == LEVELS[0] else f"at {optimise}, {words}"
    return None


def _difference(
    core: Core, header: str, function: str, kernel: Kernel, optimise: str
) -> str | None:
    if core == HOST:
        widths = (kernel.input_bits, kernel.output_bits)
        compiled = host.compile_header(header, {function: widths}, flags=[optimise])
        return observer.check_isolated(compiled, {function: kernel}).get(function)
    found = on_core.check_on_core(header, {function: kernel}, core, optimise=optimise)
    return found.get(function)
