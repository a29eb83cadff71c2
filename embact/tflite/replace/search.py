"""Replacements chosen by measurement: the cheapest set of them whose drop is within a budget.

Each stand-in is fitted and priced first, and is tried only if it is a gain. What a set of them does
to the metric is what a run of the model with all their kernels gave. This module must not know how
metrics, kernels or interpreters work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embact.cores import DEFAULT_CORE
from embact.errors import EmbactError
from embact.fit.search import AUTO
from embact.tflite.host.child import run_model
from embact.tflite.placement import place
from embact.tflite.replace.cheapest import MOST_RUNS, Answer, Task, cheapest
from embact.tflite.replace.metrics import METRICS, check_metric, drop, score
from embact.tflite.replace.moves import Fits, Move, NoMove, Weighed, moves_at, total, weigh
from embact.tflite.replace.named import replaced_row, replaced_site, said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from embact.fit.problem import Problem
    from embact.fit.record import Fit
    from embact.tflite.host.child import Outputs, Runner
    from embact.tflite.host.data import Data
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed, Placement
    from embact.tflite.replace.cheapest import Picks
    from embact.tflite.replace.named import Replaced, Replacement
    from embact.tflite.site import Findings, Site


@dataclass(frozen=True)
class Step:
    """One thing that was tried, in the order of trying.

    kind: "no gain" (a stand-in that was fitted and not run), "kernels" (no replacement), "alone"
    (one replacement), "set", and "result", which is the last step. what: the replacements, as
    "silu -> hard_swish at 1, 2". score and drop: of the whole model, None where nothing was run.
    instructions, table_bytes: saved, in an inference and in all tables; None if there is no kernel.
    accepted: whether it is the result.
    why: one line.
    """

    kind: str
    what: tuple[str, ...]
    score: float | None
    drop: float | None
    instructions: float | None
    table_bytes: int | None
    accepted: bool
    why: str


@dataclass(frozen=True)
class Found:
    """The result of a search.

    placements: of all sites in their order, with the kernels that were chosen. replaced: a row for
    each replacement. before, unreplaced, after: the metric of the stock model, of the model with
    kernels and no replacement, and of the result. drop: from the first to the last, in ``unit``.
    instructions, table_bytes: saved by the replacements, in an inference and in all tables.
    unmeasured: cheaper sets that were not run, None if sets were not enumerated; with 0 no cheaper
    set is within the budget. summary: one sentence.
    """

    placements: tuple[Placement, ...]
    replaced: tuple[Replaced, ...]
    trace: tuple[Step, ...]
    metric: str
    unit: str
    max_drop: float
    samples: int
    core: str
    before: float
    unreplaced: float
    after: float
    drop: float
    instructions: float
    table_bytes: int
    unmeasured: int | None
    summary: str


def search_replacements(  # noqa: PLR0913 - all but the first three have names
    model: Model,
    findings: Findings,
    data: Data,
    *,
    metric: str,
    max_drop: float,
    problem_of: Callable[[Site], Problem],
    core: str = DEFAULT_CORE,
    family: str = AUTO,
    beside: tuple[Placed, ...] = (),
    known: Mapping[Problem, Fit] | None = None,
    runner: Runner | None = None,
    say: Callable[[str], None] = lambda _: None,
    most_runs: int = MOST_RUNS,
) -> Found:
    """Return the cheapest kernels whose drop on the data is at most ``max_drop``, with the trace.

    metric: a name of METRICS; drops are in its unit, and from the stock model's score. problem_of:
    what is asked of a site's kernel; the cheapest has the fewest instructions on the core and then
    table bytes, or the other way round with the objective "bytes". beside: placements that are run
    too and stay as they are. known: fits that are there already, by their problems. say: is told
    what is being done. most_runs: runs of sets, besides those of each replacement alone.
    Raises EmbactError for a metric that the data cannot tell, a budget that is no number >= 0, a
    runtime that fails, and if kernels without any replacement are over the budget.
    """
    if not (math.isfinite(max_drop) and max_drop >= 0):
        raise EmbactError("largest drop", got=max_drop, allowed="a number >= 0")
    check_metric(metric, model, data, has_stock=True)
    sites = findings.sites
    fits = Fits(problem_of, core, family, dict(known or {}))
    say("running the stock model")
    stock = run_model(model, data, (), runner=runner)
    found = [moves_at(number, site, fits, say) for number, site in enumerate(sites)]
    trial = _Trial(
        model=model,
        data=data,
        sites=sites,
        fits=tuple(
            (fits.of(site), *(one.fit for one in found[i][0])) for i, site in enumerate(sites)
        ),
        moves=tuple(moves for moves, _ in found),
        beside=beside,
        metric=metric,
        core=core,
        by_bytes=any(map(fits.by_bytes, sites)),
        runner=runner,
        stock=stock,
        before=score(metric, model, data, stock, stock),
        say=say,
    )
    nothing = (0,) * len(sites)
    base = trial.loss(nothing)
    if base > max_drop:
        raise EmbactError(
            f"drop of {metric} without any replacement",
            got=f"{base:.4g} {METRICS[metric].unit}",
            allowed=f"at most {max_drop:g}; a smaller --max-error, or a larger --max-drop",
            where=model.where,
        )
    answer = cheapest(
        Task(tuple(map(len, trial.moves)), trial.price, trial.loss, max_drop, most_runs)
    )
    return _found(trial, answer, tuple(one for _, none in found for one in none), max_drop)


@dataclass(frozen=True)
class _Trial:
    """What is fixed during a search; fits: at each site the kernel of no replacement, and others.

    scores: what was measured.
    """

    model: Model
    data: Data
    sites: tuple[Site, ...]
    fits: tuple[tuple[Fit, ...], ...]
    moves: tuple[tuple[Move, ...], ...]
    beside: tuple[Placed, ...]
    metric: str
    core: str
    by_bytes: bool
    runner: Runner | None
    stock: Outputs
    before: float
    say: Callable[[str], None]
    scores: dict[Picks, float] = field(default_factory=dict)
    weights: dict[tuple[int, int], Weighed] = field(default_factory=dict)

    def made(self, picks: Picks) -> list[Replacement]:
        """Return the replacements of a set."""
        return [self.moves[i][n - 1].replacement for i, n in enumerate(picks) if n]

    def placements(self, picks: Picks) -> tuple[Placement, ...]:
        """Return the placements of all sites; a replaced site says so."""
        sites = list(self.sites)
        for one in self.made(picks):
            sites[one.place] = replaced_site(sites[one.place], one)
        return place(sites, [self.fits[i][n] for i, n in enumerate(picks)])

    def costs(self, picks: Picks) -> tuple[float, int]:
        """Return a set's instructions in an inference and its table bytes."""
        for i, n in enumerate(picks):
            if (i, n) not in self.weights:
                self.weights[i, n] = weigh(self.sites[i], self.fits[i][n], self.core)
        return total([self.weights[i, n] for i, n in enumerate(picks)])

    def saved(self, picks: Picks) -> tuple[float, int]:
        """Return the instructions and table bytes that a set saves."""
        before, after = self.costs((0,) * len(picks)), self.costs(picks)
        return round(before[0] - after[0], 2), before[1] - after[1]

    def price(self, picks: Picks) -> tuple[float, float]:
        """Return what a set costs, what matters most first."""
        spent, size = self.costs(picks)
        return (size, spent) if self.by_bytes else (spent, size)

    def loss(self, picks: Picks) -> float:
        """Return the drop of the whole model with a set, run once."""
        if picks not in self.scores:
            placed = (*self.placements(picks), *self.beside)
            outputs = run_model(self.model, self.data, placed, runner=self.runner)
            self.scores[picks] = score(self.metric, self.model, self.data, outputs, self.stock)
            lost = drop(self.metric, self.before, self.scores[picks])
            words = ", ".join(self.said(picks)) or "no replacement"
            self.say(f"{words}: {self.metric} {self.scores[picks]:.6g}, drop {lost:.4g}")
        return drop(self.metric, self.before, self.scores[picks])

    def said(self, picks: Picks) -> tuple[str, ...]:
        """Return the replacements of a set in words."""
        return tuple(said(self.sites[one.place], one) for one in self.made(picks))


