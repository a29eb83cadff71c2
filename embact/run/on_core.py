"""Kernels on an emulated core: many functions of a header in one program, each on every input.

As ``embact.run.host`` does on this machine; the awkward calls are made and judged on the core
(``c_src/bare/embact_bare_check.c``), so that only verdicts and outputs travel. This module must not
know activations or budgets.
"""

from __future__ import annotations

import dataclasses
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.certify import first_difference
from embact.errors import CheckFailed, EmbactError
from embact.run.cross import link
from embact.run.emulator import emulate
from embact.sources import c_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from embact.cores import Core
    from embact.kernel import Kernel
    from embact.run.cross import CrossCompiler, Image
    from embact.run.emulator import Emulator

TIMEOUT_S = 120.0

_VERDICT = struct.Struct("<8i")

_RESTORED = (
    *(f"r{number}" for number in (8, 9, 10, 11, 4, 5, 6, 7)),
    *(f"d{number}" for number in range(8, 16)),
)
"""Registers that a function must restore, by their bit in a verdict."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a core did with one function.

    outputs: the codes for all inputs in ascending order, int8 or int16. wrong: "" if they do not
    depend on how the function is called and it touches nothing else, else in words what it did.
    """

    outputs: NDArray[Any]
    wrong: str


def place_of(core: Core) -> str:
    """Return the name of a core in a certificate, as ``embact.run.host.PLACE`` is this machine's.

    >>> from embact.cores import CORES
    >>> place_of(CORES["cortex-m4"])
    'cortex-m4-emulated'
    """
    return f"{core.name}-emulated"


