"""The truth: each activation as a real function, with its derivative and an independent oracle.

The float64 function is fast and vectorised; the oracle is written separately over mpmath numbers
and decides where float64 cannot. This module must not know grids, kernels or how a thing is
approximated.

Where texts disagree on a name, each meaning is an entry of its own: ``hard_sigmoid`` is
relu6(x + 3)/6 and ``hard_sigmoid_02`` is 0.2x + 0.5; ``sqnl`` is the square nonlinearity and
``softsign`` is x/(1 + |x|).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embact.errors import EmbactError, unknown_name
from embact.ir import check_identifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.grid import Reals

Symmetry = Literal["none", "odd", "point", "gated"]
"""odd: f(-x) = -f(x); point: f(-x) = 1 - f(x); gated: f(x) - f(-x) = x, as for x * gate(x)."""

Tail = tuple[float, float, int]
"""(slope, intercept, side) of an asymptote: the function lies above it (1), below (-1) or on it (0)
all the way from where it is within 1e-40 of it."""

Truth = Literal["oracle", "float64"]
"""What decides how a result is rounded: an oracle wherever float64 could be wrong, or float64."""

MOST_FORMULA = 500


@dataclass(frozen=True)
class Parameter:
    """A real parameter of an activation with its default and its closed range."""

    name: str
    default: float
    low: float
    high: float


@dataclass(frozen=True)
class Activation:
    """A real function of one real variable, with values for its parameters.

    function: float64 array, *parameters -> float64 array of the same shape.
    derivative: likewise; at a kink it is the derivative from the right.
    oracle: mpmath number, *parameters -> mpmath number, at mpmath's working precision.
    It is None for a user's function without one.
    asymptotes: *parameters -> the lines approached at -inf and +inf; None where there is none, or
    none is known.
    unit_range: the half-open real range whose codes TFLite fixes for this op's output, if it does.
    values: the parameters' values, in the order of ``parameters``.
    tested: whether float64 is known to be good to 1e-12 of its value. Where it is not, every
    result is the oracle's, if there is one.
    expression: the formula that ``embact.expression.parse`` read, empty for the others.
    Raises EmbactError for a name that is no lower-case C identifier and for a formula that is not
    one line of ASCII that can stand in a C comment.
    """

    name: str
    formula: str
    source: str
    function: Callable[..., Reals]
    derivative: Callable[..., Reals]
    oracle: Callable[..., Any] | None
    asymptotes: Callable[..., tuple[Tail | None, Tail | None]]
    symmetry: Symmetry = "none"
    unit_range: tuple[float, float] | None = None
    parameters: tuple[Parameter, ...] = ()
    values: tuple[float, ...] = ()
    tested: bool = True
    expression: str = ""

    def __post_init__(self) -> None:
        check_identifier(self.name, "real function")
        text = self.formula
        plain = text.isascii() and text.isprintable() and "\\" not in text
        if not (plain and 0 < len(text) <= MOST_FORMULA) or "*/" in text or "/*" in text:
            raise EmbactError(
                f"formula of {self.name}",
                got=ascii(text[:40]),
                allowed=f"one line of 1..{MOST_FORMULA} ASCII characters without \\, /* and */",
            )

    @property
    def truth(self) -> Truth:
        """What decides how its results are rounded."""
        return "float64" if self.oracle is None else "oracle"

    def __call__(self, x: Reals) -> Reals:
        """Return f(x) in float64; finite for every finite x whose result is finite."""
        return self.function(np.asarray(x, dtype=np.float64), *self.values)

    def slope(self, x: Reals) -> Reals:
        """Return f'(x) in float64."""
        return self.derivative(np.asarray(x, dtype=np.float64), *self.values)

    def exact(self, x: Any) -> Any:
        """Return f(x) of an mpmath number at mpmath's working precision.

        Raises EmbactError for an activation without an oracle.
        """
        if self.oracle is None:
            raise EmbactError(f"{self.name} has no oracle", allowed="one given to user_activation")
        return self.oracle(x, *self.values)

    def limits(self) -> tuple[Tail | None, Tail | None]:
        """Return the lines approached at -inf and +inf, None where none is known."""
        return self.asymptotes(*self.values)

    def settings(self) -> dict[str, float]:
        """Return the parameters' values by name."""
        return {p.name: value for p, value in zip(self.parameters, self.values, strict=True)}


