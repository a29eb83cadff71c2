"""What is proved of a gated unit: for int8 all 65,536 pairs, for int16 a bound over all 2**32.

The truth is the real product of the real activation; where float64 cannot tell which way it rounds,
the activation's oracle decides. This module must not know how a unit was made or is emitted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from embact.certify import DOUBT_CODES, GUARD_DIGITS, ORACLE_DIGITS
from embact.errors import EmbactError
from embact.grid import round_half_away

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.grid import Codes, Reals
    from embact.nn.glu import Glu, Grids

PAIRS = 1 << 16
"""The pairs of two int8 codes."""

SLACK = 1e-6
"""Added to a bound: more than float64 may be wrong by in it, 1e-12 of a result of 16 bits."""


@dataclass(frozen=True)
class PairCertificate:
    """Exhaustive error of an int8 unit over all pairs of codes.

    max_error_codes: largest distance to the correctly rounded code. max_error_lsb, mean_error_lsb:
    distance to the real product, limited to the output's codes. worst: the first pair (a, b) with
    the largest error. oracle_pairs: pairs whose rounding the oracle decided.
    """

    pairs: int
    max_error_codes: int
    max_error_lsb: float
    mean_error_lsb: float
    not_correctly_rounded: int
    worst: tuple[int, int]
    oracle_pairs: int


@dataclass(frozen=True)
class BoundCertificate:
    """Proved error of an int16 unit over all 2**32 pairs of codes.

    bound_lsb: no result is farther from the real product, limited to the output's codes.
    bound_codes: no result is farther from the correctly rounded code. For each b the real product
    and the one that is rounded are lines in a, limited; their distance is largest at a bend or an
    end, and rounding adds at most 1/2.
    attained_lsb: an error that occurs: the largest at a's ends and next to the bends, for every b.
    """

    pairs: int
    bound_codes: int
    bound_lsb: float
    attained_lsb: float


def certify_pairs(unit: Glu) -> PairCertificate:
    """Return the error of an int8 unit over all pairs. Raises EmbactError for another width."""
    if unit.grids.bits != 8:
        raise EmbactError("width of a unit whose pairs are enumerated", got=unit.grids.bits)
    a, b = unit.grids.a.codes()[:, None], unit.grids.b.codes()[None, :]
    codes, steps, asked = correct_codes(unit.activation, unit.grids)
    outputs = unit(a, b)
    target = unit.grids.output
    off = np.abs(outputs - codes)
    lsb = np.abs(outputs - target.zero_point - _limited(unit.grids, steps))
    worst = np.unravel_index(np.argmax(lsb), lsb.shape)
    return PairCertificate(
        pairs=outputs.size,
        max_error_codes=int(off.max()),
        max_error_lsb=round(float(lsb.max()), 9),
        mean_error_lsb=round(float(lsb.mean()), 9),
        not_correctly_rounded=int(np.count_nonzero(off)),
        worst=(int(a[worst[0], 0]), int(b[0, worst[1]])),
        oracle_pairs=asked,
    )


@lru_cache(maxsize=16)
def correct_codes(activation: Activation, grids: Grids) -> tuple[Codes, Reals, int]:
    """Return the correctly rounded codes of all pairs, the real products, and the oracle's share.

    Both by a, then b, in ascending order; the products are in output codes from its zero point.
    """
    gates = activation(grids.b.real(grids.b.codes()))
    factors = (grids.a.codes() - grids.a.zero_point).astype(np.float64)
    steps = np.outer(factors, grids.a.scale * gates / grids.output.scale)
    near = _limited(grids, steps)
    codes = round_half_away(near) + grids.output.zero_point
    doubt = np.abs(np.abs(near - np.floor(near)) - 0.5) < DOUBT_CODES
    if activation.oracle is None:
        doubt[:] = False
    oracle = _Oracle(activation, grids)
    for i, j in np.argwhere(doubt).tolist():
        codes[i, j] = oracle.code(int(factors[i]), j)
    codes = grids.output.clamp(codes)
    for array in (codes, steps):
        array.flags.writeable = False
    return codes, steps, int(np.count_nonzero(doubt))


def _limited(grids: Grids, steps: Reals) -> Reals:
    """Return products limited to the output's codes, both counted from its zero point."""
    target = grids.output
    ends = target.code_min - target.zero_point, target.code_max - target.zero_point
    return np.clip(steps, *ends)


