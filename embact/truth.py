"""What the truth about an activation is made of: a real function with an independent oracle.

This module must not know any particular function, grids, kernels or how a thing is approximated.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embact.errors import EmbactError, unknown_name
from embact.ir import check_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from embact.grid import Reals

Symmetry = Literal["none", "odd", "point", "gated"]
"""odd: f(-x) = -f(x); point: f(-x) = 1 - f(x); gated: f(x) - f(-x) = x, as for x * gate(x)."""

Tail = tuple[float, float, int]
"""(slope, intercept, side) of an asymptote: the function lies above it (1), below (-1) or on it (0)
all the way from where it is within 1e-40 of it."""

Truth = Literal["oracle", "float64"]
"""What decides how a result is rounded: an oracle wherever float64 could be wrong, or float64."""

MOST_FORMULA = 500
FEW = 4
"""So many parameters are all said where an activation is: of more, those that are no default."""


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
    derivative: likewise; at a kink or a jump it is the derivative from the right.
    oracle: mpmath number, *parameters -> mpmath number, at mpmath's working precision.
    It is None for a user's function without one.
    asymptotes: *parameters -> the lines approached at -inf and +inf; None where there is none, or
    none is known.
    symmetry: what holds with ``values``. symmetry_of: *parameters -> the symmetry, where it depends
    on them.
    unit_range: the half-open real range whose codes TFLite fixes for this op's output, if it does.
    values: the parameters' values, in the order of ``parameters``.
    ascending: names of parameters of which none may be less than the one before.
    tested: whether float64 is known to be good to 1e-12 of its value. Where it is not, a result is
    the oracle's, if there is one, unless float_error knows better.
    float_error: float64 array, *parameters -> bounds on |function(x) - f(x)|, for x within half a
    unit in the last place; infinite or nan where nothing is known. None: nothing is known.
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
    symmetry_of: Callable[..., Symmetry] | None = None
    ascending: tuple[str, ...] = ()
    float_error: Callable[..., Reals] | None = None

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

    def said(self) -> dict[str, float]:
        """Return the values to say: of FEW parameters all, of more those that are no default."""
        few = len(self.parameters) <= FEW
        pairs = zip(self.parameters, self.values, strict=True)
        return {p.name: value for p, value in pairs if few or value != p.default}

    def set(self, settings: Mapping[str, float]) -> Activation:
        """Return the activation with parameters set by name; the others have their defaults.

        Raises EmbactError for an unknown parameter, with the nearest names, for a value that is not
        finite or outside the parameter's range, and for values that do not ascend.
        """
        known = {p.name: p for p in self.parameters}
        for key, value in settings.items():
            if key not in known:
                raise unknown_name("parameter", key, known, where=self.name)
            if not known[key].low <= value <= known[key].high:
                raise EmbactError(
                    f"parameter {key}",
                    got=value,
                    allowed=f"{known[key].low:g}..{known[key].high:g}",
                    where=self.name,
                )
        values = tuple(float(settings.get(p.name, p.default)) for p in self.parameters)
        by_name = dict(zip(known, values, strict=True))
        ordered = [by_name[name] for name in self.ascending]
        if ordered != sorted(ordered):
            raise EmbactError(
                f"parameters {', '.join(self.ascending)}",
                got=", ".join(f"{value:g}" for value in ordered),
                allowed=" <= ".join(self.ascending),
                where=self.name,
            )
        symmetry = self.symmetry if self.symmetry_of is None else self.symmetry_of(*values)
        return dataclasses.replace(self, values=values, symmetry=symmetry)