def activation(name: str, /, **settings: float) -> Activation:
    """Return a catalogue entry with its parameters set; the others keep their defaults.

    Raises EmbactError for an unknown activation or parameter, with the nearest names, and for a
    value that is not finite or outside the parameter's range.

    >>> activation("leaky_relu", alpha=0.25)(np.array([-4.0, 4.0]))
    array([-1.,  4.])
    """
    if name not in CATALOGUE:
        raise unknown_name("activation", name, CATALOGUE)
    entry = CATALOGUE[name]
    known = {p.name: p for p in entry.parameters}
    for key, value in settings.items():
        if key not in known:
            raise unknown_name("parameter", key, known, where=name)
        if not known[key].low <= value <= known[key].high:
            raise EmbactError(
                f"parameter {key}",
                got=value,
                allowed=f"{known[key].low:g}..{known[key].high:g}",
                where=name,
            )
    values = tuple(float(settings.get(p.name, p.default)) for p in entry.parameters)
    return dataclasses.replace(entry, values=values)


def _mp() -> Any:
    import mpmath

    return mpmath.mp


def _step(x: Reals, at: float = 0.0) -> Reals:
    return np.asarray(x >= at, dtype=np.float64)


def _between(x: Reals, low: float, high: float) -> Reals:
    return _step(x, low) - _step(x, high)


def _sigmoid(x: Reals) -> Reals:
    small: Reals = np.exp(-np.abs(x))
    result: Reals = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return result


def _sigmoid_slope(x: Reals) -> Reals:
    return _sigmoid(x) * _sigmoid(-x)


def _mp_sigmoid(x: Any) -> Any:
    return 1 / (1 + _mp().exp(-x))


def _swish(x: Reals, beta: float) -> Reals:
    return x * _sigmoid(beta * x)


def _swish_slope(x: Reals, beta: float) -> Reals:
    return _sigmoid(beta * x) * (1.0 + beta * x * _sigmoid(-beta * x))


def _tanh_slope(x: Reals) -> Reals:
    small: Reals = np.exp(-2.0 * np.abs(x))
    return 4.0 * small / (1.0 + small) ** 2


def _erfc(x: Reals) -> Reals:
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x), dtype=np.float64)


def _gelu_slope(x: Reals) -> Reals:
    density: Reals = np.exp(-0.5 * np.minimum(np.abs(x), 1e3) ** 2) / math.sqrt(2.0 * math.pi)
    return 0.5 * _erfc(-x / math.sqrt(2.0)) + x * density


GELU_TANH = math.sqrt(2.0 / math.pi)
GELU_CUBIC = 0.044715
GELU_SIGMOID = 1.702


def _gelu_tanh(x: Reals) -> Reals:
    return x * _sigmoid(2.0 * GELU_TANH * (x + GELU_CUBIC * x**3))


def _gelu_tanh_slope(x: Reals) -> Reals:
    inner = np.clip(2.0 * GELU_TANH * (x + GELU_CUBIC * x**3), -1e3, 1e3)
    growth = 2.0 * GELU_TANH * (1.0 + 3.0 * GELU_CUBIC * np.minimum(np.abs(x), 1e3) ** 2)
    bounded = np.clip(x, -1e3, 1e3)
    return _sigmoid(inner) + bounded * growth * _sigmoid_slope(inner)


def _mp_gelu_tanh(x: Any) -> Any:
    mp = _mp()
    inner = mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)
    return x / (1 + mp.exp(-2 * inner))  # the same as x/2 (1 + tanh(inner)), without cancellation