class _Oracle:
    """The rounding of products near a boundary between codes; activations are reckoned once."""

    def __init__(self, activation: Activation, grids: Grids) -> None:
        self.activation, self.grids = activation, grids
        self.kept: dict[tuple[int, int], tuple[Any, Any]] = {}

    def _gate(self, position: int, digits: int) -> tuple[Any, Any]:
        """Return b's real value and the activation there, at mpmath's working precision."""
        import mpmath

        key = position, digits
        if key not in self.kept:
            b = self.grids.b
            real = mpmath.mpf(b.scale) * (position + b.code_min - b.zero_point)
            self.kept[key] = real, mpmath.mpf(self.activation.exact(real))
        return self.kept[key]

    def code(self, factor: int, position: int) -> int:
        """Return the correctly rounded code of factor * a_scale * activation(b)."""
        import mpmath

        grids = self.grids
        for digits in (ORACLE_DIGITS[0], ORACLE_DIGITS[-1]):
            with mpmath.workdps(digits):
                real, value = self._gate(position, digits)
                unit_steps = mpmath.mpf(grids.a.scale) * factor / mpmath.mpf(grids.output.scale)
                steps = unit_steps * value
                near = mpmath.mpf(10) ** (GUARD_DIGITS - digits)
                whole = int(mpmath.nint(abs(steps) - mpmath.mpf(0.5)))
                beyond = abs(steps) - whole - mpmath.mpf(0.5)
                if abs(beyond) > near:
                    up = bool(beyond > 0)
                    break
                side = self._side(real, value, near)
                up = side == 0 or (side > 0) == (value > 0)  # an exact tie goes away from zero
        magnitude = whole + up
        return (magnitude if steps >= 0 else -magnitude) + grids.output.zero_point

    def _side(self, real: Any, value: Any, near: Any) -> int:
        """Return on which side of its asymptote a gate lies that is not told from it; 0: on it."""
        tail = self.activation.limits()[int(real > 0)]
        if tail is None:
            return 0
        slope, intercept, side = tail
        return side if abs(value - (slope * real + intercept)) < near else 0


def certify_bound(unit: Glu) -> BoundCertificate:
    """Return a proved bound on the error of a unit over all pairs of codes."""
    grids = unit.grids
    gates = unit.activation(grids.b.real(grids.b.codes()))
    real = grids.a.scale * gates / grids.output.scale
    factor = Fraction(unit.factor.multiplier, 1 << (31 - unit.factor.shift))
    used = np.array(unit.gate, dtype=np.float64) * float(factor)
    low = np.float64(grids.a.code_min - grids.a.zero_point)
    high = np.float64(grids.a.code_max - grids.a.zero_point)
    ends = [end - grids.output.zero_point for end in (grids.output.code_min, grids.output.code_max)]
    bends = [np.full(real.shape, end) for end in (low, high)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for slope in (real, used):
            for end in ends:
                at = np.clip(end / slope, low, high)
                bends.append(np.where(np.isnan(at), 0.0, at))
    at = np.stack(bends)
    apart = float(np.max(np.abs(_limited(grids, at * real) - _limited(grids, at * used)))) + SLACK
    whole = np.concatenate([np.floor(at), np.ceil(at)])
    outputs = unit(whole.astype(np.int64) + grids.a.zero_point, grids.b.codes()[None, :])
    errors = np.abs(outputs - grids.output.zero_point - _limited(grids, whole * real))
    return BoundCertificate(
        pairs=grids.a.codes().size * grids.b.codes().size,
        bound_codes=math.floor(apart) + 1,
        bound_lsb=math.ceil((apart + 0.5) * 1e6) / 1e6,
        attained_lsb=round(float(errors.max()), 9),
    )


def best_of(units: list[Glu]) -> tuple[Glu, PairCertificate]:
    """Return the int8 unit whose results are nearest to the correctly rounded ones, and its proof.

    The least error in codes, then the fewest that are not correctly rounded, then the least lsb.
    """
    proved = [(unit, certify_pairs(unit)) for unit in units]
    return min(
        proved,
        key=lambda one: (
            one[1].max_error_codes,
            one[1].not_correctly_rounded,
            one[1].max_error_lsb,
        ),
    )
