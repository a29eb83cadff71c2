"""Smooth rectifiers, and the exponential that most of them are made of.

This module must not know grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.catalogue.parts import RELU_TAILS, mp, sigmoid, step
from embact.truth import Activation, Parameter

if TYPE_CHECKING:
    from embact.grid import Reals
    from embact.truth import Tail

SELU_ALPHA = 1.6732632423543772848170429916717
SELU_LAMBDA = 1.0507009873554804934193349852946
"""As in the authors' code, rounded to float64 like everywhere else."""


def _elu(x: Reals, alpha: float) -> Reals:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _elu_slope(x: Reals, alpha: float) -> Reals:
    return np.where(x >= 0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))


def _celu(x: Reals, alpha: float) -> Reals:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))


def _mp_selu(x: Any) -> Any:
    scale, alpha = mp().mpf(SELU_LAMBDA), mp().mpf(SELU_ALPHA)
    return scale * (x if x >= 0 else alpha * mp().expm1(x))


def _mp_celu(x: Any, alpha: float) -> Any:
    width = mp().mpf(alpha)
    return x if x >= 0 else width * mp().expm1(x / width)


def _isrlu(x: Reals, alpha: float) -> Reals:
    values: Reals = x / np.sqrt(1.0 + alpha * np.minimum(x, 0.0) ** 2)
    return values


def _mp_isrlu(x: Any, alpha: float) -> Any:
    return x if x >= 0 else x / mp().sqrt(1 + mp().mpf(alpha) * x**2)


def _squareplus(x: Reals, b: float) -> Reals:
    """Return (x + sqrt(x^2 + b))/2, which for x < 0 is b/(2 (sqrt(x^2 + b) - x))."""
    reach = np.hypot(x, math.sqrt(b)) + np.abs(x)
    small = np.divide(b, 2.0 * reach, out=np.zeros_like(reach), where=reach > 0)
    return np.where(x > 0, reach / 2.0, small)


def _squareplus_slope(x: Reals, b: float) -> Reals:
    if b == 0:
        return step(x)
    slope: Reals = _squareplus(x, b) / np.hypot(x, math.sqrt(b))
    return slope


def _mp_squareplus(x: Any, b: float) -> Any:
    root = mp().sqrt(x**2 + mp().mpf(b))
    return (x + root) / 2 if x > 0 or b == 0 else mp().mpf(b) / (2 * (root - x))


def _squareplus_tails(b: float) -> tuple[Tail, Tail]:
    side = int(b > 0)
    return (0.0, 0.0, side), (1.0, 0.0, side)


def _exp(x: Reals) -> Reals:
    with np.errstate(over="ignore"):  # from 709.8 on it is inf, which float64 calls an overflow
        values: Reals = np.exp(x)
    return values


def _softplus(x: Reals, beta: float) -> Reals:
    values: Reals = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(beta * x))) / beta
    return values


def _mp_softplus(x: Any, beta: float) -> Any:
    sharp = mp().mpf(beta)
    tail = mp().log1p(mp().exp(-abs(sharp * x))) / sharp
    return x + tail if x > 0 else tail


def _sparse_plus(x: Reals) -> Reals:
    bent: Reals = (np.clip(x, -1.0, 1.0) + 1.0) ** 2 / 4.0
    return np.where(x >= 1.0, x, bent)


ENTRIES = (
    Activation(
        "elu",
        "x if x >= 0 else alpha (exp(x) - 1)",
        "Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289",
        _elu,
        _elu_slope,
        lambda x, alpha: x if x >= 0 else mp().mpf(alpha) * mp().expm1(x),
        lambda alpha: ((0.0, -alpha, 1), (1.0, 0.0, 0)),
        parameters=(Parameter("alpha", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "selu",
        "lambda (x if x >= 0 else alpha (exp(x) - 1)), lambda 1.050701, alpha 1.673263",
        "Klambauer et al. 2017, arXiv:1706.02515",
        lambda x: SELU_LAMBDA * _elu(x, SELU_ALPHA),
        lambda x: SELU_LAMBDA * _elu_slope(x, SELU_ALPHA),
        _mp_selu,
        lambda: ((0.0, -SELU_LAMBDA * SELU_ALPHA, 1), (SELU_LAMBDA, 0.0, 0)),
    ),
    Activation(
        "celu",
        "x if x >= 0 else alpha (exp(x/alpha) - 1)",
        "Barron 2017, arXiv:1704.07483",
        _celu,
        lambda x, alpha: np.exp(np.minimum(x, 0.0) / alpha),
        _mp_celu,
        lambda alpha: ((0.0, -alpha, 1), (1.0, 0.0, 0)),
        parameters=(Parameter("alpha", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "isrlu",
        "x if x >= 0 else x/sqrt(1 + alpha x^2)",
        "Carlile et al. 2017, arXiv:1710.09967",
        _isrlu,
        lambda x, alpha: (1.0 + alpha * np.minimum(x, 0.0) ** 2) ** -1.5,
        _mp_isrlu,
        lambda alpha: ((0.0, -1.0 / math.sqrt(alpha), 1), (1.0, 0.0, 0)),
        parameters=(Parameter("alpha", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "softplus",
        "log(1 + exp(beta x))/beta",
        "Dugas et al. 2001",
        _softplus,
        lambda x, beta: sigmoid(beta * x),
        _mp_softplus,
        lambda _: ((0.0, 0.0, 1), (1.0, 0.0, 1)),
        symmetry="gated",
        parameters=(Parameter("beta", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "squareplus",
        "(x + sqrt(x^2 + b))/2",
        "Barron 2021, arXiv:2112.11687; b 4 is Keras' and JAX's default",
        _squareplus,
        _squareplus_slope,
        _mp_squareplus,
        _squareplus_tails,
        symmetry="gated",
        parameters=(Parameter("b", 4.0, 0.0, 1e3),),
    ),
    Activation(
        "sparse_plus",
        "0 if x <= -1 else x if x >= 1 else (x + 1)^2/4",
        "Keras 3, JAX",
        _sparse_plus,
        lambda x: np.clip((x + 1.0) / 2.0, 0.0, 1.0),
        lambda x: x if x >= 1 else (max(x, mp().mpf(-1)) + 1) ** 2 / 4,
        lambda: RELU_TAILS,
        symmetry="gated",
    ),
    Activation(
        "log_sigmoid",
        "-log(1 + exp(-x))",
        "definition",
        lambda x: -_softplus(-x, 1.0),
        lambda x: sigmoid(-x),
        lambda x: -_mp_softplus(-x, 1.0),
        lambda: ((1.0, 0.0, -1), (0.0, 0.0, -1)),
        symmetry="gated",
    ),
    Activation(
        "exp",
        "exp(x)",
        "definition",
        _exp,
        _exp,
        lambda x: mp().exp(x),
        lambda: ((0.0, 0.0, 1), None),
    ),
)