def _sqnl(x: Reals) -> Reals:
    inside: Reals = np.clip(x, -2.0, 2.0)
    bent: Reals = inside * np.abs(inside) / 4.0
    return inside - bent


def _mp_sqnl(x: Any) -> Any:
    if abs(x) > 2:
        return _mp().sign(x)
    return x - x * abs(x) / 4


def _elu(x: Reals, alpha: float) -> Reals:
    return np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


def _elu_slope(x: Reals, alpha: float) -> Reals:
    return np.where(x >= 0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))


def _hard_swish_slope(x: Reals) -> Reals:
    return np.where(x >= 3.0, 1.0, _between(x, -3.0, 3.0) * (2.0 * np.clip(x, -3, 3) + 3.0) / 6.0)


def _mp_hard_gate(x: Any) -> Any:
    return min(max(x + 3, _mp().mpf(0)), _mp().mpf(6)) / 6


def _exp(x: Reals) -> Reals:
    with np.errstate(over="ignore"):  # from 709.8 on it is inf, which float64 calls an overflow
        values: Reals = np.exp(x)
    return values


def _softplus(x: Reals, beta: float) -> Reals:
    values: Reals = np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(beta * x))) / beta
    return values


def _mp_softplus(x: Any, beta: float) -> Any:
    mp = _mp()
    tail = mp.log1p(mp.exp(-abs(mp.mpf(beta) * x))) / mp.mpf(beta)
    return x + tail if x > 0 else tail


def _isru_tails(alpha: float) -> tuple[Tail, Tail]:
    end = 1.0 / math.sqrt(alpha)
    return (0.0, -end, 1), (0.0, end, -1)


RELU_TAILS = (0.0, 0.0, 0), (1.0, 0.0, 0)
GATED_TAILS = (0.0, 0.0, -1), (1.0, 0.0, -1)
UNIT_TAILS = (0.0, 0.0, 0), (0.0, 1.0, 0)
SIGN_TAILS = (0.0, -1.0, 1), (0.0, 1.0, -1)

