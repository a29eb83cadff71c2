"""Planning: a kernel for every site of a model, and the reason wherever there is none.

This module must not know how kernels are written, run or shown.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.errors import EmbactError, unknown_name
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import AUTO, fit
from embact.fit.tflm import tflm
from embact.nn.softmax import Softmax
from embact.tflite.builtin_form import table_fit
from embact.tflite.convert import FORMS
from embact.tflite.find.sites import find_sites
from embact.tflite.layers import unit_of
from embact.tflite.placement import place, place_layers
from embact.tflite.routines import distinguished
from embact.tflite.site_report import SkippedReport
from embact.tflite.tflm.resolver import OVERRIDES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from embact.fit.record import Fit
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed, Unit
    from embact.tflite.site import Findings, LayerSite, Site

LIKE = ("", "tflm")
"""Whose bits the kernels have: "" for the best that the limits allow."""

ANY_ERROR = 1 << 16
"""A budget in codes that every kernel meets."""


@dataclass(frozen=True)
class Wanted:
    """How kernels are chosen.

    form: see ``convert.FORMS``. like: one of LIKE. family: of ``fit.search``. strict: whether a
    site without a kernel is an error, because limits or family are the user's, or is left alone.
    layers: whether layers are placed too, in forms that have them.
    """

    form: str = "custom"
    like: str = ""
    family: str = AUTO
    strict: bool = False

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise unknown_name("form", self.form, FORMS)
        if self.like not in LIKE:
            raise unknown_name("runtime whose bits are wanted", self.like, LIKE[1:])

    @property
    def singles(self) -> bool:
        """Whether operators are taken one by one, without patterns."""
        return self.form == "override" or self.like != ""


@dataclass(frozen=True)
class Plan:
    """What computes what. placements: in the order that the model runs them."""

    placements: tuple[Placed, ...]
    skipped: tuple[SkippedReport, ...]


def findings_for(model: Model, wanted: Wanted) -> Findings:
    """Return the sites of a model as a form sees them: operators one by one, or patterns too.

    In the builtin form a gated unit cannot be one table, but the gate inside it can.
    """
    if wanted.singles:
        return find_sites(model, singles=True)
    findings = find_sites(model)
    if wanted.form != "builtin":
        return findings
    inside = {i for one in findings.layers if len(one.operators) > 1 for i in one.operators}
    gates = () if not inside else find_sites(model, singles=True).sites
    found = tuple(one for one in gates if one.operators[0] in inside)
    taken = {one.operators[0] for one in found}
    return dataclasses.replace(
        findings,
        sites=(*findings.sites, *found),
        layers=tuple(one for one in findings.layers if not taken & set(one.operators)),
    )


def make_plan(
    model: Model, findings: Findings, wanted: Wanted, problem_of: Callable[[Site], Problem]
) -> Plan:
    """Return a kernel for each site that can have one, and why the others have none.

    problem_of: limits and options for a site; equal problems are solved once. Raises EmbactError if
    ``wanted.strict`` and a site has no kernel.
    """
    skipped = [
        SkippedReport(one.subgraph, one.operator, one.op, one.reason, one.command)
        for one in findings.skipped
    ]
    sites, fits = [], []
    known: dict[Problem, Fit] = {}
    for site in findings.sites:
        if reason := _obstacle(site, wanted):
            skipped.append(_skip(site, reason))
            continue
        problem = problem_of(site)
        try:
            if problem not in known:
                known[problem] = _fit(site, problem, wanted)
        except EmbactError as error:
            if wanted.strict and not wanted.like:
                raise
            skipped.append(_skip(site, str(error)))
            continue
        sites.append(site)
        fits.append(known[problem])
    layers: list[LayerSite] = []
    units: list[Unit] = []
    for layer in findings.layers:
        if reason := _layer_obstacle(layer, wanted):
            skipped.append(_skip(layer, reason))
            continue
        try:
            units.append(unit_of(layer))
            layers.append(layer)
        except EmbactError as error:
            skipped.append(_skip(layer, str(error)))
    placed: tuple[Placed, ...] = (*place(sites, fits), *place_layers(layers, units))
    skipped.sort(key=lambda one: (one.subgraph, one.operator))
    return arranged(model, placed, tuple(skipped), wanted)


def arranged(
    model: Model, placed: Sequence[Placed], skipped: tuple[SkippedReport, ...], wanted: Wanted
) -> Plan:
    """Return a plan with its placements in the order that the model runs them."""
    if wanted.form == "override":
        placed = distinguished(model, placed)
    return Plan(tuple(sorted(placed, key=lambda one: one.site.operators[-1])), skipped)


def _skip(site: Site | LayerSite, reason: str) -> SkippedReport:
    return SkippedReport(site.subgraph, site.operators[0], "+".join(site.ops), reason)


def _fit(site: Site, problem: Problem, wanted: Wanted) -> Fit:
    """Return the kernel of a site, or raise EmbactError if there is none."""
    if wanted.like:
        limits = Limits(ANY_ERROR)
        options = Options(core=problem.options.core)
        asked = Problem(problem.activation, problem.spec, limits, options)
        if not any(tflm(asked)):
            raise EmbactError(
                f"TFLM has no integer kernel of {site.activation.name} on these grids"
            )
        return fit(asked, "tflm")
    if wanted.form == "builtin" and wanted.family == AUTO:
        return _within(problem, table_fit(site)) if wanted.strict else table_fit(site)
    return fit(problem, wanted.family)


def _within(problem: Problem, found: Fit) -> Fit:
    """Return a table if the limits allow its size. Raises EmbactError otherwise."""
    entries = 1 << problem.spec.input.bits
    size, most = entries * problem.spec.output.bits // 8, problem.limits.max_bytes
    if most is not None and size > most:
        raise EmbactError("table of the builtin form", got=f"{size} bytes", allowed=str(most))
    return found


def _obstacle(site: Site, wanted: Wanted) -> str:
    """Return why a site cannot have a kernel in this form, or ""."""
    if wanted.form == "override" and site.ops[0] not in OVERRIDES:
        return f"TFLM's resolver takes no other kernel for {site.ops[0]}; {_way_out(wanted)}"
    if wanted.like and site.ops == ("RELU6",) and site.spec.input != site.spec.output:
        return "TFLM's RELU6 does not rescale, so its bits are wrong for these grids"
    return ""


def _layer_obstacle(layer: LayerSite, wanted: Wanted) -> str:
    """Return why a layer stays as it is in this form, or ""."""
    if wanted.like and isinstance(layer.layer, Softmax) and layer.spec.input.bits == 16:
        return "two entries of its int16 table are not the same in TFLM and in TFLite"
    if wanted.form == "builtin":
        return "no function of one code, so no table: it stays as it is in the form builtin"
    if wanted.form == "override" and (len(layer.operators) != 1 or layer.ops[0] not in OVERRIDES):
        return f"TFLM's resolver takes no other kernel for it; {_way_out(wanted)}"
    return ""


def _way_out(wanted: Wanted) -> str:
    """Return what replaces an operator that the form override leaves alone."""
    without = f", without --like {wanted.like}," if wanted.like else ""
    return f"--form custom{without} replaces it"
