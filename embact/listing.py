"""The list of what embact has: each activation and each loop, with all that is declared about it.

It only puts together what other modules state: the catalogue's truth, the families' activations,
and the facts about TFLite. This module must not know how a list is shown, but for Markdown, which
is a text like another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.activations import CATALOGUE
from embact.catalogue.variants import VARIANTS
from embact.fit.takes import GENERAL, families_for
from embact.tflite.ops import NOTES, in_tflm, operators_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.activations import Parameter

DTYPES = ("int8", "int16")
"""What the input and the output of an element-wise kernel may be, in any pair."""


@dataclass(frozen=True)
class Placed:
    """What TFLite and TFLM have of a function.

    operators: what the converter writes; None if it has nothing for it. tflm: "yes", "no" or
    "in float" for each dtype, None where nothing is written.
    """

    operators: tuple[str, ...] | None
    tflm: dict[str, str | None]
    note: str


@dataclass(frozen=True)
class Listed:
    """An element-wise activation: what it is, and who has it."""

    name: str
    formula: str
    source: str
    symmetry: str
    parameters: tuple[Parameter, ...]
    dtypes: tuple[str, ...]
    families: tuple[str, ...]
    tflite: Placed


@dataclass(frozen=True)
class Loop:
    """A function of whole rows, or of two tensors, whose C is written by hand.

    command: the words after ``embact`` that write its C. tflite: the name under which
    ``embact.tflite.ops`` knows it; None if it is no operator.
    """

    name: str
    formula: str
    dtypes: str
    command: str
    tflite: str | None = None


LOOPS = (
    Loop(
        "softmax",
        "exp(beta x) / sum exp(beta x), by row",
        "int8, int8 -> int16, int16",
        "softmax",
        "softmax",
    ),
    Loop("log_softmax", "x - log(sum exp(x)), by row", "int8", "softmax --log", "log_softmax"),
    Loop("prelu", "x if x >= 0 else alpha[channel] x", "int8, int16", "prelu", "prelu"),
    Loop("glu", "a sigmoid(b), and with other gates", "int8, int16", "glu", "glu"),
    Loop("gates", "sigmoid and tanh inside an LSTM or GRU, sharing a table", "int16", "gates"),
    Loop(
        "run-time kernels",
        "functions whose quantisation is passed at run time, as plain C",
        "int8, int16",
        "library",
    ),
)
"""What is not element-wise, or not one function of one number."""


def placed(name: str | None) -> Placed:
    """Return what TFLite and TFLM have of a function; of None, which is inside an operator."""
    if name is None:
        return Placed(None, dict.fromkeys(DTYPES), "")
    tflm: dict[str, str | None] = {"int8": in_tflm(name, "int8"), "int16": in_tflm(name, "int16")}
    return Placed(operators_of(name), tflm, NOTES.get(name, ""))


def activations() -> tuple[Listed, ...]:
    """Return every entry of the catalogue, in its order."""
    return tuple(
        Listed(
            name=entry.name,
            formula=entry.formula,
            source=entry.source,
            symmetry=entry.symmetry,
            parameters=entry.parameters,
            dtypes=DTYPES,
            families=tuple(families_for(entry.name)),
            tflite=placed(entry.name),
        )
        for entry in CATALOGUE.values()
    )


def parameters_text(parameters: Sequence[Parameter]) -> str:
    """Return parameters with their defaults: ``alpha=0.2``; ``-`` for none.

    Of numbered ones the first and the last are named: ``a1..a8=0``.
    """
    numbered: dict[tuple[str, float], list[str]] = {}
    for one in parameters:
        stem = one.name.rstrip("0123456789")
        numbered.setdefault((stem, one.default), []).append(one.name)
    return (
        ", ".join(
            f"{names[0]}{f'..{names[-1]}' * (len(names) > 1)}={default:g}"
            for (_, default), names in numbered.items()
        )
        or "-"
    )


def families_text(families: Sequence[str]) -> str:
    """Return families in short, those that take every activation being ``general``.

    >>> families_text(("hard", "interp", "lut", "pwl", "quadratic", "shift_pwl", "tflm"))
    'general, tflm'
    """
    special = [family for family in families if family not in GENERAL]
    return ", ".join(["general", *special])


def tflite_text(found: Placed) -> str:
    """Return the operators of a function: ``-`` for none at all, ``nothing`` for an identity."""
    if found.operators is None:
        return "-"
    return " ".join(found.operators) or "nothing"


def tflm_text(found: Placed) -> str:
    """Return yes or no, and for which dtypes where they differ; a star refers to a note.

    >>> tflm_text(Placed(("GELU",), {"int8": "no", "int16": "no"}, ""))
    'no'
    >>> tflm_text(Placed(("ELU",), {"int8": "in float", "int16": "no"}, ""))
    'int8: in float; int16: no'
    """
    answers, star = set(found.tflm.values()), " *" * bool(found.note)
    if len(answers) == 1:
        return (answers.pop() or "-") + star
    return "; ".join(f"{dtype}: {answer}" for dtype, answer in found.tflm.items()) + star


HEADINGS = (
    "activation",
    "formula",
    "symmetry",
    "parameters",
    "dtypes",
    "families",
    "in TFLite as",
    "in TFLM",
)
VARIANT_HEADINGS = ("name", "is here", "to whom", "note")
LOOP_HEADINGS = ("not element-wise", "formula", "dtypes", "command", "in TFLite as", "in TFLM")

LEGEND = (
    f"general: {', '.join(GENERAL)}, which take every activation.",
    "Symmetry odd: f(-x) = -f(x); point: f(-x) = 1 - f(x); gated: f(x) - f(-x) = x.",
    "Symmetry and operators are those with the default parameters.",
    "In TFLite as: what the converter writes (A+B: B is fused into A); -: nothing that it knows.",
    "In TFLM: whether TFLM runs that, in integers unless it says in float.",
)
"""What the words of the tables mean, a sentence or two each."""


def rows() -> list[tuple[str, ...]]:
    """Return the table of activations, a cell for each of HEADINGS."""
    return [
        (
            one.name,
            one.formula,
            one.symmetry,
            parameters_text(one.parameters),
            ", ".join(one.dtypes),
            families_text(one.families),
            tflite_text(one.tflite),
            tflm_text(one.tflite),
        )
        for one in activations()
    ]


def loop_rows() -> list[tuple[str, ...]]:
    """Return the table of what is not element-wise, a cell for each of LOOP_HEADINGS."""
    return [
        (
            one.name,
            one.formula,
            one.dtypes,
            f"embact {one.command}",
            tflite_text(placed(one.tflite)),
            tflm_text(placed(one.tflite)),
        )
        for one in LOOPS
    ]


def variant_rows() -> list[tuple[str, ...]]:
    """Return who means what by a name, a cell for each of VARIANT_HEADINGS."""
    return [
        (
            one.name,
            one.meant,
            one.who,
            one.note,
        )
        for one in VARIANTS
    ]


def notes() -> list[str]:
    """Return what the tables' stars refer to, a line for each."""
    names = [*CATALOGUE, *(one.name for one in LOOPS)]
    return [f"* {name}: {NOTES[name]}." for name in names if name in NOTES]


def markdown() -> str:
    """Return both tables, the legend and the notes as Markdown."""
    parts = [
        _markdown_table(HEADINGS, rows()),
        "\n".join(LEGEND),
        "\n".join(notes()),
        _markdown_table(LOOP_HEADINGS, loop_rows()),
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; formulas are code, and a bar within a cell is escaped."""
    formula = headings.index("formula")
    shown = ([f"`{cell}`" if i == formula else cell for i, cell in enumerate(row)] for row in cells)
    lines = [headings, ["---"] * len(headings), *shown]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
