"""Family ``lut``: one table entry per input code; correctly rounded by construction.

This module must not know C or costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.certify import ideal
from embact.fit.record import Candidate, Limits
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embact.activations import Activation
    from embact.grid import QuantSpec


def lut(activation: Activation, spec: QuantSpec, limits: Limits) -> Iterator[Candidate]:
    """Yield the full table of an int8 input: 256 bytes for int8 outputs, 512 for int16.

    An int16 input would take 65,536 entries: nothing is yielded.
    """
    del limits  # exact whatever the budget is
    if spec.input.bits == 8:
        values = tuple(int(code) for code in ideal(activation, spec).codes)
        index = add(x(), const(-spec.input.code_min))
        kernel = Kernel(lookup(Table("lut", values), index), spec.input.bits, spec.output.bits)
        yield Candidate(kernel, {"entries": len(values)})
