"""embact's fits over the reals against known optima and published learned tables."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.classics import GELU, POINTS, SIGMOID, SILU, TANH
from bench.rows import OURS, Row, errors, excess, timed
from embact.activations import activation
from embact.fit.real import least_squares, minimax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Function

REAL: dict[str, tuple[Function, float, float]] = {
    "sigmoid": (SIGMOID, -8, 8),
    "tanh": (TANH, -4, 4),
    "gelu": (GELU, -4, 4),
    "silu": (SILU, -8, 8),
    "exp(-x)": (lambda x: np.exp(-x), 0, 8),
    "softplus": (lambda x: np.log1p(np.exp(x)), -8, 8),
}
HALF = {"half sigmoid": (SIGMOID, 0, 8)}
COUNTS = 2, 4, 8, 16, 32
MEETING = {
    "sigmoid": (0.206, 0.02917, 6.04e-3, 1.40e-3, 3.39e-4),
    "tanh": (0.412, 0.0583, 1.21e-2, 2.80e-3, 6.77e-4),
    "gelu": (0.0850, 0.03312, 6.23e-3, 2.11e-3, 5.06e-4),
    "silu": (0.139, 0.0497, 9.75e-3, 3.30e-3, 7.89e-4),
    "exp(-x)": (0.0666, 0.01566, 3.82e-3, 9.46e-4, 2.36e-4),
    "softplus": (0.199, 0.0410, 9.56e-3, 2.33e-3, 5.77e-4),
}
APART = MEETING | {
    "sigmoid": (0.134, 0.02530, 5.67e-3, 1.36e-3, 3.34e-4),
    "tanh": (0.269, 0.0506, 1.13e-2, 2.72e-3, 6.67e-4),
    "gelu": (0.0850, 0.03310, 6.23e-3, 2.03e-3, 4.92e-4),
    "silu": (0.139, 0.0497, 9.75e-3, 3.23e-3, 7.87e-4),
}
POWERS = {  # 4 lines with one and with two terms, then 8 lines
    "sigmoid": (0.0453, 0.0264, 0.01133, 0.00625),
    "tanh": (0.0907, 0.0528, 0.0227, 0.0125),
    "gelu": (0.0425, 0.0342, 0.0226, 0.0084),
    "silu": (0.0690, 0.0535, 0.0377, 0.0167),
    "exp(-x)": (0.0305, 0.0171, 0.0107, 0.0051),
}
THREE_DIGITS = 1.01


def optima(quick: bool) -> Iterator[Row]:  # noqa: FBT001 - every section has this signature
    """Yield the least maximum errors: of lines that meet, that need not, and of shifts."""
    for name in ("sigmoid",) if quick else REAL:
        for count, meeting, apart in zip(COUNTS, MEETING[name], APART[name], strict=True):
            yield _least(name, "lines meet", count, meeting, continuous=True)
            yield _least(name, "lines apart", count, apart)
        for i, known in enumerate(POWERS.get(name, ())):
            terms = i % 2 + 1
            yield _least(name, f"{terms}-term slopes", 4 * (i // 2 + 1), known, terms=terms)
    for terms, known in ((1, 0.01573), (2, 0.00636)):
        form = f"{terms}-term slopes, y(0) = 0.5"
        yield _least("half sigmoid", form, 4, known, terms=terms, through=[(0.0, 0.5)])


def _least(name: str, form: str, count: int, known: float, **wanted: Any) -> Row:
    truth, low, high = (REAL | HALF)[name]
    fit, seconds = timed(partial(minimax, truth, low, high, count, **wanted))
    got = errors(fit, truth, np.linspace(low, high, POINTS))
    behind = excess(got["max_error"], known, "max_error", "known", THREE_DIGITS)
    case, method = f"{name} [{low:g},{high:g}] n={count}", f"{OURS}, {form}"
    return Row("optima", case, method, count, **got, seconds=seconds, known=known, behind=behind)


LEARNED: dict[str, tuple[Function, float, float, tuple[float, float]]] = {
    "gelu": (GELU, -4, 4, (7.2e-5, 1.6e-5)),
    "exp": (np.exp, -8, 0, (1.9e-5, 2.1e-5)),
    "hard_swish": (activation("hard_swish"), -4, 4, (3.3e-4, 1.8e-5)),
}


def learned(_quick: bool) -> Iterator[Row]:  # noqa: FBT001 - likewise
    """Yield the published errors of GQA-LUT and the least possible on its coefficient grid.

    Slopes and offsets are multiples of 2**-6, breakpoints of 2**-5, inputs of 0.01.
    """
    for name, (truth, low, high, published) in LEARNED.items():
        for count, theirs in zip((8, 16), published, strict=True):
            case = f"{name} [{low:g},{high:g}) n={count}"
            yield Row("learned", case, "GQA-LUT, published", count, mse=theirs)
            work = partial(least_squares, truth, low, high, count)
            fit, seconds = timed(partial(work, coefficient_step=2**-6, breakpoint_step=2**-5))
            behind = excess(fit.mean_squared_error, theirs, "mse", "GQA-LUT")
            yield Row(
                "learned",
                case,
                OURS,
                fit.segments,
                fit.max_error,
                fit.mean_error,
                fit.mean_squared_error,
                seconds,
                behind=behind,
            )
