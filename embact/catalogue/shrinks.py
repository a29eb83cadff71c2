"""Shrinks: odd activations that take what is small to 0, or near it.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import mp
from embact.truth import Activation, Parameter

if TYPE_CHECKING:
    from embact.grid import Reals

LEVELS = 12
"""Of Lambert's fraction: at |x| = 1 the next one changes nothing of float64."""

LAMBD = (Parameter("lambd", 0.5, 0.0, 1e6),)
"""As PyTorch and ONNX call it, since ``lambda`` is a word of Python."""


def _soft_shrink(x: Reals, lambd: float) -> Reals:
    values: Reals = np.maximum(x - lambd, 0.0) + np.minimum(x + lambd, 0.0)
    return values


def _mp_soft_shrink(x: Any, lambd: float) -> Any:
    width = mp().mpf(lambd)
    return x - width if x > width else x + width if x < -width else x * 0


def _beyond(x: Reals, lambd: float) -> Reals:
    return np.asarray((x < -lambd) | (x >= lambd), dtype=np.float64)


def _tanh_shrink(x: Reals) -> Reals:
    """Return x - tanh(x), where it would cancel by Lambert's fraction.

    tanh(x) = x/(1 + t) with t = x^2/(3 + x^2/(5 + ...)), so x - tanh(x) = x t/(1 + t), in which
    nothing is subtracted. Source: Lambert 1768.
    """
    near = np.clip(x, -1.0, 1.0)
    square = near * near
    rest: Any = 0.0
    for level in range(LEVELS, 0, -1):
        rest = square / (2 * level + 1 + rest)
    return np.where(np.abs(x) <= 1.0, near * (rest / (1.0 + rest)), x - np.tanh(x))


def _mp_tanh_shrink(x: Any) -> Any:
    lost = max(0, -2 * int(mp().mag(x))) if x else 0  # bits: near 0 it is x^3/3
    with mp().workprec(mp().prec + lost + 16):
        rest = x - mp().tanh(x)
    return +rest


ENTRIES = (
    Activation(
        "soft_shrink",
        "x - lambd if x > lambd else x + lambd if x < -lambd else 0",
        "Donoho & Johnstone 1994, soft thresholding; PyTorch, Keras 3, ONNX",
        _soft_shrink,
        _beyond,
        _mp_soft_shrink,
        lambda lambd: ((1.0, lambd, 0), (1.0, -lambd, 0)),
        symmetry="odd",
        parameters=LAMBD,
    ),
    Activation(
        "hard_shrink",
        "x if |x| > lambd else 0",
        "Donoho & Johnstone 1994, hard thresholding; PyTorch, Keras 3, ONNX",
        lambda x, lambd: np.where(np.abs(x) > lambd, x, 0.0),
        _beyond,
        lambda x, lambd: x if abs(x) > mp().mpf(lambd) else x * 0,
        lambda _: ((1.0, 0.0, 0), (1.0, 0.0, 0)),
        symmetry="odd",
        parameters=LAMBD,
    ),
    Activation(
        "tanh_shrink",
        "x - tanh(x)",
        "definition; PyTorch, Keras 3",
        _tanh_shrink,
        lambda x: np.tanh(x) ** 2,
        _mp_tanh_shrink,
        lambda: ((1.0, 1.0, -1), (1.0, -1.0, 1)),
        symmetry="odd",
    ),
)
