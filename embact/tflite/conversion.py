"""A conversion before it is written: planned, with replacements if they are asked for, and tried.

This module must not know the command line or folders.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from embact.errors import EmbactError
from embact.fit.search import fit
from embact.tflite.builtin_form import warnings_of
from embact.tflite.convert import convert, converted_operators
from embact.tflite.find.sites import find_sites, nothing_to_do
from embact.tflite.host.evaluate import check_drop, check_limit, evaluate
from embact.tflite.model import items, parse
from embact.tflite.placement import LayerPlacement, Placement
from embact.tflite.planning import Plan, Wanted, arranged, findings_for, make_plan
from embact.tflite.replace.metrics import default_metric
from embact.tflite.replace.named import AUTO as AUTO_REPLACE
from embact.tflite.replace.named import parse_replacements, replaced, replaced_row
from embact.tflite.replace.search import search_replacements
from embact.tflite.site_report import Decisions, MetricReport
from embact.tflite.stock.today import todays_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.activations import Activation
    from embact.fit.problem import Problem
    from embact.tflite.host.child import Runner
    from embact.tflite.host.data import Data
    from embact.tflite.host.evaluate import Evaluation
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed
    from embact.tflite.replace.named import Replaced
    from embact.tflite.replace.search import Step
    from embact.tflite.site import Findings, Site
    from embact.tflite.stock.today import NoStockError, StockError


@dataclass(frozen=True)
class Trial:
    """The user's data, and by how much a metric may fall. metric: None: by what y holds."""

    data: Data
    metric: str | None
    max_drop: float | None
    runner: Runner

    def __post_init__(self) -> None:
        if self.max_drop is not None:
            check_limit(self.max_drop)


@dataclass(frozen=True)
class Prepared:
    """What would be written, and why. reason: why there is nothing to convert, or ""."""

    placements: tuple[Placed, ...]
    decisions: Decisions
    reason: str


@dataclass(frozen=True)
class Request:
    """What a user asks of a conversion.

    replace: as ``replace.parse_replacements`` reads it, or None. problem_of: limits and options for
    a site. options: what was asked, by name, for the report. target: of the C, or "".
    """

    wanted: Wanted
    core: str
    problem_of: Callable[[Site], Problem]
    replace: str | None = None
    target: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def prepare(
    model: Model, request: Request, trial: Trial | None, say: Callable[[str], None]
) -> Prepared:
    """Return what a conversion would write, with its metric if there is data.

    say: told what is tried. Raises CheckFailed if the metric falls by more than ``trial.max_drop``,
    EmbactError for what cannot be done.
    """
    findings = findings_for(model, request.wanted)
    asked = _asked(request, trial)
    rows: tuple[Replaced, ...] = ()
    trace: tuple[Step, ...] = ()
    if asked is not None and asked != AUTO_REPLACE:
        findings, rows = _replaced(findings, asked, request)
    plan = make_plan(model, findings, request.wanted, request.problem_of)
    if asked == AUTO_REPLACE and trial is not None and plan.placements:
        plan, rows, trace = _searched(model, (findings, plan), request, trial, say)
    kernels = [one for one in plan.placements if isinstance(one, Placement)]
    builtin = request.wanted.form == "builtin"
    decisions = Decisions(
        form=request.wanted.form,
        core=request.core,
        target=request.target,
        options=request.options,
        skipped=plan.skipped,
        warnings=warnings_of(kernels) if builtin else (),
        replaced=tuple(msgspec.to_builtins(row) for row in rows),
        trace=tuple(msgspec.to_builtins(step) for step in trace),
    )
    if not plan.placements:
        return Prepared((), decisions, _reason(model, request.wanted, findings, plan))
    if trial is not None:
        found = tried(model, plan.placements, request.wanted.form, trial)
        decisions = dataclasses.replace(decisions, metric=metric_report(found, trial))
        if trial.max_drop is not None:
            check_drop(found, trial.max_drop)
    return Prepared(plan.placements, decisions, "")


def errors_today(model: Model, wanted: Wanted) -> dict[tuple[int, ...], StockError | NoStockError]:
    """Return for each site, by its operators, the error of the runtime's own operators.

    Of the function that the model has, also where another is to take its place.
    """
    findings = findings_for(model, wanted)
    errors = todays_errors(model, findings)
    return {site.operators: one for site, one in zip(findings.sites, errors, strict=True)}


