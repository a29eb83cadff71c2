"""Q formats of int16 codes: the input scales that the gates of recurrent cells have names for.

qM.N has N fraction bits and M before them: a scale of 2**-N. This module must not know kernels.
"""

from __future__ import annotations

import math
import re

from embact.errors import EmbactError

FRACTION_BITS = range(9, 16)
"""Of the formats that have a name: q6.9 to q0.15."""


def scale_of(q_format: str) -> float:
    """Return the scale of a format by name.

    Raises EmbactError for a name that is none of q0.15 to q6.9.

    >>> scale_of("q3.12") == 2.0**-12
    True
    """
    parts = re.fullmatch(r"[qQ](\d+)\.(\d+)", q_format)
    whole, fraction = (int(part) for part in parts.groups()) if parts else (0, 0)
    if whole + fraction != 15 or fraction not in FRACTION_BITS:
        allowed = ", ".join(f"q{15 - bits}.{bits}" for bits in reversed(FRACTION_BITS))
        raise EmbactError("--format", got=repr(q_format), allowed=f"{allowed}, or --in-scale")
    return 2.0**-fraction


def suffix(scale: float) -> str:
    """Return the part of a C name that tells formats apart; "" for a scale without a format.

    >>> suffix(2.0**-12), suffix(0.0003)
    ('_q3_12', '')
    """
    fraction, exponent = math.frexp(scale)
    bits = 1 - exponent
    return f"_q{15 - bits}_{bits}" if fraction == 0.5 and bits in FRACTION_BITS else ""
