"""Smooth gates: x times a function that rises from 0 to 1.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import GATED_TAILS, erfc, gauss, mp, mp_sigmoid, sigmoid, sigmoid_slope
from embact.truth import Activation, Parameter

if TYPE_CHECKING:
    from embact.grid import Reals


def _swish(x: Reals, beta: float) -> Reals:
    return x * sigmoid(beta * x)


def _swish_slope(x: Reals, beta: float) -> Reals:
    return sigmoid(beta * x) * (1.0 + beta * x * sigmoid(-beta * x))


def _gelu_slope(x: Reals) -> Reals:
    scaled = x / math.sqrt(2.0)
    return 0.5 * erfc(-scaled) + scaled * gauss(scaled) / math.sqrt(math.pi)


GELU_TANH = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
GELU_SIGMOID = 1.702


def _gelu_tanh(x: Reals) -> Reals:
    return x * sigmoid(2.0 * GELU_TANH * (x + GELU_CUBIC * x**3))


def _gelu_tanh_slope(x: Reals) -> Reals:
    inner = np.clip(2.0 * GELU_TANH * (x + GELU_CUBIC * x**3), -1e3, 1e3)
    growth = 2.0 * GELU_TANH * (1.0 + 3.0 * GELU_CUBIC * np.minimum(np.abs(x), 1e3) ** 2)
    bounded = np.clip(x, -1e3, 1e3)
    return sigmoid(inner) + bounded * growth * sigmoid_slope(inner)


def _mp_gelu_tanh(x: Any) -> Any:
    inner = mp().sqrt(2 / mp().pi) * (x + mp().mpf("0.044715") * x**3)
    return x / (1 + mp().exp(-2 * inner))  # the same as x/2 (1 + tanh(inner)), without cancellation


def _tanh_softplus(x: Reals) -> tuple[Reals, Reals]:
    """Return tanh(log(1 + exp(x))) and its derivative, without overflow and cancellation.

    With e = exp(-|x|) the first is (1 + 2e)/(1 + 2e + 2e^2) for x > 0, and else
    e(e + 2)/(e(e + 2) + 2).
    """
    e: Reals = np.exp(-np.abs(x))
    above, below = 1.0 + 2.0 * e + 2.0 * e * e, e * (e + 2.0) + 2.0
    gate = np.where(x > 0, (1.0 + 2.0 * e) / above, e * (e + 2.0) / below)
    rise = np.where(x > 0, e / above**2, 1.0 / below**2)
    return gate, 4.0 * e * (1.0 + e) * rise


def _mish_slope(x: Reals) -> Reals:
    gate, rise = _tanh_softplus(x)
    return gate + x * rise


ENTRIES = (
    Activation(
        "silu",
        "x sigmoid(x)",
        "Elfwing, Uchibe & Doya 2017, arXiv:1702.03118",
        lambda x: _swish(x, 1.0),
        lambda x: _swish_slope(x, 1.0),
        lambda x: x * mp_sigmoid(x),
        lambda: GATED_TAILS,
        symmetry="gated",
    ),
    Activation(
        "swish",
        "x sigmoid(beta x)",
        "Ramachandran, Zoph & Le 2017, arXiv:1710.05941",
        _swish,
        _swish_slope,
        lambda x, beta: x * mp_sigmoid(mp().mpf(beta) * x),
        lambda _: GATED_TAILS,
        symmetry="gated",
        parameters=(Parameter("beta", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "gelu",
        "x/2 (1 + erf(x/sqrt 2))",
        "Hendrycks & Gimpel 2016, arXiv:1606.08415",
        lambda x: 0.5 * x * erfc(-x / math.sqrt(2.0)),
        _gelu_slope,
        lambda x: x / 2 * mp().erfc(-x / mp().sqrt(2)),
        lambda: GATED_TAILS,
        symmetry="gated",
    ),
    Activation(
        "gelu_tanh",
        "x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))",
        "Hendrycks & Gimpel 2016, arXiv:1606.08415; TFLite GELU with approximate = true",
        _gelu_tanh,
        _gelu_tanh_slope,
        _mp_gelu_tanh,
        lambda: GATED_TAILS,
        symmetry="gated",
    ),
    Activation(
        "gelu_sigmoid",
        "x sigmoid(1.702 x)",
        "Hendrycks & Gimpel 2016, arXiv:1606.08415",
        lambda x: _swish(x, GELU_SIGMOID),
        lambda x: _swish_slope(x, GELU_SIGMOID),
        lambda x: x * mp_sigmoid(mp().mpf("1.702") * x),
        lambda: GATED_TAILS,
        symmetry="gated",
    ),
    Activation(
        "mish",
        "x tanh(log(1 + exp(x)))",
        "Misra 2019, arXiv:1908.08681",
        lambda x: x * _tanh_softplus(x)[0],
        _mish_slope,
        lambda x: x * mp().tanh(mp().log1p(mp().exp(x))),
        lambda: GATED_TAILS,
    ),
)
