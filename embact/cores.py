"""The cores that kernels are measured on: what each can do, and how compilers call it.

This module must not know kernels, compilers' options or emulators.
"""

from __future__ import annotations

from dataclasses import dataclass

from embact.errors import unknown_name

TIERS = ("portable", "thumb1", "thumb2", "dsp", "helium")
"""Levels of emitted code, each including those before it; see ``c_src/embact_tiers.h``."""


@dataclass(frozen=True)
class Core:
    """A processor core.

    name: as compilers spell it after -mcpu. architecture: Arm's name of its instruction set.
    tier: the level of code that emitted headers choose for it. has: what matters to kernels.
    """

    name: str
    architecture: str
    tier: str
    has: str


CORES = {
    core.name: core
    for core in (
        Core(
            "cortex-m0plus",
            "ARMv6-M",
            "thumb1",
            "16-bit Thumb, 32-bit products only, no unaligned access, no division",
        ),
        Core(
            "cortex-m3",
            "ARMv7-M",
            "thumb2",
            "Thumb-2, 64-bit products, saturation, conditional execution, division",
        ),
        Core("cortex-m4", "ARMv7E-M", "dsp", "and SIMD within 32 bits: 4 x int8, 2 x int16"),
        Core("cortex-m7", "ARMv7E-M", "dsp", "the same, two instructions at a time"),
        Core("cortex-m33", "ARMv8-M Mainline", "dsp", "the same instructions as cortex-m4"),
        Core(
            "cortex-m55",
            "ARMv8.1-M Mainline",
            "helium",
            "and Helium: 16 x int8 or 8 x int16, gathers, predicated lanes",
        ),
    )
}
"""By name, from the smallest."""

HOST = Core("host", "this machine", "portable", "what its compiler makes of portable C")

DEFAULT_CORE = "cortex-m4"


def core(name: str) -> Core:
    """Return a core by its name. Raises EmbactError for a name that is not in ``CORES``."""
    if name not in CORES:
        raise unknown_name("core", name, CORES)
    return CORES[name]
