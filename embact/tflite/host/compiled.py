"""The routines of a model's placements as compiled C, compared with their definitions first.

This module must not know models or interpreters.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embact.certify import also_checked
from embact.errors import CheckFailed, EmbactError
from embact.run.build import extension
from embact.run.host import CDEF, PLACE, HostKernels
from embact.run.observer import check_isolated
from embact.tflite.host.layer_check import check_layers
from embact.tflite.placement import LayerPlacement, kernels_of, layers_of
from embact.tflite.routines import OPS_HEADER, symbol_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.tflite.placement import Placed


def compile_placed(
    placements: Sequence[Placed], files: Mapping[str, str]
) -> tuple[HostKernels, tuple[Placed, ...]]:
    """Return the compiled functions, and the placements with that evidence added.

    files: C by file name, as ``routines.sources`` gives it; ``embact_ops.h`` includes the rest and
    has the routine of every function. Raises CheckFailed if a kernel is not its definition on every
    input, or a layer not its own on ``rows_to_compare``; EmbactError if the C does not compile.
    """
    compiled = compile_routines(placements, files)
    kernels = kernels_of(placements)
    found = check_isolated(compiled, {name: fit.kernel for name, fit in kernels.items()})
    found |= check_layers(compiled, layers_of(placements))
    for name, words in found.items():
        raise CheckFailed(f"compiled {name} differs from its definition", got=words)
    seen = {name: compiled.run(name, fit.spec.input.codes()) for name, fit in kernels.items()}

    def evident(one: Placed) -> Placed:
        if isinstance(one, LayerPlacement):
            return one
        fit = one.fit
        proved = also_checked(fit.certificate, fit.kernel, seen[one.function], PLACE)
        return dataclasses.replace(one, fit=dataclasses.replace(fit, certificate=proved))

    return compiled, tuple(map(evident, placements))


def compile_routines(placements: Sequence[Placed], files: Mapping[str, str]) -> HostKernels:
    """Return the routines of placements by function, compiled and not compared with anything.

    Raises EmbactError with the compiler's message if the C is not as it should be.
    """
    if OPS_HEADER not in files:
        raise EmbactError("C without its routines", got=", ".join(files), allowed=OPS_HEADER)
    widths = {
        one.function: (one.site.spec.input.bits, one.site.spec.output.bits) for one in placements
    }
    listed = ", ".join(map(symbol_of, widths))
    glue = (
        f'#include "{OPS_HEADER}"\n\n{CDEF.strip()}\n'
        "embact_run embact_kernel(int32_t index)\n{\n"
        f"    static const embact_run all[] = {{{listed}}};\n    return all[index];\n}}\n"
    )
    module = extension("kernels", CDEF, {**files, "embact_table.c": glue})
    return HostKernels(module, {name: (i, *widths[name]) for i, name in enumerate(widths)})
