"""Metrics: one number for what a model's outputs are worth on data, and how much of it was lost.

A decision is the place of output 0's largest value, the lower place where values are equal. This
module must not know how outputs were computed: by which runtime, or by kernels of which kind.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from embact.errors import EmbactError, unknown_name
from embact.tflite.host.data import input_ports, output_ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from embact.tflite.host.child import Outputs
    from embact.tflite.host.data import Data
    from embact.tflite.model import Model

    Judge: TypeAlias = Callable[[Model, Data, Outputs, Outputs | None], float]

DROP_DECIMALS = 9
"""A drop is rounded to so many decimals: 100 * (1 - 0.995) is half a point, not a bit more."""


Needs: TypeAlias = Literal["labels", "targets", "stock"]


@dataclass(frozen=True)
class Metric:
    """A way to judge the outputs of a model.

    needs: what it compares them with. unit: of a drop. about: what it is, in words.
    function: model, data, outputs, what it needs -> the score. Shares are in 0..1; errors are in
    the real units of output 0, squared for mse.
    """

    name: str
    higher_is_better: bool
    needs: Needs
    unit: str
    about: str
    function: Judge


def score(name: str, model: Model, data: Data, outputs: Outputs, stock: Outputs | None) -> float:
    """Return a metric of the outputs on data; stock: the outputs of the stock model on it, if any.

    Raises EmbactError for an unknown metric, for what the data or the model's output lacks, and if
    the result is no finite number.
    """
    check_metric(name, model, data, has_stock=stock is not None)
    found = METRICS[name].function(model, data, outputs, stock)
    if not math.isfinite(found):
        raise EmbactError(f"metric {name}", got=found, allowed="finite outputs", where=model.where)
    return found


def check_metric(name: str, model: Model, data: Data, *, has_stock: bool) -> None:
    """Raise EmbactError unless a metric can be told of a model on data, before anything runs."""
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)
    what, port = f"metric {name}", output_ports(model)[0]
    match METRICS[name].needs:
        case "labels" if data.labels is None:
            raise EmbactError(
                what, got="data without labels", allowed="y with integers, or agreement"
            )
        case "targets" if data.targets is None:
            raise EmbactError(
                what,
                got="data without targets",
                allowed=f"y with floats, of shape {port.shape[1:]}",
            )
        case "stock" if not has_stock:
            raise EmbactError(what, got="no stock model", allowed="one to compare with")
        case "targets":
            if port.dtype != "float32" and not port.scale:
                raise EmbactError(
                    what,
                    got=f"output {port.name} without a scale",
                    allowed="an output whose codes stand for real numbers",
                    where=model.where,
                )
        case _:
            _check_classes(name, model)


def _check_classes(name: str, model: Model) -> None:
    """Raise EmbactError unless output 0 holds scores, and for top5 of more than five classes."""
    count = classes(model)
    if not count:
        raise EmbactError(
            f"metric {name}",
            got=f"output 0 of shape {output_ports(model)[0].shape}",
            allowed="one axis of scores for each sample; mse and mae take any output",
            where=model.where,
        )
    if name == "top5" and count <= 5:
        raise EmbactError("metric top5", got=f"{count} classes", allowed="6 or more; use top1")


def drop(name: str, before: float, after: float) -> float:
    """Return by how much a score got worse, > 0 if it did.

    In percentage points for shares; for errors in percent of the error before, infinite if that was
    0 and there is one now. Rounded to DROP_DECIMALS. Raises EmbactError for an unknown metric.

    >>> drop("top1", 0.98, 0.975), drop("mse", 0.5, 0.25), drop("mae", 0.0, 0.1)
    (0.5, -50.0, inf)
    """
    if name not in METRICS:
        raise unknown_name("metric", name, METRICS)
    if METRICS[name].higher_is_better:
        return round(100 * (before - after), DROP_DECIMALS)
    if not before:
        return math.inf if after else 0.0
    return round(100 * (after - before) / before, DROP_DECIMALS)


def default_metric(data: Data) -> str:
    """Return the metric for data where none is asked for: by what its y holds."""
    if data.labels is not None:
        return "top1"
    return "agreement" if data.targets is None else "mse"


def classes(model: Model) -> int:
    """Return how many scores output 0 holds for each sample, or 0 if it holds none.

    It holds scores if each sample has one axis longer than 1.
    """
    port = output_ports(model)[0]
    longer = [size for size in port.shape[1:] if size > 1]
    if port.batch != input_ports(model)[0].batch or len(longer) != 1:
        return 0
    return longer[0]


def decisions(model: Model, data: Data, outputs: Outputs) -> NDArray[np.int64] | None:
    """Return for each sample the place of output 0's largest value, or None if it holds no scores.

    Raises EmbactError for a label that no score stands for.
    """
    scores = _scores(model, data, outputs)
    return None if scores is None else np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _scores(model: Model, data: Data, outputs: Outputs) -> NDArray[np.float64] | None:
    """Return the scores of each sample, shape (samples, classes), or None if there are none."""
    count, labels = classes(model), data.labels
    if not count:
        return None
    if labels is not None and not (labels.min() >= 0 and labels.max() < count):
        raise EmbactError(
            "labels y", got=f"{labels.min()}..{labels.max()}", allowed=f"0..{count - 1}"
        )
    return outputs.arrays[0].reshape(-1, count)[: data.samples].astype(np.float64)


def _top(count: int) -> Judge:
    """Return the metric that asks whether the label is among the largest ``count`` scores."""

    def share(model: Model, data: Data, outputs: Outputs, _: Outputs | None) -> float:
        scores = _scores(model, data, outputs)
        if scores is None or data.labels is None:  # check_metric has refused it
            return math.nan
        # stable: of equal scores the lower place comes first, as it does in argmax
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return float(np.mean(np.any(best == data.labels[:, None], axis=1)))

    return share


def _agreement(model: Model, data: Data, outputs: Outputs, stock: Outputs | None) -> float:
    own = decisions(model, data, outputs)
    other = None if stock is None else decisions(model, data, stock)
    return math.nan if own is None or other is None else float(np.mean(own == other))


def _differences(model: Model, data: Data, outputs: Outputs) -> NDArray[np.float64]:
    """Return output 0 in real values minus the targets, one row for each sample."""
    port = output_ports(model)[0]
    if data.targets is None:  # check_metric has refused it
        return np.array([math.nan])
    codes = outputs.arrays[0].astype(np.float64)
    real = codes if port.dtype == "float32" else port.scale * (codes - port.zero_point)
    rows: NDArray[np.float64] = real.reshape(-1, data.targets[0].size)[: data.samples]
    return rows - data.targets.reshape(data.samples, -1)


def _mse(model: Model, data: Data, outputs: Outputs, _: Outputs | None) -> float:
    return float(np.mean(_differences(model, data, outputs) ** 2))


def _mae(model: Model, data: Data, outputs: Outputs, _: Outputs | None) -> float:
    return float(np.mean(np.abs(_differences(model, data, outputs))))


def _share(name: str, needs: Needs, about: str, function: Judge) -> Metric:
    return Metric(name, True, needs, "percentage points", about, function)  # noqa: FBT003


def _error(name: str, about: str, function: Judge) -> Metric:
    unit = "percent of the error before"
    return Metric(name, False, "targets", unit, about, function)  # noqa: FBT003


METRICS: dict[str, Metric] = {
    one.name: one
    for one in (
        _share("top1", "labels", "share of right decisions", _top(1)),
        _share("top5", "labels", "share of labels among the 5 best scores", _top(5)),
        _share("agreement", "stock", "share of the stock model's decisions", _agreement),
        _error("mse", "mean squared error of output 0", _mse),
        _error("mae", "mean absolute error of output 0", _mae),
    )
}
"""By name."""
