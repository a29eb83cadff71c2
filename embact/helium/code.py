"""Vector instructions: what one is, and how a list of them becomes registers and text.

Instructions work on numbered values, each written once. ``placed`` gives them the eight vector
registers, hoists constants out of the loop where registers are left, and rebuilds them inside where
not. This module must not know expressions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from embact.helium.lanes import NotSpelt

REGISTERS = 8
"""q0..q7."""


@dataclass(frozen=True)
class Instruction:
    """One instruction, or a predicated block of two.

    text: assembly with {d} for the result, {0}, {1} .. for ``args``, and %[number] for scalars.
    tied: the position in ``args`` of the value that the result replaces, -1 if there is none.
    apart: whether the result's register must differ from those of args.
    block: a comparison, ``vpt..``, under which the instruction runs; it is a text over args too.
    constant: the value that a constant has in every lane.
    """

    text: str
    result: int
    args: tuple[int, ...] = ()
    tied: int = -1
    apart: bool = False
    block: str = ""
    constant: int | None = None


@dataclass
class Placed:
    """Text of the loop: what precedes it, and its body; one line for each instruction."""

    before: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)


def immediate(value: int, bits: int) -> str:
    """Return the instruction that fills a register with a constant, "" if there is none of one."""
    unsigned = value & ((1 << bits) - 1)
    if bits == 8:
        return f"vmov.i8 {{d}}, #{unsigned}"
    byte = [shift for shift in range(0, bits, 8) if unsigned & ~(255 << shift) == 0]
    if byte:
        return f"vmov.i{bits} {{d}}, #{unsigned}"
    inverse = unsigned ^ ((1 << bits) - 1)
    if any(inverse & ~(255 << shift) == 0 for shift in range(0, bits, 8)):
        return f"vmvn.i{bits} {{d}}, #{inverse}"
    return ""


def with_vectors(code: list[Instruction], numbers: set[str]) -> list[Instruction]:
    """Return code where these scalars are vectors of one constant, wherever both can be."""
    fresh = max((one.result for one in code), default=0) + 1
    made, vectors = [], dict[str, int]()
    for instruction in code:
        one = instruction
        for number in sorted(numbers, key=int):  # sets have no order of their own
            operand = f"%[{number}]"
            texts = (one.text, one.block)
            if not any(text.endswith(operand) for text in texts):
                continue
            if one.text.startswith(SCALAR_ONLY):
                continue
            if number not in vectors:
                vectors[number] = fresh
                made.append(Instruction("", fresh, constant=int(number)))
                fresh += 1
            position = f"{{{len(one.args)}}}"
            text, block = (
                said.removesuffix(operand) + position if said.endswith(operand) else said
                for said in texts
            )
            one = replace(one, text=text, block=block, args=(*one.args, vectors[number]))
        made.append(one)
    return made


SCALAR_ONLY = ("vmla", "vdup", "vldr", "vstr")
"""Beginnings of instructions whose last operand cannot be a vector in place of a scalar."""


def placed(code: list[Instruction], bits: int) -> Placed:
    """Return code with registers; raises NotSpelt if eight do not suffice."""
    constants = [one for one in code if one.constant is not None]
    last: dict[int, int] = {}
    for position, one in enumerate(code):
        for arg in one.args:
            last[arg] = position
    consumed = {
        one.args[one.tied]
        for position, one in enumerate(code)
        if one.tied >= 0 and last[one.args[one.tied]] == position
    }
    hoisted = [one for one in constants if one.result not in consumed]
    for keep in range(len(hoisted), -1, -1):
        found = _attempt(code, hoisted[:keep], bits)
        if found is not None:
            return found
    raise NotSpelt("eight vector registers do not suffice")


def _delayed(code: list[Instruction], outside: set[int]) -> list[Instruction]:
    """Return code with constants that are not hoisted right before their first use."""
    waiting = {one.result: one for one in code if one.constant is not None}
    ordered: list[Instruction] = []
    for one in code:
        if one.constant is not None:
            continue
        wanted = dict.fromkeys(arg for arg in one.args if arg in waiting and arg not in outside)
        ordered += [*map(waiting.pop, wanted), one]
    return ordered


def _attempt(  # noqa: C901, PLR0912 - one case for each way in which a result meets operands
    code: list[Instruction], hoisted: list[Instruction], bits: int
) -> Placed | None:
    """Return code with these constants hoisted, None if registers do not suffice."""
    outside = {one.result for one in hoisted}
    ordered = _delayed(code, outside)
    last: dict[int, int] = {}
    for position, one in enumerate(ordered):
        for arg in one.args:
            last[arg] = position
    if len(hoisted) >= REGISTERS:
        return None
    made = Placed()
    where: dict[int, int] = {}
    free = list(range(REGISTERS))
    for one in hoisted:
        where[one.result] = free.pop()
        made.before += _constant(one, where[one.result], bits).split("\n")
    for position, one in enumerate(ordered):
        registers = [where[arg] for arg in one.args]
        dying = {arg for arg in one.args if last[arg] == position and arg not in outside}
        copy = ""
        if one.tied >= 0 and one.args[one.tied] in dying:
            register = where[one.args[one.tied]]
            free += [where[arg] for arg in dying if arg != one.args[one.tied]]
        elif one.tied >= 0:
            if not free:
                return None
            register = free.pop(0)
            copy = f"vmov q{register}, q{registers[one.tied]}"
            registers[one.tied] = register
            free += [where[arg] for arg in dying]
        elif one.apart:
            if not free and one.result in last:
                return None
            register = free.pop(0)
            free += [where[arg] for arg in dying]
        else:
            free += [where[arg] for arg in dying]
            if not free:
                return None
            free.sort()
            register = free.pop(0) if one.result in last else 0
        if copy:
            made.body.append(copy)
        where[one.result] = register
        if one.constant is not None:
            made.body += _constant(one, register, bits).split("\n")
            continue
        names = {f"{{{i}}}": f"q{number}" for i, number in enumerate(registers)}
        for text in filter(None, (one.block, one.text)):
            for name, said in {"{d}": f"q{register}", **names}.items():
                text = text.replace(name, said)  # noqa: PLW2901
            made.body.append(text)
        free.sort()
    return made


def _constant(one: Instruction, register: int, bits: int) -> str:
    """Return the text that makes a constant: with ``%[t]`` as a scratch register if need be."""
    assert one.constant is not None  # noqa: S101
    text = immediate(one.constant, bits)
    if text:
        return text.replace("{d}", f"q{register}")
    low, high = one.constant & 0xFFFF, one.constant >> 16 & 0xFFFF
    parts = [f"movw %[n], #{low}"]
    if bits == 32 and high:
        parts.append(f"movt %[n], #{high}")
    return "\n".join([*parts, f"vdup.{bits} q{register}, %[n]"])
