"""``embact_tflm.cc``: a registration for each kernel, of a custom or instead of a builtin operator.

A custom operator refuses quantisations and sizes that its function was not proved for. Nodes of a
builtin operator that no function was proved for are handed to the stock kernel. C++14. This module
must not know how models are converted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from embact import __version__
from embact.tflite.tflm import override_templates, templates
from embact.tflite.tflm.glue import by_builtin, check_routines, namespace_of
from embact.tflite.tflm.resolver import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from embact.grid import QuantSpec
    from embact.tflite.routine import Routine
    from embact.tflite.tflm.deployment import Deployment

_TYPES = {8: "kTfLiteInt8", 16: "kTfLiteInt16"}


def tflm_source(asked: Deployment) -> str:
    """Return ``embact_tflm.cc``, or "" if there are no kernels to register.

    Raises EmbactError as ``check_routines``.
    """
    routines = check_routines(asked)
    if not routines:
        return ""
    options = {OVERRIDES[one.builtin] for one in routines} if asked.form == "override" else set()
    fields = ""
    if options & {"alpha", "beta"}:
        fields += "  uint32_t option;  // the bits of alpha or beta\n"
    if "slopes" in options:
        fields += "  const Slopes* slopes;\n"
    body = _custom(routines) if asked.form == "custom" else _override(routines, options)
    lines = [
        f"// Written by embact {__version__}: do not edit, convert the model again.",
        '#include "embact_tflm.h"',
        "",
        "#include <stddef.h>",
        "#include <stdint.h>",
        "#include <string.h>",
        "",
        '#include "embact_ops.h"',
        '#include "tensorflow/lite/c/builtin_op_data.h"',
        '#include "tensorflow/lite/micro/kernels/kernel_util.h"',
        '#include "tensorflow/lite/micro/micro_context.h"',
        '#include "tensorflow/lite/micro/micro_log.h"',
        "",
        "namespace embact {",
        f"inline namespace {namespace_of(asked.stem)} {{",
        "namespace {",
        "",
    ]
    common = templates.COMMON.substitute(more_fields=fields)
    slopes = override_templates.SLOPES.lstrip() + "\n" if "slopes" in options else ""
    end = f"\n}}  // namespace {namespace_of(asked.stem)}\n}}  // namespace embact\n"
    return "\n".join(lines) + slopes + common + body + end


def _bits(value: float) -> str:
    return f"0x{np.float32(value).view(np.uint32):08x}u"


def _quantisations(routine: Routine, name: str) -> str:
    rows = "".join(f"    {_quantisation(spec)},\n" for spec in routine.specs)
    return f"\nconst Quantisation kQuantisations_{name}[] = {{\n{rows}}};\n"


def _quantisation(spec: QuantSpec) -> str:
    a, b = spec.input, spec.output
    return f"{{{_bits(a.scale)}, {_bits(b.scale)}, {a.zero_point}, {b.zero_point}}}"


def _routine(one: Routine, name: str, options: AbstractSet[str]) -> str:
    """Return the initialiser of a Routine, whose arrays have that name at their end."""
    fixed_rows = one.row_size > 1 or one.builtin in {"SOFTMAX", "LOG_SOFTMAX"}
    values = [
        one.symbol,
        f"kQuantisations_{name}",
        str(len(one.specs)),
        _TYPES[one.specs[0].input.bits],
        _TYPES[one.specs[0].output.bits],
        str(one.row_size if fixed_rows else 0),
        str(one.inputs_per_output),
    ]
    if options & {"alpha", "beta"}:
        values.append("0" if one.option is None else _bits(one.option))
    if "slopes" in options:
        values.append(f"&kSlopes_{name}" if one.slopes else "nullptr")
    return "{" + ",\n     ".join(values) + "}"


def _custom(routines: Sequence[Routine]) -> str:
    text = templates.CUSTOM
    for one in routines:
        text += _quantisations(one, one.function)
        routine = _routine(one, one.function, frozenset())
        text += f"\nconst Routine kRoutine_{one.function} =\n    {routine};\n"
        text += templates.ONE_CUSTOM.substitute(function=one.function)
    text += "\n}  // namespace\n"
    for one in routines:
        text += templates.REGISTER_CUSTOM.substitute(function=one.function)
    return text


_SAME = {
    "": ("nullptr", ""),
    "alpha": (
        "SameAlpha",
        override_templates.SAME_OPTION.substitute(
            same="SameAlpha", options="TfLiteLeakyReluParams", field="alpha"
        ),
    ),
    "beta": (
        "SameBeta",
        override_templates.SAME_OPTION.substitute(
            same="SameBeta", options="TfLiteSoftmaxParams", field="beta"
        ),
    ),
    "slopes": ("SameSlopes", override_templates.SAME_SLOPES),
}


def _override(routines: Sequence[Routine], options: AbstractSet[str]) -> str:
    text = override_templates.OVERRIDE + "".join(_SAME[option][1] for option in sorted(options))
    groups = by_builtin("override", routines)
    for op, ours in groups.items():
        rows = ""
        for number, one in enumerate(ours):
            name = f"{op}_{number}"
            text += _slopes(one, name) + _quantisations(one, name)
            rows += f"    {_routine(one, name, options)},\n"
        text += f"\nconst Routine k{op}[] = {{\n{rows}}};\n"
        same = _SAME[OVERRIDES[op]][0]
        text += override_templates.ONE_OVERRIDE.substitute(op=op, count=len(ours), same=same)
    text += "\n}  // namespace\n"
    for op in groups:
        text += override_templates.REGISTER_OVERRIDE.substitute(op=op)
    return text


def _slopes(routine: Routine, name: str) -> str:
    """Return the slopes by which a PRELU is known; "" for other operators."""
    if not routine.slopes or routine.slopes_grid is None:
        return ""
    codes = [byte - 256 if byte > 127 else byte for byte in routine.slopes]
    rows = [", ".join(map(str, codes[i : i + 16])) for i in range(0, len(codes), 16)]
    grid = routine.slopes_grid
    return (
        f"\nconst int8_t kCodes_{name}[] = {{\n    " + ",\n    ".join(rows) + "};\n"
        f"\nconst Slopes kSlopes_{name} = {{{_bits(grid.scale)}, {grid.zero_point}, "
        f"{len(codes)}, kCodes_{name}}};\n"
    )
