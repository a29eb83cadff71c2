"""Text for one core: the conditionals on the tier are resolved as its compiler would.

Conditionals on the tier are lines of few forms, see ``TIER``. All other lines stay as they are.
This module must not know kernels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.cores import CORES, TIERS
from embact.errors import EmbactError

if TYPE_CHECKING:
    from embact.cores import Core

TIER = re.compile(r"# *(?:el)?if EMBACT_TIER (==|>=) EMBACT_TIER_([A-Z0-9]+)")
"""A line that asks for the tier, without comment."""

DIRECTIVE = re.compile(r"# *(if|ifdef|ifndef|elif|else|endif)\b")

END_OF_TIERS = "#endif /* EMBACT_TIER_PORTABLE */"
"""The line after which the tier is known."""


@dataclass(frozen=True)
class Branch:
    """Where a line stands in an ``#if``: kept says whether the text of this arm is.

    by_tier: whether it asks for the tier. decided: whether this arm or one before it is the
    compiler's. around: whether the text around the conditional is kept.
    """

    by_tier: bool
    kept: bool
    decided: bool
    around: bool


def prune(text: str, core: Core) -> str:
    """Return a C text with what compilers for a core read, and an ``#error`` for those of others.

    Raises EmbactError for a conditional on the tier that is written in another way.

    >>> from embact.cores import core
    >>> text = chr(10).join(["#if EMBACT_TIER >= EMBACT_TIER_DSP", "a", "#else", "b", "#endif"])
    >>> prune(text, core("cortex-m33")), prune(text, core("cortex-m3"))
    ('a', 'b')
    """
    lines: list[str] = []
    stack: list[Branch] = []
    for number, line in enumerate(text.split("\n"), 1):
        around = stack[-1].kept if stack else True
        directive = DIRECTIVE.match(line)
        word = directive[1] if directive else ""
        if word.startswith("if"):
            asks = _holds(line, core, number) if word == "if" else None
            now = around and asks is not False
            stack.append(Branch(asks is not None, kept=now, decided=bool(asks), around=around))
            lines += [line] * (around and asks is None)
        elif not word:
            lines += [line] * around
        elif not stack:
            raise EmbactError("conditional", got=line, allowed="after #if", where=f"line {number}")
        elif word == "endif":
            top = stack.pop()
            lines += [line] * (top.around and not top.by_tier)
        else:
            stack[-1], kept = _next_arm(stack[-1], line, word, core, number)
            lines += kept
        if line == END_OF_TIERS:
            lines += _check(core)
    if stack:
        raise EmbactError("conditional", got="no #endif", allowed="one for each #if")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _next_arm(
    top: Branch, line: str, word: str, core: Core, number: int
) -> tuple[Branch, list[str]]:
    """Return where lines stand after an ``#elif`` or ``#else``, and what is left of it.

    Arms that ask for the tier come first: those after them that ask for other things become a
    conditional of their own where no arm before is the compiler's.
    """
    asks = True if word == "else" else _holds(line, core, number)
    if not top.by_tier:
        if word == "elif" and asks is not None:
            raise EmbactError(
                "arm of a conditional",
                got=line,
                allowed="arms that ask for the tier before others",
                where=f"line {number}",
            )
        return top, [line] * top.around
    if asks is None and not top.decided:
        other = Branch(by_tier=False, kept=top.around, decided=False, around=top.around)
        return other, [line.replace("elif", "if", 1)] * top.around
    kept = top.around and bool(asks) and not top.decided
    decided = top.decided or bool(asks)
    return Branch(by_tier=True, kept=kept, decided=decided, around=top.around), []


def _holds(line: str, core: Core, number: int) -> bool | None:
    """Return whether a line's condition on the tier holds, or None if it is about other things."""
    plain = re.sub(r"\s*/\*.*\*/$", "", line)
    asked = TIER.fullmatch(plain)
    if asked is None:
        if "EMBACT_TIER" in plain:
            raise EmbactError(
                "conditional on the tier",
                got=line,
                allowed="#if EMBACT_TIER == or >= EMBACT_TIER_NAME",
                where=f"line {number}",
            )
        return None
    relation, name = asked[1], asked[2].lower()
    if name not in TIERS:
        raise EmbactError("tier", got=asked[2], allowed=", ".join(TIERS), where=f"line {number}")
    own, other = TIERS.index(core.tier), TIERS.index(name)
    return own == other if relation == "==" else own >= other


def _check(core: Core) -> list[str]:
    """Return the lines that stop compilers for a core of another tier."""
    names = ", ".join(each.name for each in CORES.values() if each.tier == core.tier)
    if core.tier == "helium":  # gcc's default ABI hides the vectors of the right core, too
        said = f"tier helium: compile with -mcpu={names}, -mfloat-abi=hard or softfp"
    else:
        said = f"tier {core.tier} ({names}): emit one without --target"
    return [
        "",
        f"#if EMBACT_TIER != EMBACT_TIER_{core.tier.upper()}",
        f'#error "This header is for {said}"',
        "#endif",
    ]
