"""Which activations of the catalogue each family is for: declared here, and held by conformance.

A family has a kernel of an activation that it takes on most quantisations, if not on all within
every budget, and it has none of the others: on grids of ordinary ranges, that is, since anything is
a line where the output grid is coarse enough, and with ordinary parameters, since ``apl`` without
hinges is ``relu``. A user's formula is not in here: what serves it follows from its symmetry and
its values. This module must not know any family's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.errors import unknown_name

if TYPE_CHECKING:
    from collections.abc import Iterable

GENERAL = ("hard", "interp", "lut", "pwl", "quadratic", "shift_pwl")
"""Families that take every activation."""


def _named(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAKES: dict[str, frozenset[str]] = {
    "affine": _named(
        "identity relu relu6 relu_n1_to_1 clipped_relu leaky_relu rrelu sparse_relu "
        "thresholded_relu threshold hard_tanh hard_sigmoid hard_sigmoid_02 hard_sigmoid_05"
    ),
    "composed": _named(
        "identity relu relu_n1_to_1 soft_shrink hard_shrink tanh_shrink hard_tanh hard_swish tanh "
        "softsign sqnl isru silu swish gelu gelu_tanh gelu_sigmoid"
    ),
    "rational": _named("softsign"),
    "tflm": _named("relu relu6 leaky_relu hard_swish sigmoid tanh elu"),
    **dict.fromkeys(
        ("plan", "a_law", "alippi", "cri1", "cri2", "cri3", "zhang"), _named("sigmoid tanh")
    ),
    "i_gelu": _named("gelu gelu_tanh gelu_sigmoid"),
    "i_exp": _named("exp"),
}
"""The activations of every family that does not take them all."""


def takes(family: str, activation: str) -> bool:
    """Return whether a family is for an activation of the catalogue.

    Raises EmbactError for an unknown family.
    """
    if family in GENERAL:
        return True
    if family not in TAKES:
        raise unknown_name("family", family, (*GENERAL, *TAKES))
    return activation in TAKES[family]


def families_for(activation: str, families: Iterable[str] = (*GENERAL, *TAKES)) -> list[str]:
    """Return the families, of those given, that are for an activation, in their order."""
    return [family for family in families if takes(family, activation)]
