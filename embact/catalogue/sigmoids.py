"""S-shaped activations, which are bounded on both sides.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import SIGN_TAILS, erf, gauss, mp, mp_sigmoid, sigmoid, sigmoid_slope
from embact.truth import Activation, Parameter, Tail

if TYPE_CHECKING:
    from embact.grid import Reals


def _tanh_slope(x: Reals) -> Reals:
    small: Reals = np.exp(-2.0 * np.abs(x))
    return 4.0 * small / (1.0 + small) ** 2


def _sqnl(x: Reals) -> Reals:
    inside: Reals = np.clip(x, -2.0, 2.0)
    bent: Reals = inside * np.abs(inside) / 4.0
    return inside - bent


def _mp_sqnl(x: Any) -> Any:
    if abs(x) > 2:
        return mp().sign(x)
    return x - x * abs(x) / 4


def _isru_tails(alpha: float) -> tuple[Tail, Tail]:
    end = 1.0 / math.sqrt(alpha)
    return (0.0, -end, 1), (0.0, end, -1)


ENTRIES = (
    Activation(
        "sigmoid",
        "1/(1 + exp(-x))",
        "definition",
        sigmoid,
        sigmoid_slope,
        mp_sigmoid,
        lambda: ((0.0, 0.0, 1), (0.0, 1.0, -1)),
        symmetry="point",
        unit_range=(0.0, 1.0),
    ),
    Activation(
        "tanh",
        "(exp(x) - exp(-x))/(exp(x) + exp(-x))",
        "definition",
        np.tanh,
        _tanh_slope,
        lambda x: mp().tanh(x),
        lambda: SIGN_TAILS,
        symmetry="odd",
        unit_range=(-1.0, 1.0),
    ),
    Activation(
        "erf",
        "2/sqrt(pi) times the integral of exp(-t^2) from 0 to x",
        "definition",
        erf,
        lambda x: 2.0 / math.sqrt(math.pi) * gauss(x),
        lambda x: mp().erf(x),
        lambda: SIGN_TAILS,
        symmetry="odd",
    ),
    Activation(
        "softsign",
        "x/(1 + |x|)",
        "Elliott 1993",
        lambda x: x / (1.0 + np.abs(x)),
        lambda x: 1.0 / (1.0 + np.abs(x)) ** 2,
        lambda x: x / (1 + abs(x)),
        lambda: SIGN_TAILS,
        symmetry="odd",
    ),
    Activation(
        "sqnl",
        "x - x|x|/4, and +-1 where |x| > 2",
        "Wuraola & Patel 2018, the square nonlinearity",
        _sqnl,
        lambda x: np.maximum(1.0 - np.abs(x) / 2.0, 0.0),
        _mp_sqnl,
        lambda: ((0.0, -1.0, 0), (0.0, 1.0, 0)),
        symmetry="odd",
    ),
    Activation(
        "isru",
        "x/sqrt(1 + alpha x^2)",
        "Carlile et al. 2017, arXiv:1710.09967",
        lambda x, alpha: x / np.sqrt(1.0 + alpha * x**2),
        lambda x, alpha: (1.0 + alpha * x**2) ** -1.5,
        lambda x, alpha: x / mp().sqrt(1 + mp().mpf(alpha) * x**2),
        _isru_tails,
        symmetry="odd",
        parameters=(Parameter("alpha", 1.0, 1e-3, 1e3),),
    ),
)