_ENTRIES = (
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
        _step,
        lambda x: x if x > 0 else x * 0,
        lambda: RELU_TAILS,
        symmetry="gated",
    ),
    Activation(
        "relu6",
        "min(6, max(0, x))",
        "Howard et al. 2017, arXiv:1704.04861",
        lambda x: np.clip(x, 0.0, 6.0),
        lambda x: _between(x, 0.0, 6.0),
        lambda x: min(max(x, x * 0), _mp().mpf(6)),
        lambda: ((0.0, 0.0, 0), (0.0, 6.0, 0)),
    ),
    Activation(
        "clipped_relu",
        "min(max, max(0, x))",
        "Hannun et al. 2014, arXiv:1412.5567",
        lambda x, top: np.clip(x, 0.0, top),
        lambda x, top: _between(x, 0.0, top),
        lambda x, top: min(max(x, x * 0), _mp().mpf(top)),
        lambda top: ((0.0, 0.0, 0), (0.0, top, 0)),
        parameters=(Parameter("max", 1.0, 1e-6, 1e6),),
    ),
    Activation(
        "leaky_relu",
        "x if x >= 0 else alpha x",
        "Maas, Hannun & Ng 2013; alpha 0.2 is TFLite's and Keras' usual one",
        lambda x, alpha: np.where(x >= 0, x, alpha * x),
        lambda x, alpha: np.where(x >= 0, 1.0, alpha),
        lambda x, alpha: x if x >= 0 else _mp().mpf(alpha) * x,
        lambda alpha: ((alpha, 0.0, 0), (1.0, 0.0, 0)),
        parameters=(Parameter("alpha", 0.2, -1e3, 1e3),),
    ),
    Activation(
        "sigmoid",
        "1/(1 + exp(-x))",
        "definition",
        _sigmoid,
        _sigmoid_slope,
        _mp_sigmoid,
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
        lambda x: _mp().tanh(x),
        lambda: SIGN_TAILS,
        symmetry="odd",
        unit_range=(-1.0, 1.0),
    ),
    Activation(
        "hard_sigmoid",
        "relu6(x + 3)/6",
        "Howard et al. 2019, arXiv:1905.02244; Keras 3, PyTorch",
        lambda x: np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        lambda x: _between(x, -3.0, 3.0) / 6.0,
        _mp_hard_gate,
        lambda: UNIT_TAILS,
        symmetry="point",
    ),
    Activation(
        "hard_sigmoid_02",
        "min(1, max(0, 0.2 x + 0.5))",
        "Courbariaux et al. 2015, arXiv:1511.00363; Theano, Keras 2, ONNX",
        lambda x: np.clip(x + 2.5, 0.0, 5.0) / 5.0,  # 0.2 x + 0.5 cancels near -2.5
        lambda x: 0.2 * _between(x, -2.5, 2.5),
        lambda x: min(max(x / 5 + _mp().mpf(0.5), x * 0), _mp().mpf(1)),
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
    Activation(
        "silu",
        "x sigmoid(x)",
        "Elfwing, Uchibe & Doya 2017, arXiv:1702.03118",
        lambda x: _swish(x, 1.0),
        lambda x: _swish_slope(x, 1.0),
        lambda x: x * _mp_sigmoid(x),
        lambda: GATED_TAILS,
        symmetry="gated",
    ),
    Activation(
        "swish",
        "x sigmoid(beta x)",
        "Ramachandran, Zoph & Le 2017, arXiv:1710.05941",
        _swish,
        _swish_slope,
        lambda x, beta: x * _mp_sigmoid(_mp().mpf(beta) * x),
        lambda _: GATED_TAILS,
        symmetry="gated",
        parameters=(Parameter("beta", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "gelu",
        "x/2 (1 + erf(x/sqrt 2))",
        "Hendrycks & Gimpel 2016, arXiv:1606.08415",
        lambda x: 0.5 * x * _erfc(-x / math.sqrt(2.0)),
        _gelu_slope,
        lambda x: x / 2 * _mp().erfc(-x / _mp().sqrt(2)),
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
        lambda x: x * _mp_sigmoid(_mp().mpf("1.702") * x),
        lambda: GATED_TAILS,
        symmetry="gated",
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
        "elu",
        "x if x >= 0 else alpha (exp(x) - 1)",
        "Clevert, Unterthiner & Hochreiter 2015, arXiv:1511.07289",
        _elu,
        _elu_slope,
        lambda x, alpha: x if x >= 0 else _mp().mpf(alpha) * _mp().expm1(x),
        lambda alpha: ((0.0, -alpha, 1), (1.0, 0.0, 0)),
        parameters=(Parameter("alpha", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "isru",
        "x/sqrt(1 + alpha x^2)",
        "Carlile et al. 2017, arXiv:1710.09967",
        lambda x, alpha: x / np.sqrt(1.0 + alpha * x**2),
        lambda x, alpha: (1.0 + alpha * x**2) ** -1.5,
        lambda x, alpha: x / _mp().sqrt(1 + _mp().mpf(alpha) * x**2),
        _isru_tails,
        symmetry="odd",
        parameters=(Parameter("alpha", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "softplus",
        "log(1 + exp(beta x))/beta",
        "Dugas et al. 2001",
        _softplus,
        lambda x, beta: _sigmoid(beta * x),
        _mp_softplus,
        lambda _: ((0.0, 0.0, 1), (1.0, 0.0, 1)),
        symmetry="gated",
        parameters=(Parameter("beta", 1.0, 1e-3, 1e3),),
    ),
    Activation(
        "exp",
        "exp(x)",
        "definition",
        _exp,
        _exp,
        lambda x: _mp().exp(x),
        lambda: ((0.0, 0.0, 1), None),
    ),
)

CATALOGUE: dict[str, Activation] = {
    entry.name: dataclasses.replace(entry, values=tuple(p.default for p in entry.parameters))
    for entry in _ENTRIES
}
"""Every activation by name, with default parameters."""
