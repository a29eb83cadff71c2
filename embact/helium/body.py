"""The Helium tier: a kernel's expression as one loop of vector instructions (MVE, integer).

Lanes are as narrow as the values allow on the inputs where they matter, so 4, 8 or 16 elements are
computed at once; the loop is tail predicated (DLSTP, LETP), so there is no second one for the rest.
The instructions are written as assembly: gcc 12 moves every predicate of an intrinsic through a
general register and makes constants again in each pass. This module must not know headers.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.helium.code import REGISTERS, placed, with_vectors
from embact.helium.lanes import NotSpelt, Values, relevance
from embact.helium.narrow import narrowed
from embact.helium.select import Selection
from embact.ir import Op

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from embact.helium.code import Instruction
    from embact.kernel import Kernel

FIXED = ("r8", "r9", "r10", "r11", "r6", "r5", "r4")
"""Registers of scalars that are numbers, and of r12 the predicate that is saved. They are named and
not chosen, since gcc 12 finds no registers for as many operands; r7 may be a frame pointer. What is
left is r0..r3 for two pointers, the size and one table; each further table takes one from the end.
"""


@dataclass(frozen=True)
class HeliumBody:
    """A function body of parameters ``input``, ``output`` and ``size``, for Helium.

    lines: its statements, indented by four columns.
    declarations: C text that must precede the function, or "".
    instructions, elements: of one pass of the loop.
    """

    lines: list[str]
    declarations: str
    instructions: int
    elements: int


def helium_body(kernel: Kernel, table_names: Mapping[str, str]) -> HeliumBody | None:
    """Return the loop that computes a kernel in the fewest instructions for an element, if any can.

    table_names: the emitted name of each of the kernel's tables. None for an expression that no
    vectors spell (there is no division, and eight registers may not suffice), and for one that is
    no faster in vectors: a tree of many choices, of which one element takes a single way.
    """
    values = Values(kernel.input_bits)
    found = []
    for bits in (8, 16, 32):
        if bits >= max(kernel.input_bits, kernel.output_bits):
            try:
                found.append(_body(kernel, table_names, values, bits))
            except NotSpelt:
                continue
    best = min(found, key=lambda one: one.instructions / one.elements, default=None)
    if best is None or best.instructions > best.elements * _one_by_one(kernel, values):
        return None
    return best


def _one_by_one(kernel: Kernel, values: Values) -> float:
    """Return about how many instructions an element takes with branches, inputs equally likely.

    An operation costs one where its value can reach the result, so that of a search tree only the
    way to one leaf counts; a comparison costs its branch too.
    """
    masks = relevance(values, kernel.expression)
    free = (Op.CONST, Op.INPUT)
    return LOOP + sum(
        float(masks[id(node)].mean()) * (2 if node.op in CHOICES else 1)
        for node in kernel.nodes
        if node.op not in free
    )


LOOP = 4
"""A load, a store, and the loop's count and branch."""

CHOICES = (Op.SELECT, Op.MIN, Op.MAX, Op.SAT)


SCALAR_OPERAND = re.compile(r"%\[(-?\d+|[a-z]\w*_\w+)\]")
"""A scalar that is a number or a table's name, as ``select`` writes it."""


