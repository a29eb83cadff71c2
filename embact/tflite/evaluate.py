"""Evaluation: what the kernels change on real data, measured in an unmodified interpreter.

The stock model and the model with kernels run on the same samples, each in a child process. This
module must not know how a kernel was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embact.errors import EmbactError
from embact.tflite.child import Outputs, Runner, run_model
from embact.tflite.convert import converted_operators
from embact.tflite.data import input_ports, output_ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embact.tflite.data import Data
    from embact.tflite.model import Model
    from embact.tflite.placement import Placement


@dataclass(frozen=True)
class Evaluation:
    """What the kernels changed.

    runtime: name and version. sites: places where a kernel ran, in every inference.
    accuracy_before, accuracy_after: share of samples whose largest output is the label; None
    without labels, or if output 0 holds no scores for each sample. changed_decisions: samples whose
    largest output moved. max_difference, mean_difference: of all output values, in
    ``difference_unit`` ("codes" or "real"). Before and differences are None if there is no stock
    model to compare with.
    """

    model: str
    runtime: str
    resolver: str
    samples: int
    sites: int
    accuracy_before: float | None
    accuracy_after: float | None
    changed_decisions: int | None
    max_difference: float | None
    mean_difference: float | None
    difference_unit: str


def evaluate(  # noqa: PLR0913 - the last three are options
    model: Model,
    placements: Sequence[Placement],
    data: Data,
    *,
    runner: Runner | None = None,
    stock: Model | None = None,
    header: str | None = None,
) -> Evaluation:
    """Run a model on data, stock and with its kernels, and return what differs.

    model: as it came, or converted, with the placements of its operators (``kernels_beside``).
    stock: what to compare with; a model that is not converted is its own. header: the C of the
    kernels; emitted now if it is not given. Raises EmbactError if the runtime refuses or crashes or
    time runs out, and CheckFailed if a kernel's compiled C is not its definition.
    """
    runner = runner or Runner()
    if not placements:
        raise EmbactError("nothing to evaluate", got="no site", where=model.where)
    if stock is None and not converted_operators(model):
        stock = model
    if stock is not None:
        _require_same_ports(model, stock)
    after = run_model(model, data, placements, runner=runner, header=header)
    before = None if stock is None else run_model(stock, data, (), runner=runner)
    chosen = _decisions(model, data, after)
    chosen_before = None if before is None else _decisions(model, data, before)
    gaps = None if before is None else _gaps(after, before)
    changed = None
    if chosen is not None and chosen_before is not None:
        changed = int(np.count_nonzero(chosen != chosen_before))
    is_real = any(port.dtype == "float32" for port in output_ports(model))
    return Evaluation(
        model=model.where,
        runtime=after.runtime,
        resolver=runner.resolver,
        samples=data.samples,
        sites=len(placements),
        accuracy_before=_accuracy(chosen_before, data),
        accuracy_after=_accuracy(chosen, data),
        changed_decisions=changed,
        max_difference=None if gaps is None else float(gaps.max()),
        mean_difference=None if gaps is None else float(gaps.mean()),
        difference_unit="real" if is_real else "codes",
    )


def _decisions(model: Model, data: Data, outputs: Outputs) -> NDArray[np.int64] | None:
    """Return for each sample the place of output 0's largest value, or None if it holds no scores.

    It holds scores if each sample has one axis longer than 1. Raises EmbactError for a label that
    no score stands for.
    """
    port = output_ports(model)[0]
    classes = [size for size in port.shape[1:] if size > 1]
    if port.batch != input_ports(model)[0].batch or len(classes) != 1:
        return None
    labels = data.labels
    if labels is not None and not (labels.min() >= 0 and labels.max() < classes[0]):
        raise EmbactError(
            "labels y", got=f"{labels.min()}..{labels.max()}", allowed=f"0..{classes[0] - 1}"
        )
    scores = outputs.arrays[0].reshape(-1, classes[0])[: data.samples]
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _accuracy(chosen: NDArray[np.int64] | None, data: Data) -> float | None:
    if chosen is None or data.labels is None:
        return None
    return float(np.mean(chosen == data.labels))


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
