"""What a family is asked: an activation on a quantisation, limits, and options about the form.

This module must not know how any family works, or how a fit is stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from embact.certify import check_width, ideal
from embact.cores import CORES, DEFAULT_CORE
from embact.errors import EmbactError, unknown_name
from embact.fit.line import FREE, Intervals, Segment, intervals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embact.activations import Activation
    from embact.certify import Histogram, Ideal
    from embact.grid import Codes, QuantSpec
    from embact.kernel import Kernel


def _check_count(what: str, got: object, least: int) -> None:
    """Raise EmbactError unless a count is an integer from ``least`` to 65536."""
    if not isinstance(got, int) or isinstance(got, bool) or not least <= got <= 1 << 16:
        raise EmbactError(what, got=got, allowed=f"{least}..{1 << 16}")


@dataclass(frozen=True)
class Limits:
    """What a kernel may cost.

    max_error: largest allowed ``max_error_codes``.
    max_bytes: largest allowed table bytes, or None.
    on_support: whether max_error is about the input codes that occur in the histogram only.
    Raises EmbactError for values outside these.
    """

    max_error: int = 1
    max_bytes: int | None = None
    on_support: bool = False

    def __post_init__(self) -> None:
        _check_count("error budget in codes", self.max_error, 0)
        if self.max_bytes is not None and self.max_bytes < 0:
            raise EmbactError("table budget in bytes", got=self.max_bytes, allowed=">= 0")


@dataclass(frozen=True)
class Options:
    """What is fixed about the form of a kernel (None leaves it to the search), and what is best.

    slope_bits: width of the slopes of ``pwl``: 8 or 16.
    terms: most signed powers of two in a slope of ``shift_pwl``: 1, 2 or 3.
    segments: how many segments, pieces or cells at most; a form then has the least error for them.
    minimize: with ``segments``, what is least: the largest error or the mean squared error.
    shifts: one shift for all segments of ``pwl``, or one for each.
    continuous: whether neighbouring segments of ``pwl`` meet; int8 inputs and 8-bit slopes.
    fold: whether the symmetry of the activation halves the domain.
    lookup: how ``pwl`` finds a segment: by comparing breakpoints or by an index table.
    clamp: what limits the result: the code range, or the narrowest that the budget allows.
    objective: which kernel is the best: of the fewest instructions on ``core``, of the fewest
    table bytes, of the least error, or of the fewest segments.
    Raises EmbactError for values outside these.
    """

    slope_bits: int | None = None
    terms: int | None = None
    segments: int | None = None
    minimize: Literal["max", "mse"] = "max"
    shifts: Literal["common", "each"] | None = None
    continuous: bool = False
    fold: bool | None = None
    lookup: Literal["compare", "index"] | None = None
    clamp: Literal["codes", "tight"] | None = None
    objective: Literal["instructions", "bytes", "error", "segments"] = "instructions"
    core: str = DEFAULT_CORE

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[object, ...]] = {
            "slope_bits": (None, 8, 16),
            "terms": (None, 1, 2, 3),
            "minimize": ("max", "mse"),
            "shifts": (None, "common", "each"),
            "continuous": (False, True),
            "fold": (None, False, True),
            "clamp": (None, "codes", "tight"),
            "lookup": (None, "compare", "index"),
            "objective": ("instructions", "bytes", "error", "segments"),
        }
        for name, values in allowed.items():
            got = getattr(self, name)
            if not any(type(got) is type(value) and got == value for value in values):
                listed = ", ".join(str(value) for value in values if value is not None)
                raise EmbactError(name.replace("_", " "), got=got, allowed=listed)
        if self.core not in CORES:
            raise unknown_name("core", self.core, CORES)
        if self.segments is not None:
            _check_count("segments", self.segments, 1)
        self._check_together()

    def _check_together(self) -> None:
        """Raise EmbactError for options that contradict each other."""
        contradictions = {
            "minimize mse without segments": self.minimize == "mse" and self.segments is None,
            "shifts each with segments": self.shifts == "each" and self.segments is not None,
            "shifts each with lookup index": self.shifts == "each" and self.lookup == "index",
            "shifts each with terms": self.shifts == "each" and self.terms is not None,
            "continuous with shifts each": self.continuous and self.shifts == "each",
            "continuous with lookup index": self.continuous and self.lookup == "index",
            "continuous with minimize mse": self.continuous and self.minimize == "mse",
            "segments with lookup index": self.lookup == "index" and self.segments is not None,
            "minimize mse with fold": self.minimize == "mse" and self.fold is True,
        }
        for words, there in contradictions.items():
            if there:
                raise EmbactError("options that do not go together", got=words)


@dataclass(frozen=True)
class Candidate:
    """A kernel that a family built.

    parameters: what the family chose, integers by name. segments: the lines, where the kernel is
    nothing but lines over the whole input range and a clamp.
    """

    kernel: Kernel
    parameters: Mapping[str, int] = field(default_factory=dict)
    segments: tuple[Segment, ...] = ()


@dataclass(frozen=True)
class Problem:
    """An activation, the grids, what a kernel may cost, and what is fixed about its form.

    max_error_lsb: a budget that stands for ``limits.max_error`` while a fit looks for the least
    error: the distance to the real result, in codes.
    """

    activation: Activation
    spec: QuantSpec
    limits: Limits = field(default_factory=Limits)
    options: Options = field(default_factory=Options)
    histogram: Histogram | None = None
    max_error_lsb: float | None = None

    def __post_init__(self) -> None:
        check_width(self.histogram, self.spec)
        if self.limits.on_support and self.histogram is None:
            raise EmbactError("an error on the support", got="no histogram", allowed="--histogram")

    def _ends(self) -> tuple[Codes, Codes]:
        """Return the least and the greatest output within the budget, crossed where none is."""
        if self.max_error_lsb is None:
            budget = self.limits.max_error
            return self.truth.codes - budget, self.truth.codes + budget
        low = np.ceil(self.truth.lsb - self.max_error_lsb).astype(np.int64)
        return low, np.floor(self.truth.lsb + self.max_error_lsb).astype(np.int64)

    def affords(self, table_bytes: int) -> bool:
        """Return whether tables of that size are within the limits."""
        return self.limits.max_bytes is None or table_bytes <= self.limits.max_bytes

    @property
    def truth(self) -> Ideal:
        """What a perfect kernel would do."""
        return ideal(self.activation, self.spec)

    @property
    def code_range(self) -> tuple[int, int]:
        """The least and the greatest output code that there is."""
        return self.spec.output.code_min, self.spec.output.code_max

    @cached_property
    def own_range(self) -> tuple[int, int]:
        """The least and the greatest correctly rounded code of the activation."""
        return int(self.truth.codes.min()), int(self.truth.codes.max())

    @cached_property
    def tight_range(self) -> tuple[int, int]:
        """The narrowest clamp within the error budget: no other leaves more to the clamp."""
        low, high = self._ends()
        if self.limits.on_support and self.histogram is not None:
            low, high = low[self.histogram.support], high[self.histogram.support]
        least, most = int(high.min()), int(low.max())
        least, most = (int(self.spec.output.clamp(end)) for end in (least, most))
        return least, max(least, most)

    def bounds(self, clamp: tuple[int, int] | None = None) -> Intervals:
        """Return the outputs that serve each input within the error budget, before a clamp.

        clamp: the limits that the kernel's result is clamped to afterwards; by default the code
        range. Where the budget is about the support only, codes that do not occur are free.
        """
        codes = self.spec.input.codes()
        bounds = intervals(codes, self._ends(), clamp or self.code_range)
        if self.limits.on_support and self.histogram is not None:
            absent = ~self.histogram.support
            low = np.where(absent, -FREE, bounds.low)
            bounds = Intervals(codes, low, np.where(absent, FREE, bounds.high))
        return bounds
