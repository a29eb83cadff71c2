"""The kernels of a model's placements as compiled C, compared with their definitions first.

This module must not know models or interpreters.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from embact.certify import also_checked
from embact.errors import CheckFailed
from embact.run.host import PLACE, HostKernels, compile_header
from embact.run.observer import check_isolated
from embact.tflite.placement import Placement, kernels_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def compile_placed(
    placements: Sequence[Placement], header: str
) -> tuple[HostKernels, tuple[Placement, ...]]:
    """Return a header's functions compiled, and the placements with that evidence added.

    header: the C that defines every placement's function. Raises CheckFailed if one of them is not
    its kernel on every input, EmbactError if the header does not compile.
    """
    kernels = kernels_of(placements)
    widths = {name: (fit.spec.input.bits, fit.spec.output.bits) for name, fit in kernels.items()}
    compiled = compile_header(header, widths)
    found = check_isolated(compiled, {name: fit.kernel for name, fit in kernels.items()})
    for name, words in found.items():
        raise CheckFailed(f"compiled {name} differs from its definition", got=words)
    seen = {name: compiled.run(name, fit.spec.input.codes()) for name, fit in kernels.items()}
    return compiled, tuple(
        dataclasses.replace(
            one,
            fit=dataclasses.replace(
                one.fit,
                certificate=also_checked(
                    one.fit.certificate, one.fit.kernel, seen[one.function], PLACE
                ),
            ),
        )
        for one in placements
    )