def _found(trial: _Trial, answer: Answer, none: tuple[NoMove, ...], max_drop: float) -> Found:
    """Return the result of a search in words and numbers."""
    picks = answer.picks
    trace = [
        Step(
            *("no gain", (said(trial.sites[one.replacement.place], one.replacement),), None, None),
            *(one.instructions, one.table_bytes, False, one.why),
        )
        for one in none
    ]
    best = trial.price(picks)
    for tried, lost in answer.losses.items():
        count = sum(map(bool, tried))
        kind = ("kernels", "alone")[count] if count < 2 else "set"
        if tried == picks:
            why = "the cheapest that was measured within the budget"
        elif lost > max_drop:
            why = f"over the budget of {max_drop:g}"
        elif trial.price(tried) > best:
            why = "within the budget, and not the cheapest"
        else:
            why = "within the budget, and as cheap as the result, with more replacements or drop"
        step = (trial.scores[tried], lost, *trial.saved(tried), tried == picks, why)
        trace.append(Step(kind, trial.said(tried), *step))
    placements = trial.placements(picks)
    rows = tuple(
        replaced_row(
            trial.sites[one.place],
            one.why,
            trial.fits[one.place][0],
            placements[one.place].fit,
            trial.core,
        )
        for one in trial.made(picks)
    )
    spent, size = trial.saved(picks)
    summary = _summary(trial, answer, none)
    step = (trial.scores[picks], answer.losses[picks], spent, size, True, summary)
    trace.append(Step("result", trial.said(picks), *step))
    return Found(
        placements=placements,
        replaced=rows,
        trace=tuple(trace),
        metric=trial.metric,
        unit=METRICS[trial.metric].unit,
        max_drop=max_drop,
        samples=trial.data.samples,
        core=trial.core,
        before=trial.before,
        unreplaced=trial.scores[(0,) * len(trial.sites)],
        after=trial.scores[picks],
        drop=answer.losses[picks],
        instructions=spent,
        table_bytes=size,
        unmeasured=answer.unmeasured,
        summary=summary,
    )


def _summary(trial: _Trial, answer: Answer, none: tuple[NoMove, ...]) -> str:
    """Return in one sentence what was found and how sure it is."""
    if not any(trial.moves):
        if not none:
            return "nothing replaced: there is no stand-in for the activations of these sites"
        return f"nothing replaced: no stand-in is a gain on {trial.core}"
    spent, size = trial.saved(answer.picks)
    made = len(trial.made(answer.picks))
    words = "nothing replaced"
    if made:
        words = f"{made} of {len(trial.sites)} sites replaced, which saves {spent:g} instructions "
        words += f"in an inference and {size} table bytes"
    match answer.unmeasured:
        case None:
            sure = "sets were grown one replacement a time, and a cheaper one may exist"
        case 0:
            sure = "every cheaper set was run and is over the budget"
        case count:
            sure = f"{count} cheaper sets were not run, being the least likely"
    samples = trial.data.samples
    runs = f"{len(answer.losses)} runs on {samples} samples"
    if METRICS[trial.metric].higher_is_better:
        runs += f", of which one is {100 / samples:.2g} percentage points"
    return f"{words}; {sure}; {runs}"
