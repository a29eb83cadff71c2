"""Stand-ins: which activations may take the place of another one, and why one would try that.

Whether a stand-in is cheaper depends on the core, the grids and the budget, and whether it is good
enough on the data; both are measured for each site. This module must not know either.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from embact.activations import Activation, activation
from embact.expression import parse

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class StandIn:
    """An activation to try, and why.

    make: the original activation -> the one to try. far: the largest distance of the two for inputs
    in -60..60 at the original's default parameters, to two decimals, rounded up.
    """

    make: Callable[[Activation], Activation]
    far: float
    why: str


def _entry(name: str) -> Callable[[Activation], Activation]:
    return lambda _: activation(name)


def _formula(name: str, text: str) -> Callable[[Activation], Activation]:
    """Return what makes a formula with the original's parameters in the places of their names."""

    def made(original: Activation) -> Activation:
        settings = {key: f"({value!r})" for key, value in original.settings().items()}
        return parse(text.format(**settings), name)

    return made


LINES = "three lines instead of a curve"
GATE = "the gate drawn with three lines"
NONE = "two lines instead of a curve"


def _gelu(gate: float, none: float, silu: float, swish: float) -> tuple[StandIn, ...]:
    """Return the stand-ins for one form of GELU, given how far each is."""
    return (
        StandIn(_formula("hard_gelu", "x*clip(1.702*x + 3, 0, 6)/6"), gate, GATE),
        StandIn(_entry("relu"), none, f"{NONE}, and nearer to GELU than SiLU is"),
        StandIn(_entry("silu"), silu, "a wider bend, which coarser pieces follow"),
        StandIn(_entry("hard_swish"), swish, f"{GATE}, and a wider bend"),
    )


STAND_INS: dict[str, tuple[StandIn, ...]] = {
    "sigmoid": (
        StandIn(_entry("hard_sigmoid"), 0.07, f"{LINES}; MobileNetV3 uses it (Howard et al. 2019)"),
        StandIn(_entry("hard_sigmoid_02"), 0.08, f"{LINES}; nearer to the slope at 0"),
    ),
    "tanh": (
        StandIn(_entry("sqnl"), 0.05, "two parabolas, so products can do (Wuraola 2018)"),
        StandIn(_entry("hard_tanh"), 0.24, LINES),
    ),
    "erf": (StandIn(_entry("hard_tanh"), 0.16, LINES),),
    "silu": (
        StandIn(_entry("hard_swish"), 0.15, f"{GATE}; MobileNetV3 uses it (Howard et al. 2019)"),
        StandIn(_entry("relu"), 0.28, NONE),
    ),
    "swish": (
        StandIn(_formula("hard_gate", "x*clip({beta}*x + 3, 0, 6)/6"), 0.15, GATE),
        StandIn(_entry("relu"), 0.28, NONE),
    ),
    "hard_swish": (StandIn(_entry("relu"), 0.38, NONE),),
    "gelu": _gelu(0.07, 0.17, 0.20, 0.30),
    "gelu_tanh": _gelu(0.07, 0.18, 0.20, 0.30),
    "gelu_sigmoid": _gelu(0.09, 0.17, 0.18, 0.28),
    "mish": (
        StandIn(_entry("silu"), 0.19, "a gate, whose symmetry halves tables"),
        StandIn(_entry("hard_swish"), 0.29, GATE),
        StandIn(_entry("relu"), 0.31, NONE),
    ),
    "elu": (
        StandIn(
            _formula("hard_elu", "where(x < 0, {alpha}*max(x, -1), x)"),
            *(0.37, "two lines below 0, with the same slope at 0 and the same limit"),
        ),
        StandIn(_entry("relu"), 1.0, NONE),
    ),
    "selu": (
        StandIn(
            _formula(
                "hard_selu", "1.0507009873554805*where(x < 0, 1.6732632423543772*max(x, -1), x)"
            ),
            *(0.65, "two lines below 0, with the same slope at 0 and the same limit"),
        ),
    ),
    "celu": (
        StandIn(
            _formula("hard_celu", "max(x, -{alpha})"),
            *(0.37, "two lines: the same limit, and no bend"),
        ),
        StandIn(_entry("relu"), 1.0, NONE),
    ),
    "isrlu": (StandIn(_entry("relu"), 1.0, NONE),),
    "softplus": (
        StandIn(
            _formula(
                "hard_softplus", "(clip({beta}*x + 3, 0, 6)**2/12 + max({beta}*x - 3, 0))/{beta}"
            ),
            *(0.06, "the integral of hard_sigmoid: one parabola between two lines"),
        ),
        StandIn(_entry("relu"), 0.70, NONE),
    ),
    "squareplus": (StandIn(_entry("relu"), 1.0, NONE),),
    "log_sigmoid": (StandIn(_formula("min_0", "min(x, 0)"), 0.70, NONE),),
    "leaky_relu": (StandIn(_entry("relu"), 12.0, "nothing to multiply below 0"),),
    "relu6": (StandIn(_entry("relu"), 54.0, "where the output's codes end at 6 anyway"),),
}
"""By the original's name, from the nearest. What is missing is exact in lines already, or has no
simpler form that is near."""


@lru_cache(maxsize=256)
def stand_ins(original: Activation) -> tuple[tuple[Activation, str], ...]:
    """Return the activations to try in place of one, each with why, the nearest first.

    Equal activations get the same ones; none if there is no entry, or for a user's formula.
    """
    if original.expression:
        return ()
    return tuple((one.make(original), one.why) for one in STAND_INS.get(original.name, ()))
