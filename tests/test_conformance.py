"""Every activation, family, pair of widths and kind of quantisation, from truth to compiled C."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.certify import also_checked, ideal
from embact.emit.header import emit_header
from embact.fit.classics import CLASSICS
from embact.fit.problem import Limits, Problem
from embact.fit.record import Fit, fit_json, fit_of_json
from embact.fit.search import FAMILIES, candidates
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.run.host import PLACE, compile_header, observe

WIDTHS = ((8, 8), (16, 16), (8, 16), (16, 8))
KINDS = ("symmetric", "asymmetric", "saturating")
PARAMETERS = {"swish": {"beta": 1.5}, "clipped_relu": {"max": 2.5}}
"""swish and clipped_relu with their defaults would repeat silu and relu6."""
BUDGET = 1
FIXED = {"hard", "tflm", *CLASSICS}
"""Families whose kernels are what they are, whatever the budget."""
CHEAP = {"affine", "rational", "tflm", *CLASSICS}
"""Families that are asked about every kind at every pair of widths; the others at int8 -> int8
only, and elsewhere about one kind for each activation, in turn."""

ROUNDED = {"sigmoid", "tanh"}
EXPECTED = {
    "affine": {"identity", "relu", "relu6", "clipped_relu", "leaky_relu", "hard_sigmoid",
               "hard_sigmoid_02"},
    "composed": {"identity", "relu", "tanh", "hard_swish", "silu", "swish", "gelu", "gelu_tanh",
                 "gelu_sigmoid", "softsign", "sqnl", "isru"},
    **dict.fromkeys(("hard", "interp", "lut", "pwl", "quadratic", "shift_pwl"), set(CATALOGUE)),
    "rational": {"softsign"},
    "tflm": {"relu", "relu6", "leaky_relu", "hard_swish", "elu"},
    **dict.fromkeys(CLASSICS, ROUNDED),
    "i_gelu": {"gelu", "gelu_tanh", "gelu_sigmoid"},
    "i_exp": {"exp"},
}  # fmt: skip
"""The activations that a family has a kernel of at least, on the grids below."""


def quantisation(act, bits, out_bits, kind):
    """Return grids of one kind: TFLite's for a range, or an output that clips both ends."""
    if kind == "symmetric":
        grid_in = Grid(6.0 / (1 << (bits - 1)), 0, bits)
    elif kind == "negative":
        grid_in = Grid(8.0 / (1 << bits), (1 << (bits - 1)) - 1, bits)
    else:
        quarter = (1 << (bits - 1)) // 4
        grid_in = Grid(9.0 / (1 << bits), -quarter, bits)
    values = act(grid_in.real(grid_in.codes()))
    low, high = float(values.min()), float(values.max())
    if kind == "symmetric":
        size = max(-low, high)
        return QuantSpec(grid_in, Grid(size / ((1 << (out_bits - 1)) - 1), 0, out_bits))
    if kind in ("asymmetric", "negative"):
        as_int8 = grid_of_range(low, high, 8)
        step = 1 << (out_bits - 8)
        zero = max(as_int8.zero_point * step, -(1 << (out_bits - 1)))
        return QuantSpec(grid_in, Grid(as_int8.scale / step, zero, out_bits))
    zero = (1 << (out_bits - 1)) // 3
    return QuantSpec(grid_in, Grid((high - low) / (1 << out_bits) / 2.2, zero, out_bits))
