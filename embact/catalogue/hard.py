"""Hard forms: smooth activations drawn with lines.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import RELU_TAILS, between, mp
from embact.truth import Activation, Parameter

if TYPE_CHECKING:
    from embact.grid import Reals

UNIT_TAILS = (0.0, 0.0, 0), (0.0, 1.0, 0)


def _hard_swish_slope(x: Reals) -> Reals:
    return np.where(x >= 3.0, 1.0, between(x, -3.0, 3.0) * (2.0 * np.clip(x, -3, 3) + 3.0) / 6.0)


def _mp_hard_gate(x: Any) -> Any:
    return min(max(x + 3, mp().mpf(0)), mp().mpf(6)) / 6


ENTRIES = (
    Activation(
        "hard_tanh",
        "min(max, max(min, x))",
        "Collobert 2004; PyTorch, and with its defaults Keras 3 and JAX",
        np.clip,
        between,
        lambda x, low, high: min(max(x, mp().mpf(low)), mp().mpf(high)),
        lambda low, high: ((0.0, low, 0), (0.0, high, 0)),
        symmetry_of=lambda low, high: "odd" if low == -high else "none",
        parameters=(Parameter("min", -1.0, -1e6, 1e6), Parameter("max", 1.0, -1e6, 1e6)),
        ascending=("min", "max"),
    ),
    Activation(
        "hard_sigmoid",
        "relu6(x + 3)/6",
        "Howard et al. 2019, arXiv:1905.02244; Keras 3, PyTorch",
        lambda x: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x: between(x, -3.0, 3.0) / 6.0,
        _mp_hard_gate,
        lambda: UNIT_TAILS,
        symmetry="point",
    ),
    Activation(
        "hard_sigmoid_02",
        "min(1, max(0, 0.2 x + 0.5))",
        "Theano and Keras 2; ONNX by default",
        lambda x: np.clip(x + 2.5, 0.0, 5.0) / 5.0,  # 0.2 x + 0.5 cancels near -2.5
        lambda x: 0.2 * between(x, -2.5, 2.5),
        lambda x: min(max(x / 5 + mp().mpf(0.5), x * 0), mp().mpf(1)),
        lambda: UNIT_TAILS,
        symmetry="point",
    ),
    Activation(
        "hard_sigmoid_05",
        "min(1, max(0, 0.5 x + 0.5))",
        "Courbariaux et al. 2015, arXiv:1511.00363",
        lambda x: np.clip(x + 1.0, 0.0, 2.0) / 2.0,
        lambda x: 0.5 * between(x, -1.0, 1.0),
        lambda x: min(max((x + 1) / 2, x * 0), mp().mpf(1)),
        lambda: UNIT_TAILS,
        symmetry="point",
    ),
    Activation(
        "hard_swish",
        "x relu6(x + 3)/6",
        "Howard et al. 2019, arXiv:1905.02244",
        lambda x: x * (np.clip(x + 3.0, 0.0, 6.0) / 6.0),
        _hard_swish_slope,
        lambda x: x * _mp_hard_gate(x),
        lambda: RELU_TAILS,
        symmetry="gated",
    ),
)
