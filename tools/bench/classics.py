"""Classic approximations as plain functions, against as many lines fitted by embact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench.rows import OURS, Row, errors, excess, timed
from embact.activations import activation
from embact.fit.real import RealFit, least_squares, minimax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Function
    from embact.grid import Reals

POINTS = 16_001

SIGMOID, TANH, GELU, SILU = (activation(name) for name in ("sigmoid", "tanh", "gelu", "silu"))
CRI_STEPS = {1: 0.30895, 2: 0.28094, 3: 0.26588}


def plan(x: Reals) -> Reals:
    """Amin, Curtis & Hayes-Gill 1997."""
    u = np.abs(x)
    half = np.select([u < 1, u < 2.375, u < 5], [u / 4 + 0.5, u / 8 + 0.625, u / 32 + 0.84375], 1.0)
    return np.where(x < 0, 1 - half, half)


def a_law(x: Reals) -> Reals:
    """Myers & Hutchinson 1989: seven lines between powers of two."""
    ends = [0, 1 / 16, 1 / 8, 1 / 4, 3 / 4, 7 / 8, 15 / 16, 1]
    return np.interp(x, [-8, -4, -2, -1, 1, 2, 4, 8], ends)


def alippi(x: Reals) -> Reals:
    """Alippi & Storti-Gajani 1991: lines between the powers of two at the integers."""
    whole = np.floor(np.abs(x))
    half = (0.5 - (np.abs(x) - whole) / 4) / 2**whole
    return np.where(x < 0, half, 1 - half)


def cri(depth: int) -> Function:
    """Centred recursive interpolation, Basterretxea, Tarela & del Campo 2004."""

    def function(x: Reals) -> Reals:
        left = -np.abs(x)
        low, high, step = np.zeros_like(left), 0.5 + left / 4, CRI_STEPS[depth]
        for _ in range(depth):
            low, high, step = np.maximum(low, high), (low + high + step) / 2, step / 4
        half = np.maximum(low, high)
        return np.where(x < 0, half, 1 - half)

    return function


def zhang(x: Reals) -> Reals:
    """Zhang, Vassiliadis & Delgado-Frias 1996: one parabola a side."""
    half = 0.5 * np.maximum(1 - np.abs(x) / 4, 0) ** 2
    return np.where(x < 0, half, 1 - half)


def i_gelu(x: Reals) -> Reals:
    """Kim et al. 2021, I-BERT: erf as a parabola a side."""
    u = np.minimum(np.abs(x) / math.sqrt(2), 1.769)
    result: Reals = x / 2 * (1 + np.sign(x) * (1 - 0.2888 * (u - 1.769) ** 2))
    return result


@dataclass(frozen=True)
class Classic:
    """A classic approximation of ``truth`` on [-end, end].

    known: its published maximum error. lines: how many it consists of, or None if it is curved.
    terms: how many signed powers of two its slopes are sums of, or None.
    """

    name: str
    function: Function
    truth: Function
    end: float
    known: float
    lines: int | None = None
    terms: int | None = None


CLASSICS = (
    Classic("PLAN", plan, SIGMOID, 8, 0.01894, 7, 1),
    Classic("A-law", a_law, SIGMOID, 8, 0.0490, 7, 1),
    Classic("Alippi-Storti", alippi, SIGMOID, 8, 0.01894, 15, 1),
    Classic("CRI q=1", cri(1), SIGMOID, 8, 0.0378, 5, 1),
    Classic("CRI q=2", cri(2), SIGMOID, 8, 0.0245, 9, 2),
    Classic("CRI q=3", cri(3), SIGMOID, 8, 0.0206, 17, 2),
    Classic("Zhang second order", zhang, SIGMOID, 8, 0.0216),
    Classic("0.2x + 0.5", activation("hard_sigmoid_02"), SIGMOID, 8, 0.0759, 3),
    Classic("relu6(x + 3)/6", activation("hard_sigmoid"), SIGMOID, 8, 0.0692, 3),
    Classic("SQNL", activation("sqnl"), TANH, 4, 0.0432),
    Classic("GELU tanh form", activation("gelu_tanh"), GELU, 4, 4.7e-4),
    Classic("i-GELU", i_gelu, GELU, 4, 0.0182),
    Classic("x sigmoid(1.702x)", activation("gelu_sigmoid"), GELU, 4, 0.0203),
    Classic("hard-swish", activation("hard_swish"), SILU, 8, 0.142),
)
NAMES = {id(SIGMOID): "sigmoid", id(TANH): "tanh", id(GELU): "gelu", id(SILU): "silu"}


def classics(quick: bool) -> Iterator[Row]:  # noqa: FBT001 - every section has this signature
    """Yield each classic and embact's lines of least max_error and of least mse.

    They are as many as the classic has, with slopes of as many terms, or the fewest for its error.
    Each is held to what it makes least; the second one's mean_error to the classic's too.
    """
    for one in CLASSICS:
        x = np.linspace(-one.end, one.end, POINTS)
        case = f"{NAMES[id(one.truth)]} +-{one.end:g}"
        theirs = errors(one.function, one.truth, x)
        yield Row("classics", case, one.name, one.lines, **theirs, known=one.known)
        if quick and not one.lines:
            continue  # the fewest lines take a search
        form = "as many lines" if one.lines else "fewest lines"
        form += f", {one.terms}-term slopes" if one.terms else ""
        for metrics in (("max_error",), ("mse", "mean_error")):
            fit, seconds = timed(partial(rival, one, metrics[0], theirs[metrics[0]]))
            ours = errors(fit, one.truth, x)
            worse = [excess(ours[name], theirs[name], name, one.name) for name in metrics]
            method = f"{OURS}, {form}, {metrics[0]}"
            behind = "; ".join(filter(None, worse))
            yield Row(
                "classics", case, method, fit.segments, **ours, seconds=seconds, behind=behind
            )


def rival(one: Classic, metric: str, error: float) -> RealFit:
    """Return embact's fit with as many lines as the classic, or with the fewest for its error."""

    def fitted(lines: int) -> RealFit:
        if metric == "mse":
            step = one.end / 400
            return least_squares(one.truth, -one.end, one.end, lines, step=step, terms=one.terms)
        return minimax(one.truth, -one.end, one.end, lines, terms=one.terms)

    def serves(lines: int) -> bool:
        fit = fitted(lines)
        return (fit.mean_squared_error if metric == "mse" else fit.max_error) <= error

    if one.lines:
        return fitted(one.lines)
    most = 1
    while not serves(most):
        most *= 2
    few = most // 2
    while most - few > 1:
        middle = (few + most) // 2
        few, most = (few, middle) if serves(middle) else (middle, most)
    return fitted(most)
