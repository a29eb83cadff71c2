"""What our kernel of a site costs, without a search for it: a bound, or what such kernels take.

This module must not know today's kernels, graphs or searches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact import cost
from embact.cores import CORES, DEFAULT_CORE
from embact.errors import unknown_name
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.site import GluAsked, LayerSite
from embact.tflite.stock.layer_costs import row_instructions

if TYPE_CHECKING:
    from embact.grid import QuantSpec
    from embact.tflite.site import Site


@dataclass(frozen=True)
class OwnCost:
    """What our kernel of a site costs for each element.

    instructions: None if nothing comparable was measured. at_most: whether the search never takes
    more, since that form always serves; otherwise it is what such kernels usually take. form: which
    one, in words.
    """

    instructions: float | None
    at_most: bool
    form: str


def own_cost(site: Site | LayerSite, core: str = DEFAULT_CORE) -> OwnCost:
    """Return what our kernel of a site takes, without a search for it.

    From int8 a table of all inputs always serves. From int16 it is what interpolated tables of such
    widths take, which serve nearly all functions, or lines where a function is made of them. Of a
    layer it is what rows of its own length take, see ``layer_costs``.
    Raises EmbactError for an unknown core.
    """
    if core not in CORES:
        raise unknown_name("core", core, CORES)
    if isinstance(site, LayerSite):
        return _layer_cost(site, core)
    if site.spec.input.bits == 8:
        found = cost.cost(_whole_table(site.spec), core)
        return OwnCost(found.instructions, at_most=True, form="a table of all inputs")
    widths = (site.spec.input.bits, site.spec.output.bits)
    words, form = INTERPOLATED[site.spec.output.bits], "an interpolated table"
    if widths == (16, 16) and site.activation.name in LINES:
        words, form = LINES[site.activation.name], "a few lines"
    measured = next(one for one in cost.packaged().measured if one.of == words)
    instructions = measured.instructions[cost.packaged().cores.index(core)]
    return OwnCost(instructions, at_most=False, form=form)


INTERPOLATED = {
    16: "interp sigmoid s16 s16 cells 256 spacing_log2 8 fraction_bits 1 folded 0",
    8: "interp sigmoid s16 s8 cells 16 spacing_log2 12 fraction_bits 0 folded 0",
}
"""Kernels of ``costs.json`` that stand for those of int16 inputs, by the output's width."""

_TWO = "pwl leaky_relu s16 s16 segments 2 slope_bits 16"
_CLAMPED = "pwl relu6 s16 s16 segments 2 slope_bits 16"
LINES = {
    "clipped_relu": _CLAMPED,
    "hard_sigmoid": _CLAMPED,
    "hard_swish": "hard hard_swish s16 s16 standard 0 shift 0",
    "hard_tanh": _CLAMPED,
    "leaky_relu": _TWO,
    "relu": _TWO,
    "relu6": _CLAMPED,
    "relu6_over_6": _CLAMPED,
    "relu_n1_to_1": _CLAMPED,
}
"""The same for int16 to int16, by the activation, where that is made of lines."""


def _whole_table(spec: QuantSpec) -> Kernel:
    bits = spec.input.bits
    table = Table("table", (spec.output.code_min, *[spec.output.code_max] * 255))
    return Kernel(lookup(table, add(x(), const(1 << (bits - 1)))), bits, spec.output.bits)


def _layer_cost(site: LayerSite, core: str) -> OwnCost:
    """Return what a row of such a layer and of that length takes, for each element."""
    match site.layer:
        case Softmax():
            name, noun = site.layer.name, "element"
        case PreluLayer():
            name, noun = "prelu", "channel"
        case GluAsked():
            name, noun = "glu", "channel"
    widths = f"s{site.spec.input.bits} s{site.spec.output.bits}"
    found = row_instructions(f"{name} {widths}", site.row_size, core)
    if found is None:
        return OwnCost(None, at_most=False, form=f"{name} of such widths was not counted")
    form = f"in rows of {site.row_size} {noun}{'' if site.row_size == 1 else 's'}"
    return OwnCost(found / site.row_size, at_most=False, form=form)