def _reason(model: Model, wanted: Wanted, findings: Findings, plan: Plan) -> str:
    """Return in one line why nothing is converted."""
    if reason := nothing_to_do(findings):
        of_several = [one for one in find_sites(model).sites if len(one.operators) > 1]
        if not wanted.singles or not of_several:
            return reason
        names = ", ".join(dict.fromkeys(one.activation.name for one in of_several))
        return f"{reason}; {names} of several operators: --form custom, without --like, replaces it"
    counted = dict.fromkeys(f"{one.op}: {one.reason}" for one in plan.skipped)
    return "no activation to replace; " + "; ".join(counted)


def _asked(request: Request, trial: Trial | None) -> dict[str, Activation] | Literal["auto"] | None:
    """Return what to replace by what. Raises EmbactError for what does not go together."""
    if request.replace is None:
        return None
    asked = parse_replacements(request.replace)
    if request.wanted.like:
        raise EmbactError("--replace", got=f"--like {request.wanted.like}", allowed="one of them")
    if asked == AUTO_REPLACE:
        if request.wanted.form == "builtin":
            raise EmbactError(
                "--replace auto",
                got="--form builtin, in which every activation costs the same",
                allowed="another form, or the replacements by name",
            )
        if trial is None or trial.max_drop is None:
            raise EmbactError(
                "--replace auto", got="no budget", allowed="with --data and --max-drop"
            )
    return asked


def _replaced(
    findings: Findings, asked: dict[str, Activation], request: Request
) -> tuple[Findings, tuple[Replaced, ...]]:
    """Return the findings with other activations, and what each replacement changes."""
    changed, replacements = replaced(findings, asked)
    rows = []
    for one in replacements:
        before, after = (
            fit(request.problem_of(found.sites[one.place]), request.wanted.family)
            for found in (findings, changed)
        )
        site = findings.sites[one.place]
        rows.append(replaced_row(site, one.why, before, after, request.core))
    return changed, tuple(rows)


def _searched(
    model: Model,
    found: tuple[Findings, Plan],
    request: Request,
    trial: Trial,
    say: Callable[[str], None],
) -> tuple[Plan, tuple[Replaced, ...], tuple[Step, ...]]:
    """Return the plan with the cheapest replacements within the budget, and how it was found.

    Sites without a kernel stay as they are.
    """
    findings, plan = found
    able = {one.site.operators for one in plan.placements}
    sites = tuple(site for site in findings.sites if site.operators in able)
    layers = tuple(one for one in plan.placements if isinstance(one, LayerPlacement))
    result = search_replacements(
        model,
        dataclasses.replace(findings, sites=sites),
        trial.data,
        metric=trial.metric or default_metric(trial.data),
        max_drop=math.inf if trial.max_drop is None else trial.max_drop,
        problem_of=request.problem_of,
        core=request.core,
        family=request.wanted.family,
        beside=layers,
        known={
            request.problem_of(one.site): one.fit
            for one in plan.placements
            if isinstance(one, Placement)
        },
        runner=trial.runner,
        say=say,
    )
    say(result.summary)
    placed: tuple[Placed, ...] = (*result.placements, *layers)
    return arranged(model, placed, plan.skipped, request.wanted), result.replaced, result.trace


def tried(model: Model, placements: tuple[Placed, ...], form: str, trial: Trial) -> Evaluation:
    """Return how the converted model compares with the stock one on the user's data."""
    written = parse(convert(model, placements, form), model.where)
    placed = placements_in(written, placements, form)
    return evaluate(
        written, placed, trial.data, runner=trial.runner, stock=model, metric=trial.metric
    )


def placements_in(written: Model, placements: tuple[Placed, ...], form: str) -> tuple[Placed, ...]:
    """Return the placements at the operators of a written model: none in the form builtin."""
    if form == "builtin":
        return ()
    if form == "override":
        return placements
    places = {items(node.outputs)[0]: i for i, _, node in converted_operators(written)}
    found: list[Placed] = []
    for one in placements:
        at, ops = (places[one.site.output],), (one.function,)
        if isinstance(one, LayerPlacement):
            layer = dataclasses.replace(one.site, operators=at, ops=ops)
            found.append(dataclasses.replace(one, site=layer))
        else:
            site = dataclasses.replace(one.site, operators=at, ops=ops)
            found.append(dataclasses.replace(one, site=site))
    return tuple(found)


def metric_report(found: Evaluation, trial: Trial) -> MetricReport:
    """Return what an evaluation says of a metric. Raises EmbactError if it says nothing."""
    if found.metric is None or found.before is None or found.after is None or found.drop is None:
        raise EmbactError(
            "no metric for this data", allowed="--metric, and y in the data where it needs one"
        )
    return MetricReport(
        metric=found.metric,
        samples=found.samples,
        runtime=found.runtime,
        resolver=found.resolver,
        before=found.before,
        after=found.after,
        drop=found.drop,
        max_drop=trial.max_drop,
    )
