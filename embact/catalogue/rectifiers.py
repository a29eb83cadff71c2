"""Rectifiers: lines, with kinks and jumps.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import RELU_TAILS, between, mp, step
from embact.truth import Activation, Parameter

if TYPE_CHECKING:
    from embact.truth import Symmetry, Tail


def _broken(slope: float | Fraction) -> Symmetry:
    """Return the symmetry of a line that goes on below 0 with another slope."""
    return "gated" if slope == 0 else "odd" if slope == 1 else "none"


def _from_zero(threshold: float, value: float = 0.0) -> Symmetry:
    """Return the symmetry of x beyond a threshold and a value before it."""
    return "gated" if threshold == value == 0 else "none"


def _rrelu_symmetry(lower: float, upper: float) -> Symmetry:
    """Return the symmetry that follows from the mean, without rounding it."""
    return _broken((Fraction(lower) + Fraction(upper)) / 2)


def _mean(lower: float, upper: float) -> float:
    return (lower + upper) / 2.0


def _mp_rrelu(x: Any, lower: float, upper: float) -> Any:
    return x if x >= 0 else x * (mp().mpf(lower) + mp().mpf(upper)) / 2


def _threshold_tails(_: float, value: float = 0.0) -> tuple[Tail, Tail]:
    return (0.0, value, 0), (1.0, 0.0, 0)


ENTRIES = (
    Activation(
        "identity",
        "x",
        "definition",
        lambda x: x + 0.0,
        np.ones_like,
        lambda x: x,
        lambda: ((1.0, 0.0, 0), (1.0, 0.0, 0)),
        symmetry="odd",
    ),
    Activation(
        "relu",
        "max(0, x)",
        "Nair & Hinton 2010",
        lambda x: np.maximum(x, 0.0),
        step,
        lambda x: x if x > 0 else x * 0,
        lambda: RELU_TAILS,
        symmetry="gated",
    ),
    Activation(
        "relu6",
        "min(6, max(0, x))",
        "Krizhevsky 2010, convolutional deep belief networks; Sandler et al. 2018, "
        "arXiv:1801.04381",
        lambda x: np.clip(x, 0.0, 6.0),
        lambda x: between(x, 0.0, 6.0),
        lambda x: min(max(x, x * 0), mp().mpf(6)),
        lambda: ((0.0, 0.0, 0), (0.0, 6.0, 0)),
    ),
    Activation(
        "relu_n1_to_1",
        "min(1, max(-1, x))",
        "TFLite's RELU_N1_TO_1",
        lambda x: np.clip(x, -1.0, 1.0),
        lambda x: between(x, -1.0, 1.0),
        lambda x: min(max(x, mp().mpf(-1)), mp().mpf(1)),
        lambda: ((0.0, -1.0, 0), (0.0, 1.0, 0)),
        symmetry="odd",
    ),
    Activation(
        "clipped_relu",
        "min(max, max(0, x))",
        "Hannun et al. 2014, arXiv:1412.5567",
        lambda x, top: np.clip(x, 0.0, top),
        lambda x, top: between(x, 0.0, top),
        lambda x, top: min(max(x, x * 0), mp().mpf(top)),
        lambda top: ((0.0, 0.0, 0), (0.0, top, 0)),
        parameters=(Parameter("max", 1.0, 1e-6, 1e6),),
    ),
    Activation(
        "leaky_relu",
        "x if x >= 0 else alpha x",
        "Maas, Hannun & Ng 2013; 0.2 is the default of TensorFlow's and Keras' functions",
        lambda x, alpha: np.where(x >= 0, x, alpha * x),
        lambda x, alpha: np.where(x >= 0, 1.0, alpha),
        lambda x, alpha: x if x >= 0 else mp().mpf(alpha) * x,
        lambda alpha: ((alpha, 0.0, 0), (1.0, 0.0, 0)),
        symmetry_of=_broken,
        parameters=(Parameter("alpha", 0.2, -1e3, 1e3),),
    ),
    Activation(
        "rrelu",
        "x if x >= 0 else (lower + upper)/2 x",
        "Xu et al. 2015, arXiv:1505.00853, as it is at inference; defaults of PyTorch",
        lambda x, lower, upper: np.where(x >= 0, x, _mean(lower, upper) * x),
        lambda x, lower, upper: np.where(x >= 0, 1.0, _mean(lower, upper)),
        _mp_rrelu,
        lambda lower, upper: ((_mean(lower, upper), 0.0, 0), (1.0, 0.0, 0)),
        symmetry_of=_rrelu_symmetry,
        parameters=(
            Parameter("lower", 1.0 / 8.0, -1e3, 1e3),
            Parameter("upper", 1.0 / 3.0, -1e3, 1e3),
        ),
        ascending=("lower", "upper"),
    ),
    Activation(
        "sparse_relu",
        "max(0, x - threshold)",
        "Price et al. 2024, arXiv:2402.16184, the shifted ReLU",
        lambda x, threshold: np.maximum(x - threshold, 0.0),
        step,
        lambda x, threshold: max(x - mp().mpf(threshold), x * 0),
        lambda threshold: ((0.0, 0.0, 0), (1.0, -threshold, 0)),
        symmetry_of=_from_zero,
        parameters=(Parameter("threshold", 1.0, 0.0, 1e6),),
    ),
    Activation(
        "thresholded_relu",
        "x if x > theta else 0",
        "Konda, Memisevic & Krueger 2014, arXiv:1402.3337; Keras, ONNX",
        lambda x, theta: np.where(x > theta, x, 0.0),
        step,
        lambda x, theta: x if x > mp().mpf(theta) else x * 0,
        _threshold_tails,
        symmetry_of=_from_zero,
        parameters=(Parameter("theta", 1.0, 0.0, 1e6),),
    ),
    Activation(
        "threshold",
        "x if x > threshold else value",
        "PyTorch and Keras 3, which have no defaults; ours are those of PyTorch's example",
        lambda x, threshold, value: np.where(x > threshold, x, value),
        lambda x, threshold, _: step(x, threshold),
        lambda x, threshold, value: x if x > mp().mpf(threshold) else mp().mpf(value),
        _threshold_tails,
        symmetry_of=_from_zero,
        parameters=(Parameter("threshold", 0.0, -1e6, 1e6), Parameter("value", 0.5, -1e6, 1e6)),
    ),
)