def observe_on_core(  # noqa: PLR0913 - choices with defaults
    header: str,
    kernels: Mapping[str, Kernel],
    core: Core,
    *,
    compiler: CrossCompiler | None = None,
    emulator: Emulator | None = None,
    optimise: str = "-O2",
    flags: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Mapping[str, NDArray[Any]]:
    """Return the outputs of a header's functions on all inputs, after awkward calls of each.

    kernels: by the function's name; only their widths matter here. Sizes 0 to 67, some hundreds and
    below 0, addresses aligned to one element only, in place where the widths agree, with bytes
    around the output that must survive, inputs that must stay and registers that the procedure call
    standard has a function restore: r4 to r11, and d8 to d15 where the core is compiled for with
    vectors. Raises EmbactError without a compiler or emulator, and CheckFailed naming the function,
    the core and the call if any of that changes a result, a guard byte, an input or such a
    register, or if the core faults or does not come back; the outputs themselves are for the caller
    to compare.
    """
    image = image_of(header, kernels, core, compiler=compiler, optimise=optimise, flags=flags)
    seen, lost = _run(image, kernels, emulator, timeout_s)
    for name, each in seen.items():
        if each.wrong:
            raise CheckFailed(f"{name} on {core.name} {each.wrong}")
    if lost:
        raise CheckFailed(lost)
    return {name: each.outputs for name, each in seen.items()}


def check_on_core(  # noqa: PLR0913 - choices with defaults
    header: str,
    kernels: Mapping[str, Kernel],
    core: Core,
    *,
    compiler: CrossCompiler | None = None,
    emulator: Emulator | None = None,
    optimise: str = "-O2",
    flags: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> dict[str, str]:
    """Return in words where functions on a core differ from their definitions, by function name.

    Empty if each equals its kernel on every input, however it is called. If the core faults or does
    not come back, the functions that were not reached count as different, too.
    """
    image = image_of(header, kernels, core, compiler=compiler, optimise=optimise, flags=flags)
    seen, lost = _run(image, kernels, emulator, timeout_s)
    found: dict[str, str] = {}
    for name, kernel in kernels.items():
        if name not in seen:
            found[name] = lost
        elif words := seen[name].wrong or first_difference(kernel, seen[name].outputs):
            found[name] = words
    return found


def image_of(  # noqa: PLR0913 - choices with defaults
    header: str,
    kernels: Mapping[str, Kernel],
    core: Core,
    *,
    compiler: CrossCompiler | None = None,
    optimise: str = "-O2",
    flags: Sequence[str] = (),
) -> Image:
    """Return the program that calls each function of a header in every awkward way."""
    lines = [
        '#include "embact_bare_check.h"',
        '#include "kernels.h"',
        "#ifndef EMBACT_TIER",  # a header without our tiers; else its own choice counts
        '#include "embact_tiers.h"',
        "#endif",
    ]
    if not any(flag.startswith("-DEMBACT_TIER") for flag in flags):
        lines += [
            f"#if EMBACT_TIER != EMBACT_TIER_{core.tier.upper()}",
            f'#error "the compiler does not take {core.name} for a core of tier {core.tier}"',
            "#endif",
        ]
    calls = []
    for name, kernel in kernels.items():
        bits_in, bits_out = kernel.input_bits, kernel.output_bits
        lines.append(
            "__attribute__((noinline)) "  # so that it saves what the function says it changes
            f"static void run_{name}(const void *input, void *output, int32_t size)\n"
            f"{{\n    {name}((const int{bits_in}_t *)input, (int{bits_out}_t *)output, size);\n}}"
        )
        calls.append(f"    embact_bare_check(run_{name}, {bits_in // 8}, {bits_out // 8});\n")
    lines.append(f"int main(void)\n{{\n{''.join(calls)}    return 0;\n}}\n")
    sources = {
        "main.c": "\n".join(lines),
        "kernels.h": header,
        "embact_tiers.h": c_source("embact_tiers.h"),
        "embact_bare_check.h": c_source("bare/embact_bare_check.h"),
        "embact_bare_check.c": c_source("bare/embact_bare_check.c"),
    }
    return link(core, sources, optimise=optimise, flags=flags, compiler=compiler)


def _run(
    image: Image, kernels: Mapping[str, Kernel], emulator: Emulator | None, timeout_s: float
) -> tuple[dict[str, Seen], str]:
    """Return what was seen of each function that came back, and in words what ended the rest."""
    ran = emulate(image, traced=False, timeout_s=timeout_s, chosen=emulator)
    seen: dict[str, Seen] = {}
    position = 0
    for name, kernel in kernels.items():
        inputs = 1 << kernel.input_bits
        start = position + _VERDICT.size
        end = start + inputs * kernel.output_bits // 8
        if len(ran.written) < end:
            why = ran.failure or f"it ended early, with status {ran.status}"
            return seen, f"{name} on {image.core.name}: {why}"
        outputs = np.frombuffer(ran.written[start:end], dtype=f"<i{kernel.output_bits // 8}")
        verdict = _VERDICT.unpack_from(ran.written, position)
        seen[name] = Seen(outputs, _words(verdict))
        position = end
    if ran.failure or ran.status or position != len(ran.written):
        sent = f"status {ran.status} and {len(ran.written)} bytes, not {position}"
        why = ran.failure or f"it ended with {sent}"
        raise EmbactError(f"a check of kernels on {image.core.name}", got=why)
    return seen, ""


def _words(verdict: tuple[int, ...]) -> str:
    """Return in words what a verdict says, or "" if nothing was wrong."""
    what, size, offset_in, offset_out, in_place, code, got, expected = verdict
    place = ", in place" if in_place else ""
    call = f"size {size}, offsets {offset_in} and {offset_out}{place}"
    match what:
        case 0:
            return ""
        case 1:
            return f"depends on how it is called: {call}: input {code} gives {got}, not {expected}"
        case 2:
            return f"writes outside its output: {call}"
        case 3:
            return f"writes to its input: {call}"
        case _:
            names = sorted(
                (name for bit, name in enumerate(_RESTORED) if got >> bit & 1),
                key=lambda name: (name[0] == "d", int(name[1:])),
            )
            return f"does not restore registers {', '.join(names)}: {call}"
