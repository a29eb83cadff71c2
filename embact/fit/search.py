"""Search: build candidates from the families, certify each, return the cheapest within the limits.

This module must not know how a family works, or any core's instruction counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.certify import certify
from embact.errors import EmbactError, unknown_name
from embact.fit.affine import affine
from embact.fit.lut import lut
from embact.fit.pwl import pwl
from embact.fit.record import Candidate, Fit, Limits, meets
from embact.ir import Op

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from embact.activations import Activation
    from embact.grid import QuantSpec
    from embact.kernel import Kernel

FAMILIES: dict[str, Callable[[Activation, QuantSpec, Limits], Iterator[Candidate]]] = {
    "affine": affine,
    "lut": lut,
    "pwl": pwl,
}

AUTO = "auto"

OPERATIONS: dict[Op, int] = {
    Op.INPUT: 0,
    Op.CONST: 0,
    Op.LOOKUP: 2,
    Op.SELECT: 2,
    Op.ADD: 1,
    Op.SUB: 1,
    Op.MUL: 1,
    Op.MULH: 2,
    Op.SHL: 1,
    Op.SHR: 1,
    Op.AND: 1,
    Op.MIN: 2,
    Op.MAX: 2,
    Op.SAT: 4,
}
"""Rough instructions of each operation on a plain Thumb core: an ordering, not a measurement."""


def operations(kernel: Kernel) -> int:
    """Return the estimated instructions per element if every node is executed."""
    return sum(OPERATIONS[node.op] for node in kernel.nodes)


def candidates(
    activation: Activation, spec: QuantSpec, limits: Limits, family: str = AUTO
) -> Iterator[Fit]:
    """Yield the certified candidates of one family or of all; they need not meet the limits."""
    if family != AUTO and family not in FAMILIES:
        raise unknown_name("family", family, (*FAMILIES, AUTO))
    for name in FAMILIES if family == AUTO else (family,):
        for candidate in FAMILIES[name](activation, spec, limits):
            certificate = certify(activation, spec, candidate.kernel)
            yield Fit(activation, spec, limits, name, candidate, certificate)


def fit(
    activation: Activation, spec: QuantSpec, limits: Limits | None = None, family: str = AUTO
) -> Fit:
    """Return the certified kernel with the fewest estimated instructions within the limits.

    Ties go to the smaller tables, then to the smaller error. Raises EmbactError if no candidate
    meets the limits, naming the best that each family reached.
    """
    limits = limits or Limits()
    found = list(candidates(activation, spec, limits, family))
    meeting = [one for one in found if meets(one)]
    if not meeting:
        reached = "; ".join(
            f"{one.family} {one.certificate.max_error_codes} codes, {one.kernel.table_bytes} bytes"
            for one in found
        )
        wanted = f"{limits.max_error} codes"
        if limits.max_bytes is not None:
            wanted += f", {limits.max_bytes} table bytes"
        raise EmbactError(
            f"no {'kernel' if family == AUTO else family + ' kernel'} of {activation.name} "
            f"({spec.input.dtype} -> {spec.output.dtype}) meets the budget",
            got=wanted,
            allowed=reached or f"nothing: {family} does not apply here; try --family {AUTO}",
        )
    return min(meeting, key=_price)


def _price(one: Fit) -> tuple[int, int, float]:
    return operations(one.kernel), one.kernel.table_bytes, one.certificate.max_error_lsb
