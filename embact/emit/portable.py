"""The portable tier: how C99 spells each operation, and the element-by-element loop around it.

Every operand is an int32_t (a local, a table element that is cast, or a literal), so no operation
depends on the width of int. This module must not know activations, certificates or files.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from embact.ir import INT32_MIN, Node, Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from embact.kernel import Kernel

WIDTH = 96
"""Column at which a long expression is broken."""

# fmt: off
KEYWORDS = frozenset((
    "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break",
    "case", "catch", "char", "class", "compl", "const", "const_cast", "constexpr", "continue",
    "decltype", "default", "delete", "do", "double", "dynamic_cast", "else", "enum", "explicit",
    "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline", "int",
    "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator",
    "or", "or_eq", "private", "protected", "public", "register", "reinterpret_cast", "restrict",
    "return", "short", "signed", "sizeof", "static", "static_assert", "static_cast", "struct",
    "switch", "template", "this", "thread_local", "throw", "true", "try", "typedef", "typeid",
    "typename", "typeof", "typeof_unqual", "union", "unsigned", "using", "virtual", "void",
    "volatile", "wchar_t", "while", "xor", "xor_eq",
    "char8_t", "char16_t", "char32_t", "concept", "consteval", "constinit", "co_await", "co_return",
    "co_yield", "requires", "std",
))
# fmt: on
"""What neither C (up to C23) nor C++ (up to 20) takes as a name."""

TYPES = frozenset(f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64))
"""What <stdint.h> defines and emitted C may use."""


def _limits(bits: int) -> tuple[str, str]:
    return literal(-(1 << (bits - 1))), literal((1 << (bits - 1)) - 1)


def literal(value: int) -> str:
    """Return a C literal of an int32 value; the smallest has no literal of its own."""
    return "(-2147483647 - 1)" if value == INT32_MIN else str(value)


def _sat(node: Node, a: str) -> str:
    low, high = _limits(node.value)
    return f"({a} < {low} ? {low} : {a} > {high} ? {high} : {a})"


SPELLING: dict[Op, Callable[..., str]] = {
    Op.INPUT: lambda _: "x",
    Op.CONST: lambda node: literal(node.value),
    Op.SELECT: lambda _, a, b, c, d: f"({a} < {b} ? {c} : {d})",
    Op.ADD: lambda _, a, b: f"({a} - {b[1:]})" if b[0] == "-" else f"({a} + {b})",
    Op.SUB: lambda _, a, b: f"({a} + {b[1:]})" if b[0] == "-" else f"({a} - {b})",
    Op.MUL: lambda _, a, b: f"({a} * {b})",
    Op.MULH: lambda _, a, b: f"(int32_t)(((int64_t){a} * {b}) >> 32)",
    Op.DIV: lambda _, a, b: f"({a} / {b})",
    Op.SHL: lambda node, a: f"EMBACT_SHL({_bare(a)}, {node.value})",
    Op.SHR: lambda node, a: f"({a} >> {node.value})",
    Op.AND: lambda _, a, b: f"({a} & {b})",
    Op.MIN: lambda _, a, b: f"({a} < {b} ? {a} : {b})",
    Op.MAX: lambda _, a, b: f"({a} > {b} ? {a} : {b})",
    Op.SAT: _sat,
}
"""Spelling by operation, given the operands' text. LOOKUP needs the table's name: see ``body``."""

REPEATS = {Op.MIN, Op.MAX, Op.SAT}
"""Operations whose spelling repeats operands, which therefore must be locals."""


def body(kernel: Kernel, table_names: Mapping[str, str], indent: str) -> list[str]:
    """Return the C statements that compute a kernel's result ``y`` from ``x``, one local per line.

    table_names: the emitted name of each of the kernel's tables. Each local is assigned once and
    carries its exact range over all inputs in a comment.
    """
    text: dict[int, str] = {}
    lines: list[str] = []
    locals_ = _locals(kernel, table_names.values())
    for node in kernel.nodes:
        operands = [text[id(arg)] for arg in node.args]
        if node.op is Op.MULH and _product_fits(kernel, node):
            # the same value, and clang 22 makes wrong vectors of (int16 * int16) >> 32
            spelled = f"(({operands[0]} * {operands[1]}) >> 31)"
        elif node.table is not None:
            spelled = f"(int32_t){table_names[node.table.name]}[{_bare(operands[0])}]"
        else:
            spelled = SPELLING[node.op](node, *operands)
        if id(node) in locals_ and node.op is not Op.INPUT:
            low, high = kernel.range_of(node)
            name = locals_[id(node)]
            bounds = f" /* {low}..{high} */"
            statement = f"{indent}const int32_t {name} = {_bare(spelled)};{bounds}"
            if len(statement) <= WIDTH:
                lines.append(statement)
            else:
                lines.append(f"{indent}const int32_t {name} ={bounds}")
                lines += _wrapped(_bare(spelled), indent + "    ", len(";"))
                lines[-1] += ";"
            text[id(node)] = name
        else:
            text[id(node)] = spelled
    return lines


def _product_fits(kernel: Kernel, node: Node) -> bool:
    """Return whether the product of a node's two operands fits int32 whatever they are."""
    ends = [kernel.range_of(arg) for arg in node.args]
    return max(abs(a * b) for a in ends[0] for b in ends[1]) < 1 << 31


