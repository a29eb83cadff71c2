"""Placements: which kernel computes which site, under which function name.

This module must not know how kernels are run, written or stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from embact.errors import EmbactError
from embact.fit.problem import Options, Problem
from embact.fit.search import AUTO, fit
from embact.nn import glu_header, prelu_header, softmax_header
from embact.nn.glu_header import Proved
from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from embact.fit.problem import Limits
    from embact.fit.record import Fit
    from embact.tflite.site import LayerSite, Site

Unit: TypeAlias = "Softmax | PreluLayer | Proved"
"""What computes a layer: its constants and its meaning over numpy."""


@dataclass(frozen=True)
class Placement:
    """A site with its fit and the name of the emitted function that computes it.

    The fit is certified for this site's grids. Placements with one function name have one kernel.
    """

    site: Site
    fit: Fit
    function: str


@dataclass(frozen=True)
class LayerPlacement:
    """A layer with the unit that computes it and the name of its function.

    Placements with one function name have one unit, one row size and one order of operands.
    """

    site: LayerSite
    unit: Unit
    function: str


Placed: TypeAlias = Placement | LayerPlacement


def place(sites: Sequence[Site], fits: Sequence[Fit]) -> tuple[Placement, ...]:
    """Return the placements of fits at sites, one fit for each site, in their order.

    Equal kernels of one activation share a function. Different kernels get different names, in the
    order of the sites: ``embact_silu_s8``, ``embact_silu_2_s8``. A fit may be of another activation
    than its site, as a deliberate replacement. Raises EmbactError if the numbers differ, or if a
    fit is for another quantisation than its site.
    """
    if len(sites) != len(fits):
        raise EmbactError(
            "fits for sites", got=len(fits), allowed=f"{len(sites)}, one for each site"
        )
    names = _Names({}, set())
    placements = []
    for site, one in zip(sites, fits, strict=True):
        if one.spec != site.spec:
            raise EmbactError(
                "a fit for another quantisation",
                got=one.spec,
                allowed=str(site.spec),
                where=site.tensor,
            )
        stem = f"embact_{one.activation.name}"
        widths = one.function_name.removeprefix(stem)
        key = one.activation.name, one.kernel.digest
        placements.append(Placement(site, one, names.of(key, stem, widths)))
    return tuple(placements)


def place_layers(sites: Sequence[LayerSite], units: Sequence[Unit]) -> tuple[LayerPlacement, ...]:
    """Return the placements of units at layers, one for each, in their order.

    Equal layers share a function; others are numbered as those of ``place``. Raises EmbactError if
    the numbers differ, or if a name is one of the library's.
    """
    if len(sites) != len(units):
        raise EmbactError(
            "units for layers", got=len(units), allowed=f"{len(sites)}, one for each layer"
        )
    names = _Names({}, set())
    placements = []
    for site, unit in zip(sites, units, strict=True):
        stem, mark, widths = _default_name(unit).rpartition("_s8" if _s8(unit) else "_s16")
        key = unit_key(unit), rows_of(site, unit), is_swapped(site)
        placements.append(LayerPlacement(site, unit, names.of(key, stem, mark + widths)))
    return tuple(placements)


def _s8(unit: Unit) -> bool:
    """Return whether the first width in a unit's name is 8."""
    match unit:
        case Softmax():
            return unit.in_bits == 8
        case PreluLayer():
            return unit.spec.input.bits == 8
        case Proved():
            return unit.unit.grids.bits == 8


def _default_name(unit: Unit) -> str:
    match unit:
        case Softmax():
            return softmax_header.default_name(unit)
        case PreluLayer():
            return prelu_header.default_name(unit)
        case Proved():
            return glu_header.default_name(unit.unit)


def unit_key(unit: Unit) -> tuple[object, ...]:
    """Return what units are equal by; it can be hashed, which fits cannot."""
    if not isinstance(unit, Proved):
        return (unit,)
    made = unit.unit
    kernel = None if made.kernel is None else made.kernel.kernel.digest
    return made.activation, made.grids, made.gate_scale, made.gate, made.factor, kernel


def rows_of(site: LayerSite, unit: Unit) -> int:
    """Return the elements of one row of the output, as a layer's function takes it.

    The slopes of PReLU: one for all elements makes rows of one element.
    """
    return len(unit.codes) if isinstance(unit, PreluLayer) else site.row_size


def is_swapped(site: LayerSite) -> bool:
    """Return whether a gated unit's a is the second half of its rows."""
    return bool(getattr(site.layer, "swapped", False))


@dataclass(frozen=True)
class _Names:
    """Function names by what they compute, and all that are taken."""

    known: dict[Hashable, str]
    taken: set[str]

    def of(self, key: Hashable, stem: str, widths: str) -> str:
        """Return the name of what has that key: the stem, from the second on with a number."""
        if key not in self.known:
            number, name = 1, stem + widths
            while name in self.taken:
                number += 1
                name = f"{stem}_{number}{widths}"
            self.taken.add(name)
            self.known[key] = name
        return self.known[key]


def kernels_of(placements: Iterable[Placed]) -> dict[str, Fit]:
    """Return the distinct element-wise kernels by function, each with the fit of its first site."""
    kernels: dict[str, Fit] = {}
    for one in placements:
        if isinstance(one, Placement):
            kernels.setdefault(one.function, one.fit)
    return kernels


def layers_of(placements: Iterable[Placed]) -> dict[str, LayerPlacement]:
    """Return the distinct layers by function, each with its first placement."""
    layers: dict[str, LayerPlacement] = {}
    for one in placements:
        if isinstance(one, LayerPlacement):
            layers.setdefault(one.function, one)
    return layers


def fit_sites(
    sites: Sequence[Site], limits: Limits, family: str = AUTO, options: Options | None = None
) -> tuple[Placement, ...]:
    """Return the placements of the cheapest kernel within the limits at each site.

    Raises EmbactError if a site has no such kernel.
    """
    asked = [Problem(one.activation, one.spec, limits, options or Options()) for one in sites]
    return fit_problems(sites, asked, family)


def fit_problems(
    sites: Sequence[Site], problems: Sequence[Problem], family: str = AUTO
) -> tuple[Placement, ...]:
    """Return the placements of the best kernel at each site: of the problem of its number.

    Equal problems are solved once. Raises EmbactError if a site has no such kernel.
    """
    found: dict[Problem, Fit] = {}
    for problem in problems:
        if problem not in found:
            found[problem] = fit(problem, family)
    return place(sites, [found[problem] for problem in problems])
