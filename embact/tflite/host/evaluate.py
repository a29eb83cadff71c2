"""Evaluation: what the kernels change on real data, measured in an unmodified interpreter.

The stock model and the model with kernels run on the same samples, each in a child process. This
module must not know how a kernel was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import CheckFailed, EmbactError
from embact.tflite.beside import form_beside
from embact.tflite.host.child import Outputs, Runner, run_model
from embact.tflite.host.data import input_ports, output_ports
from embact.tflite.host.evaluate_sites import (
    SiteGap,
    observed_tensors,
    require_same_tensors,
    site_gaps,
)
from embact.tflite.replace.metrics import (
    METRICS,
    check_metric,
    classes,
    decisions,
    default_metric,
    drop,
    score,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from embact.tflite.host.data import Data
    from embact.tflite.model import Model
    from embact.tflite.placement import Placed, Placement


@dataclass(frozen=True)
class Evaluation:
    """What the kernels changed.

    runtime: name and version. sites: where a kernel ran in every inference, or a table of the form
    builtin. metric: a name of metrics.METRICS, or None if the data has no y and output 0 no scores.
    before, after: of the stock model and of the one with kernels. drop: by how much it got worse,
    in ``drop_unit``. changed_decisions: samples whose largest output moved; None if output 0 holds
    no scores. max_difference, mean_difference: of all output values, in ``difference_unit``
    ("codes" or "real"). distinct_outputs: different results among the inferences. Whatever compares
    is None if there is no stock model to compare with; in JSON a drop or a difference that is no
    finite number is null too, and both scores are there. per_site: what each kernel changed, over
    the first observed_samples; empty without a stock model.
    """

    model: str
    runtime: str
    resolver: str
    samples: int
    sites: int
    metric: str | None
    before: float | None
    after: float | None
    drop: float | None
    drop_unit: str
    changed_decisions: int | None
    max_difference: float | None
    mean_difference: float | None
    difference_unit: str
    distinct_outputs: int
    observed_samples: int
    per_site: tuple[SiteGap, ...]


def evaluate(  # noqa: PLR0913 - the last five are options
    model: Model,
    placements: Sequence[Placed],
    data: Data,
    *,
    runner: Runner | None = None,
    stock: Model | None = None,
    header: Mapping[str, str] | None = None,
    metric: str | None = None,
    tables: Sequence[Placement] = (),
) -> Evaluation:
    """Run a model on data, stock and with its kernels, and return what differs.

    model: as it came, or converted, with the placements of its operators (``kernels_beside``).
    Without placements it runs as it is. stock: what to compare with; a model with placements that
    is not converted, or whose kernels override its own operators, is its own. header: the C of the
    kernels by file name; emitted now if it is not given. metric: a name of metrics.METRICS; None:
    by what y holds, else agreement. tables: what the model computes by itself in the form builtin
    (``tables_beside``). Raises EmbactError if the runtime refuses or crashes or time runs out, and
    CheckFailed if a kernel's compiled C, or what the model computed at a site, is not the kernel's
    definition.
    """
    runner = runner or Runner()
    if stock is None and placements and form_beside(model) in {None, "override"}:
        stock = model
    compared = () if stock is None else (*placements, *tables)
    if stock is not None:
        _require_same_ports(model, stock)
        require_same_tensors(model, stock, compared)
    metric = metric or _metric_for(model, data, stock)
    if metric is not None:
        check_metric(metric, model, data, has_stock=stock is not None)
    ends = observed_tensors(compared)
    before = None if stock is None else run_model(stock, data, (), runner=runner, observe=ends)
    after = run_model(model, data, placements, runner=runner, header=header, observe=ends)
    sites = () if before is None else site_gaps(compared, before.observed, after.observed)
    counted = len(placements) + len(tables)
    return _compared(model, data, runner, metric, (before, after), sites, counted)


def check_limit(max_drop: float) -> None:
    """Raise EmbactError unless a largest drop is 0 or more."""
    if not max_drop >= 0:
        raise EmbactError("largest drop", got=max_drop, allowed="0 or more")


def check_drop(found: Evaluation, max_drop: float) -> None:
    """Raise CheckFailed if the metric fell by more than max_drop, in its own unit.

    Raises EmbactError if there is no drop, because nothing was compared, or no limit.
    """
    check_limit(max_drop)
    if found.drop is None:
        raise EmbactError(
            "no drop to compare with its limit",
            allowed="a metric, and the model it was made from as the stock one",
            where=found.model,
        )
    if found.drop > max_drop:
        raise CheckFailed(
            f"{found.metric} fell too far",
            got=f"{found.drop:g} {found.drop_unit}",
            allowed=f"at most {max_drop:g}",
            where=found.model,
        )


def _metric_for(model: Model, data: Data, stock: Model | None) -> str | None:
    """Return the metric where none is asked for; None if there is nothing to judge by."""
    name = default_metric(data)
    if METRICS[name].needs == "stock" and (stock is None or not classes(model)):
        return None
    return name


def _compared(  # noqa: PLR0913, PLR0917 - what evaluate has gathered
    model: Model,
    data: Data,
    runner: Runner,
    metric: str | None,
    runs: tuple[Outputs | None, Outputs],
    per_site: tuple[SiteGap, ...],
    sites: int,
) -> Evaluation:
    """Return the evaluation of two runs; the first is of the stock model, if there is one."""
    before, after = runs
    scores = [
        None if one is None or metric is None else score(metric, model, data, one, before)
        for one in (before, after)
    ]
    gaps = changed = lost = None
    if before is not None:
        gaps = _gaps(after, before)
        chosen, chosen_before = (decisions(model, data, one) for one in (after, before))
        if chosen is not None and chosen_before is not None:
            changed = int(np.count_nonzero(chosen != chosen_before))
    if metric is not None and scores[0] is not None and scores[1] is not None:
        lost = drop(metric, scores[0], scores[1])
    batch = input_ports(model)[0].batch
    observed = 0 if before is None else len(next(iter(before.observed.values()), ()))
    is_real = any(port.dtype == "float32" for port in output_ports(model))
    return Evaluation(
        model=model.where,
        runtime=after.runtime,
        resolver=runner.resolver,
        samples=data.samples,
        sites=sites,
        metric=metric,
        before=scores[0],
        after=scores[1],
        drop=lost,
        drop_unit="" if metric is None else METRICS[metric].unit,
        changed_decisions=changed,
        max_difference=None if gaps is None else float(gaps.max()),
        mean_difference=None if gaps is None else float(gaps.mean()),
        difference_unit="real" if is_real else "codes",
        distinct_outputs=_distinct(after),
        observed_samples=min(data.samples, observed * batch),
        per_site=per_site,
    )


def _distinct(outputs: Outputs) -> int:
    """Return how many different results the inferences gave."""
    inferences = zip(*outputs.arrays, strict=True)
    return len({b"".join(array.tobytes() for array in one) for one in inferences})


def _require_same_ports(model: Model, stock: Model) -> None:
    """Raise EmbactError unless two models take the same inputs and give the same outputs."""
    for side, ports in (("inputs", input_ports), ("outputs", output_ports)):
        ours, theirs = (
            [(port.shape, port.dtype, port.scale, port.zero_point) for port in ports(one)]
            for one in (model, stock)
        )
        if ours != theirs:
            raise EmbactError(
                f"{side} of the stock model", got=theirs, allowed=str(ours), where=stock.where
            )


def _gaps(after: Outputs, before: Outputs) -> NDArray[np.float64]:
    """Return all absolute differences as one vector; 0 where both are equal, also both nan."""
    a, b = (
        np.concatenate([array.ravel().astype(np.float64) for array in one.arrays])
        for one in (after, before)
    )
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gaps: NDArray[np.float64] = np.abs(np.where(same, 0.0, a) - np.where(same, 0.0, b))
    return gaps
