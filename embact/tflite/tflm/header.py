"""``embact_tflm.h``: RegisterAll with exactly the operators that a model needs, and its kernels.

C++14. This module must not know how kernels are looked up or run.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from embact import __version__
from embact.tflite.tflm.glue import (
    by_builtin,
    check_routines,
    missing_in_tflm,
    namespace_of,
    operator_count,
    unknown_customs,
)
from embact.tflite.tflm.resolver import CUSTOM_METHODS, METHODS
from embact.tflite.tflm.safe_text import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from embact.tflite.routine import Routine
    from embact.tflite.tflm.deployment import Deployment


def tflm_header(asked: Deployment) -> str:
    """Return ``embact_tflm.h``. Raises EmbactError as ``check_routines``."""
    routines = check_routines(asked)
    space = namespace_of(asked.stem)
    guard = f"EMBACT_TFLM_{space.upper()}_H"
    return "\n".join(
        [
            f"// Operators of the model '{plain(asked.stem)}' for TensorFlow Lite Micro.",
            f"// Written by embact {__version__}: do not edit, convert the model again.",
            f"#ifndef {guard}",
            f"#define {guard}",
            "",
            '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
            "",
            "namespace embact {",
            f"inline namespace {space} {{",
            "",
            "// How many operators the model needs, and a resolver with room for them and no more.",
            f"constexpr unsigned int kOperators = {operator_count(asked)};",
            "using OpResolver = tflite::MicroMutableOpResolver<kOperators>;",
            "",
            *_declarations(asked, routines),
            *_register_all(asked, routines),
            f"}}  // namespace {space}",
            "}  // namespace embact",
            "",
            f"#endif  // {guard}",
            "",
        ]
    )


def _declarations(asked: Deployment, routines: Sequence[Routine]) -> list[str]:
    lines = []
    if asked.form == "custom":
        for one in routines:
            lines += [*_comment(one.about), f"TFLMRegistration Register_{one.function}();"]
    for op, ours in by_builtin(asked.form, routines).items():
        lines.append(f"// {op} by these functions where a node has their quantisation, else stock:")
        for one in ours:
            lines += _comment(f"{one.function}: {one.about}")
        lines.append(f"TFLMRegistration Register_{op}();")
    return [*lines, ""] if lines else []


def _comment(text: str) -> list[str]:
    return [f"// {line}" for line in textwrap.wrap(plain(text, 300), 97)]


def _register_all(asked: Deployment, routines: Sequence[Routine]) -> list[str]:
    ours = by_builtin(asked.form, routines)
    calls = [
        f"{METHODS[op]}({f'Register_{op}()' if op in ours else ''})"
        for op in asked.stock
        if op in METHODS
    ]
    calls += [f"{CUSTOM_METHODS[op]}()" for op in asked.foreign if op in CUSTOM_METHODS]
    steps = [f"resolver.{call}" for call in calls]
    if asked.form == "custom":
        steps += [
            f'AddCustom(resolver, "{one.function}", Register_{one.function}())' for one in routines
        ]
    open_ops = [*missing_in_tflm(asked), *unknown_customs(asked)]
    lines = _add_custom() if asked.form == "custom" and routines else []
    if open_ops:
        lines += _with_more(open_ops)
        steps.append("more(resolver)")
    else:
        lines += [
            "// Adds the operators that the model needs; returns the first error.",
            "template <unsigned int N>",
            "TfLiteStatus RegisterAll(tflite::MicroMutableOpResolver<N>& resolver) {",
        ]
    lines += [
        '  static_assert(N >= kOperators, "the resolver has no room: use embact::OpResolver");',
        "  TfLiteStatus status = kTfLiteOk;",
    ]
    if not steps:
        lines.append("  (void)resolver;")
    for step in steps:
        lines += [
            f"  status = {step};",
            "  if (status != kTfLiteOk) {",
            "    return status;",
            "  }",
        ]
    return [*lines, "  return status;", "}", ""]


def _add_custom() -> list[str]:
    return [
        "template <unsigned int N>",
        "TfLiteStatus AddCustom(tflite::MicroMutableOpResolver<N>& resolver, const char* name,",
        "                       TFLMRegistration registration) {",  # in 2023 it was no const *
        "  return resolver.AddCustom(name, &registration);  // it keeps a copy",
        "}",
        "",
    ]


def _with_more(open_ops: Sequence[str]) -> list[str]:
    """Return both overloads of RegisterAll for a model with operators that are not known here."""
    names = plain(", ".join(plain(op, 40) for op in open_ops), 240)
    return [
        f"// TFLM's resolver has no method for: {names}.",
        "// RegisterAll needs a function that adds them and returns a TfLiteStatus: see README.md.",
        "template <unsigned int N>",
        "TfLiteStatus RegisterAll(tflite::MicroMutableOpResolver<N>&) {",
        "  static_assert(N == 0,",
        f'                "TFLM has no method for {names}: "',
        '                "hand RegisterAll a function that adds them, see README.md");',
        "  return kTfLiteError;",
        "}",
        "",
        "// Adds the operators that the model needs, then calls more; returns the first error.",
        "template <unsigned int N, typename More>",
        "TfLiteStatus RegisterAll(tflite::MicroMutableOpResolver<N>& resolver, More more) {",
    ]