def _body(kernel: Kernel, table_names: Mapping[str, str], values: Values, bits: int) -> HeliumBody:
    root = narrowed(values, kernel.expression, bits)
    elements = 128 // bits
    selection = Selection(values, root, bits, table_names)
    code = selection.whole(root, kernel.input_bits, kernel.output_bits)
    before, inside, names = min(_spellings(code, bits), key=lambda found: len(found[1]))
    tables = {said: name for said, name in names.items() if name not in FIXED}
    numbers = {said: name for said, name in names.items() if name in FIXED}
    clobbered = [*(f"q{i}" for i in range(REGISTERS)), *numbers.values(), "r12", "lr", "cc"]
    statements = [
        "vmrs r12, p0",
        f"dlstp.{bits} lr, %[n]",
        *(move for said, name in numbers.items() for move in _moved(said, name, bits)),
        *before,
        "1:",
        *inside,
        "letp lr, 1b",
        "vmsr p0, r12",
    ]
    bound = ['[x] "+l"(input)', '[y] "+l"(output)', '[n] "+r"(size)']
    bound += [f'[{name}] "+r"({name})' for name in tables.values()]
    clobbers = ", ".join(f'"{name}"' for name in [*clobbered, "memory"])
    lines = [
        "    if (size > 0) {",
        *(f"        const void *{name} = {said};" for said, name in tables.items()),
        "        __asm__ volatile(",
        *(f'            "{line}\\n\\t"' for line in statements[:-1]),
        f'            "{statements[-1]}"',
        *_listed(", ".join(bound)),
        "            :",
        *_listed(clobbers),
    ]
    lines[-1] += ");"
    lines.append("    }")
    return HeliumBody(lines, "", len(inside) + 1, elements)


def _spellings(
    code: list[Instruction], bits: int
) -> Iterator[tuple[list[str], list[str], dict[str, str]]]:
    """Yield spellings with more and more scalars in vector registers instead of general ones."""
    vectors: set[str] = set()
    while len(vectors) < REGISTERS:
        try:
            text = placed(with_vectors(code, vectors), bits)
        except NotSpelt:
            if not vectors:
                raise
            return
        found = _operands(text.before, text.body, bits)
        yield found
        spare = [said for line in text.body for said in SCALAR_OPERAND.findall(line)]
        spare = [said for said in spare if said not in found[2] and said not in vectors]
        if not spare:
            return
        vectors.add(Counter(spare).most_common(1)[0][0])


def _operands(
    before: list[str], body: list[str], bits: int
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return both lists with scalars as named operands, and what the operands are.

    The tables, and the numbers that are read most often, have registers; other numbers are moved
    to the register of the size, which the loop has no more use for, before they are read.
    """
    reads = Counter(said for line in body for said in SCALAR_OPERAND.findall(line))
    tables = [said for said in reads if not said.lstrip("-").isdigit()]
    numbers = sorted((said for said in reads if said not in tables), key=lambda said: -reads[said])
    registers = FIXED[: len(FIXED) + 1 - max(1, len(tables))]
    names = {said: f"t{i}" for i, said in enumerate(tables)} | dict(
        zip(numbers, registers, strict=False)
    )
    made: list[str] = []
    under = ""
    for line in body:
        wanted = [said for said in SCALAR_OPERAND.findall(line) if said not in names]
        if line.startswith("vpt"):
            under = line
            continue
        block = [said for said in SCALAR_OPERAND.findall(under) if said not in names]
        if under and block and wanted and wanted != block:  # one register for two numbers
            made += [*_moved(block[0], "%[n]", bits), under.replace("vpt", "vcmp")]
            made += [*_moved(wanted[0], "%[n]", bits), "vpst"]
        else:
            for said in dict.fromkeys([*block, *wanted]):
                made += _moved(said, "%[n]", bits)
            made += [under] if under else []
        made.append(line)
        under = ""
    spelled = {
        said: name if (name := names.get(said, "%[n]")) in (*FIXED, "%[n]") else f"%[{name}]"
        for said in reads
    }
    return before, [SCALAR_OPERAND.sub(lambda m: spelled[m[1]], line) for line in made], names


def _listed(text: str) -> list[str]:
    """Return a part of an asm statement, after its colon, in lines."""
    lines = textwrap.wrap(text, 80)
    return ["            : " + lines[0], *("              " + line for line in lines[1:])]


def _moved(said: str, register: str, bits: int) -> list[str]:
    """Return the instructions that move a number to a register."""
    value = int(said)
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    if bits < 32 or not high:
        return [f"movw {register}, #{low}"]
    if -256 <= value < 0:
        return [f"mvn {register}, #{~value}"]
    return [f"movw {register}, #{low}", f"movt {register}, #{high}"]
