"""How much stack a function of a program needs, read from its instructions.

This module must not know compilers: ``-fstack-usage`` says the same of one function, but not of the
compiler's helpers, and not with what a function calls.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from typing import TYPE_CHECKING

from embact.errors import EmbactError, unknown_name
from embact.run.elf import data_between, symbol_table
from embact.run.thumb import instruction_at, size_at

if TYPE_CHECKING:
    from embact.run.cross import Image
    from embact.run.elf import Symbol
    from embact.run.thumb import Instruction

_WORD, _DOUBLE = 4, 8


def stack_bytes(image: Image, function: str) -> int:
    """Return the most bytes of stack that a function takes, with all that it calls.

    At most: every push and subtraction that a function contains counts, though one path may not
    meet all. A jump to another function counts like a call. Raises EmbactError for an unknown
    function, calls in a circle or to computed addresses, and stack of a size not in the code.
    """
    functions = _functions(image.elf)
    start = next((s for s in functions if s.name == function), None)
    if start is None:
        raise unknown_name("function", function, {s.name for s in functions})
    return _deepest(image, functions, start, ())


def _functions(elf: bytes) -> tuple[Symbol, ...]:
    """Return the functions; one without a size, as in assembly, reaches to the next."""
    listed = [s for s in symbol_table(elf) if s.kind == "STT_FUNC"]
    starts = sorted({s.address for s in listed})
    following = dict(itertools.pairwise(starts))
    return tuple(
        s
        if s.size
        else dataclasses.replace(s, size=following.get(s.address, s.address) - s.address)
        for s in listed
    )


def _deepest(
    image: Image, functions: tuple[Symbol, ...], one: Symbol, above: tuple[str, ...]
) -> int:
    if one.name in above:
        raise EmbactError("stack of functions that call each other", got=", ".join(above))
    own, deepest = 0, 0
    for instruction in instructions_of(image.elf, one):
        own += _pushed(instruction, one)
        target = instruction.target
        inside = one.address <= target < one.address + one.size
        if target >= 0 and (instruction.name == "bl" or (instruction.name == "b" and not inside)):
            called = next((s for s in functions if s.address <= target < s.address + s.size), None)
            if called is None:
                raise EmbactError("call of no function", got=instruction.text, where=one.name)
            deepest = max(deepest, _deepest(image, functions, called, (*above, one.name)))
        elif instruction.name == "blx" or instruction.text in _COMPUTED:
            raise EmbactError(
                "stack of a call to a computed address", got=instruction.text, where=one.name
            )
    return own + deepest


_COMPUTED = {f"bx r{number}" for number in (4, 5, 6, 7, 8, 9)}
"""Jumps that are calls; a return is to lr or, on the smallest cores, to a register below these."""


_BELOW_SP = re.compile(r"\[sp, #-(0x[0-9a-f]+|\d+)\]!")


def _pushed(one: Instruction, function: Symbol) -> int:
    """Return by how many bytes an instruction lowers the stack pointer."""
    if one.name == "push":
        return _WORD * one.registers
    if one.name == "vpush":
        return (_DOUBLE if one.first.startswith("d") else _WORD) * one.registers
    if found := _BELOW_SP.search(one.text):
        return int(found[1], 0)
    if one.name in {"sub", "add", "subw"} and one.first == "sp" and "sp" in one.writes:
        if "#" not in one.text:
            raise EmbactError("stack of a computed size", got=one.text, where=function.name)
        return 0 if one.name == "add" else one.immediate
    return 0


def instructions_of(elf: bytes, function: Symbol) -> list[Instruction]:
    """Return a function's instructions, without literals and what capstone does not know."""
    found = []
    address, end = function.address, function.address + function.size
    data = data_between(elf, address, end)
    while address < end:
        if address in data:
            address += 2
            continue
        instruction = instruction_at(elf, address)
        if instruction is not None:
            found.append(instruction)
        address += size_at(elf, address)
    return found
