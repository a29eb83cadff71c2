"""What TFLM is handed for a converted model: which kernels, and which operators it needs besides.

This module must not know C++ or how models are converted.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.tflite.tflm.resolver import CUSTOM_METHODS, METHODS, OVERRIDES
from embact.tflite.tflm.safe_text import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.routine import Routine
    from embact.tflite.tflm.deployment import Deployment

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def namespace_of(stem: str) -> str:
    """Return the inline namespace of a model, so that several can be linked into one program."""
    return f"model_{identifier(stem)}"


def used_routines(asked: Deployment) -> tuple[Routine, ...]:
    """Return the routines that the glue hands to TFLM.

    All in form custom, one for each function. None in form builtin. In form override those that
    replace one operator whose resolver method takes a kernel; a pattern cannot be overridden.
    """
    if asked.form == "builtin":
        return ()
    if asked.form == "custom":
        return _by_function(asked.routines)
    return tuple(one for one in asked.routines if one.builtin in OVERRIDES)


def _by_function(routines: Sequence[Routine]) -> tuple[Routine, ...]:
    """Return the routines with those of one function made one, with the quantisations of all.

    A function may stand for nodes of which the override form tells more than the custom form does.
    Raises EmbactError if they differ in what the function is.
    """
    found: dict[str, Routine] = {}
    for one in routines:
        first = found.setdefault(one.function, one)
        same = (one.symbol, one.row_size, one.inputs_per_output)
        if same != (first.symbol, first.row_size, first.inputs_per_output):
            raise EmbactError("different routines with one name", got=one.function)
        specs = dict.fromkeys((*first.specs, *one.specs))
        found[one.function] = dataclasses.replace(first, specs=tuple(specs))
    return tuple(found.values())


def missing_in_tflm(asked: Deployment) -> tuple[str, ...]:
    """Return the builtin operators of the written model that TFLM's resolver does not have."""
    return tuple(op for op in asked.stock if op not in METHODS)


def unknown_customs(asked: Deployment) -> tuple[str, ...]:
    """Return the custom operators, neither ours nor TFLM's, that the user has to add."""
    return tuple(op for op in asked.foreign if op not in CUSTOM_METHODS)


def operator_count(asked: Deployment) -> int:
    """Return how many operators the resolver holds, at least 1."""
    customs = len(used_routines(asked)) if asked.form == "custom" else 0
    return max(1, len(asked.stock) + len(asked.foreign) + customs)


def check_routines(asked: Deployment) -> tuple[Routine, ...]:
    """Return ``used_routines``.

    Raises EmbactError if a name is no C identifier, if a routine has no quantisation or several
    types, if routines of one function differ, or if form override lacks what identifies a node.
    """
    routines = used_routines(asked)
    for one in routines:
        for name in (one.function, one.symbol):
            if not _NAME.fullmatch(name):
                raise EmbactError("name of a C function", got=repr(name), allowed="an identifier")
        if len({(spec.input.bits, spec.output.bits) for spec in one.specs}) != 1:
            raise EmbactError("types of a routine", got=one.specs, where=one.function)
        if one.row_size < 1 or one.inputs_per_output < 1:
            raise EmbactError("row of a routine", got=one.row_size, where=one.function)
        if asked.form == "override":
            _check_identity(one)
    return routines


def _check_identity(routine: Routine) -> None:
    option = OVERRIDES[routine.builtin]
    if option in {"alpha", "beta"} and routine.option is None:
        raise EmbactError(f"{option} of {routine.builtin}", got=None, where=routine.function)
    if option == "slopes" and (not routine.slopes or routine.slopes_grid is None):
        raise EmbactError("slopes of PRELU", got=None, where=routine.function)


def by_builtin(form: str, routines: Sequence[Routine]) -> dict[str, list[Routine]]:
    """Return the routines of form override by the operator that they replace."""
    found: dict[str, list[Routine]] = {}
    for one in routines if form == "override" else ():
        found.setdefault(one.builtin, []).append(one)
    return found
