"""What is measured: C that maps codes to codes, inputs for it, and the outputs that are right.

This module must not know compilers, emulators or which rows there are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.grid import all_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from embact.fit.record import Fit
    from embact.grid import Codes

SMALL, LARGE = 1024, 2048
"""Elements of the two runs whose difference is counted, so that what is done once cancels."""

SEED = 20261121


@dataclass(frozen=True)
class Case:
    """Input codes and the output codes that the definition gives, both flat."""

    codes: Codes
    expected: Codes


@dataclass(frozen=True)
class Subject:
    """A loop to be measured and checked.

    name: of its row. files: C sources and headers by name. include: the header that ``call`` needs.
    call: a C expression or call that reads ``input`` and writes ``output``, given ``size``.
    in_bits, out_bits: widths of the codes. sizes: the two ``size`` that are run on the first inputs
    of ``counted``. step: elements, that is outputs, of each unit of ``size``. counted: outputs for
    sizes[1]. every: what is checked besides, all inputs where that is possible. every_size: its
    ``size``. bars: most instructions for an element by core. today: what others take, in words.
    """

    name: str
    files: Mapping[str, str]
    include: str
    call: str
    in_bits: int
    out_bits: int
    counted: Case
    every: Case
    sizes: tuple[int, int] = (SMALL, LARGE)
    step: int = 1
    bars: Mapping[str, float] = field(default_factory=dict)
    today: str = ""

    def __post_init__(self) -> None:
        small, large = self.sizes
        if not 0 < small < large or self.counted.expected.size != large * self.step:
            raise EmbactError(
                f"sizes of {self.name}",
                got=f"{small}, {large} of {self.counted.expected.size}",
                allowed="two sizes that grow, and outputs for the larger",
            )
        if self.every.expected.size % self.step:
            raise EmbactError(
                f"outputs of {self.name}",
                got=self.every.expected.size,
                allowed=f"a multiple of {self.step}",
            )

    @property
    def every_size(self) -> int:
        """The ``size`` with which everything is checked."""
        return self.every.expected.size // self.step

    @property
    def elements(self) -> int:
        """By how many elements the larger run is larger."""
        return (self.sizes[1] - self.sizes[0]) * self.step


def uniform_codes(bits: int, count: int = LARGE) -> Codes:
    """Return ``count`` codes, each half of them evenly spread over all codes, in random order.

    For int8 each code is as frequent as any other, in both halves: what is counted over a half is
    the mean over all inputs. For int16 one code is drawn from each of count / 2 equal stretches.

    >>> [len(set(half)) for half in uniform_codes(8).reshape(2, -1).tolist()]
    [256, 256]
    """
    rng = np.random.default_rng(SEED)
    codes = all_codes(bits)
    half = count // 2
    halves = []
    for _ in range(2):
        if codes.size <= half:
            spread = np.resize(codes, half)
        else:
            stretch = codes.size // half
            spread = codes[np.arange(half) * stretch + rng.integers(0, stretch, half)]
        halves.append(rng.permutation(spread))
    return np.concatenate(halves)


def elementwise(  # noqa: PLR0913 - a row has as many facts
    name: str,
    files: Mapping[str, str],
    include: str,
    call: str,
    *,
    widths: tuple[int, int],
    definition: Callable[[Codes], Codes],
    bars: Mapping[str, float] | None = None,
    today: str = "",
) -> Subject:
    """Return the subject of a function of one code, checked on all of them."""
    some, every = uniform_codes(widths[0]), all_codes(widths[0])
    return Subject(
        name,
        files,
        include,
        call,
        *widths,
        counted=Case(some, definition(some)),
        every=Case(every, definition(every)),
        bars=bars or {},
        today=today,
    )


def of_fit(
    name: str, fit: Fit, *, bars: Mapping[str, float] | None = None, today: str = ""
) -> Subject:
    """Return the subject of a kernel's emitted header; its definition is the kernel.

    Its function has the row's name, so that kernels of one activation can be in one program.
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower())[:40].strip("_")
    function = f"embact_{plain}_row"
    return elementwise(
        name,
        {f"{function}.h": emit_header({function: fit})},
        f"{function}.h",
        f"{function}(input, output, size)",
        widths=(fit.kernel.input_bits, fit.kernel.output_bits),
        definition=fit.kernel,
        bars=bars,
        today=today,
    )