def _locals(kernel: Kernel, tables: Iterable[str]) -> dict[int, str]:
    """Return the local's name of every node that needs one: named, shared, repeated, the result.

    No local has the name of a table, a type or another local.
    """
    uses = Counter(id(arg) for node in kernel.nodes for arg in node.args)
    repeated = {id(arg) for node in kernel.nodes if node.op in REPEATS for arg in node.args}
    selected = {id(arg) for node in kernel.nodes if node.op is not Op.SELECT for arg in node.args}
    names: dict[int, str] = {}
    taken = {"x", "y", "i", "input", "output", "size", *KEYWORDS, *TYPES, *tables}
    for number, node in enumerate(kernel.nodes):
        shared = uses[id(node)] > 1 or id(node) in repeated
        # a choice between literals has type int: as a local it becomes an int32_t
        typed = node.op is Op.SELECT and id(node) in selected
        if node is kernel.expression:
            names[id(node)] = "y"
        elif node.op not in (Op.CONST, Op.INPUT) and (node.name or shared or typed):
            name = node.name or f"t{number}"
            while name in taken:
                name = f"{name}_{number}"
            taken.add(name)
            names[id(node)] = name
    return names


def _bare(text: str) -> str:
    """Return an expression without the parentheses that enclose all of it."""
    enclosed = text.startswith("(") and text.endswith(")") and all(_depths(text)[1:-1])
    return text[1:-1] if enclosed else text


BREAKS = tuple(map(re.compile, (r"(?<=,) ", r" (?=[?:] )", r" (?=(?:<<|>>|[-+*/&<>]) )")))
"""Spaces where a line may end: after a comma, or before an operator, what binds least first."""


def _wrapped(text: str, indent: str, after: int = 0) -> list[str]:
    """Return an expression in lines of at most WIDTH columns, broken at its outermost operators.

    after: how many characters are to follow the last line. Only what has neither an operator nor
    brackets to break at can be wider.
    """
    if len(indent) + len(text) + after <= WIDTH:
        return [indent + text]
    depths = _depths(text)
    for spaces in BREAKS:
        cuts = [found.start() for found in spaces.finditer(text) if not depths[found.start()]]
        if cuts:
            pieces = [text[a:b].lstrip() for a, b in pairwise([0, *cuts, len(text)])]
            lines = [line for piece in pieces[:-1] for line in _wrapped(piece, indent)]
            return [*lines, *_wrapped(pieces[-1], indent, after)]
    outer = [i for i, character in enumerate(text) if character in "([])" and not depths[i]]
    if not outer:
        return [indent + text]
    start, end = outer[-2] + 1, outer[-1]
    head, tail = indent + text[:start], text[end:]
    inside = _wrapped(text[start:end], indent + "    ", len(tail) + after)
    inside[-1] += tail
    first = head + inside[0].lstrip()
    if len(first) + after * (len(inside) == 1) <= WIDTH:
        return [first, *inside[1:]]
    return [head, *inside]


def _depths(text: str) -> list[int]:
    """Return how many brackets enclose each character; a bracket does not enclose itself."""
    depths, depth = [], 0
    for character in text:
        depth -= character in ")]"
        depths.append(depth)
        depth += character in "(["
    return depths


def signature(kernel: Kernel, name: str) -> str:
    """Return ``static inline void name(const intN_t *input, intM_t *output, int32_t size)``."""
    types = f"const int{kernel.input_bits}_t *input, int{kernel.output_bits}_t *output"
    return f"static inline void {name}({types}, int32_t size)"


def loop(kernel: Kernel, table_names: Mapping[str, str]) -> list[str]:
    """Return the C statements that compute every element of the output."""
    lines = ["    for (int32_t i = 0; i < size; ++i) {"]
    low, high = -(1 << (kernel.input_bits - 1)), (1 << (kernel.input_bits - 1)) - 1
    if any(node.op is Op.INPUT for node in kernel.nodes):
        lines.append(f"        const int32_t x = input[i]; /* {low}..{high} */")
    else:
        lines.append("        (void)input; /* the result is the same for every input */")
    statements = body(kernel, table_names, "        ")
    if kernel.expression.op is Op.INPUT:
        statements = ["        const int32_t y = x;"]
    return [*lines, *statements, f"        output[i] = (int{kernel.output_bits}_t)y;", "    }"]


def function(kernel: Kernel, name: str, table_names: Mapping[str, str]) -> str:
    """Return the C function of a kernel: ``void name(const intN_t *, intM_t *, int32_t)``."""
    lines = [signature(kernel, name), "{", *loop(kernel, table_names), "}"]
    return "\n".join(lines) + "\n"
