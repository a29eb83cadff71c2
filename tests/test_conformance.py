"""Every activation, family, pair of widths and kind of quantisation, from truth to compiled C."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

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
"""Families that are asked about every kind at every pair of widths. The others are at int8 -> int8,
and elsewhere about one kind for each activation, in turn."""
AT_MOST = {8: 64, 16: 3}
"""Most kernels of a family for one problem that are compiled, by the input's width."""

EXPECTED = {
    "affine": "identity relu relu6 clipped_relu leaky_relu hard_sigmoid hard_sigmoid_02",
    "composed": "identity relu tanh hard_swish silu swish gelu gelu_tanh gelu_sigmoid "
    "softsign sqnl isru",
    **dict.fromkeys(
        ("hard", "interp", "lut", "pwl", "quadratic", "shift_pwl"), " ".join(CATALOGUE)
    ),
    "rational": "softsign",
    "tflm": "relu relu6 leaky_relu hard_swish elu",
    **dict.fromkeys(CLASSICS, "sigmoid tanh"),
    "i_gelu": "gelu gelu_tanh gelu_sigmoid",
    "i_exp": "exp",
}
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


def families_of(name, widths, kind):
    """Return the families that are asked about a case."""
    if kind == "negative" or widths == (8, 8):
        return list(FAMILIES)
    turn, place = list(CATALOGUE).index(name), KINDS.index(kind)
    return [
        family
        for number, family in enumerate(FAMILIES)
        if family in CHEAP or (turn + number) % len(KINDS) == place
    ]


def built(name, widths, kind):
    """Return one fit for each family and set of parameters, by the name of its function."""
    act = activation(name, **PARAMETERS.get(name, {}))
    problem = Problem(act, quantisation(act, *widths, kind), Limits(BUDGET))
    found = {}
    for family in families_of(name, widths, kind):
        forms = {}
        for one in candidates(problem, family):
            forms.setdefault(tuple(one.candidate.parameters), one)
        for number, one in enumerate(list(forms.values())[: AT_MOST[widths[0]]]):
            key = f"{kind}_{family}_{number}_{one.function_name}"
            found[key] = storable(one) if family in FIXED else one
    return found


def storable(one):
    """Return a fixed kernel's fit with the limits that it meets."""
    limits = Limits(one.certificate.max_error_codes)
    problem = dataclasses.replace(one.problem, limits=limits)
    return dataclasses.replace(one, problem=problem)


def as_program(widths, half, folder):
    """Fit every second case, compile the kernels, and store the fits and what the C computes."""
    cases = [(name, widths, kind) for name, kind in itertools.product(CATALOGUE, KINDS)]
    cases.append(("exp", widths, "negative"))
    fits = {}
    for case in cases[half::2]:
        fits |= built(*case)
    compiled = compile_header(emit_header(fits), dict.fromkeys(fits, widths))
    outputs = {key: observe(compiled, key, one.kernel) for key, one in fits.items()}
    texts = {key: fit_json(one) for key, one in fits.items()}
    folder.joinpath(f"fits{half}.json").write_text(json.dumps(texts), "utf-8")
    np.savez(folder / f"outputs{half}.npz", **outputs)


PAIRS = [pytest.param(pair, marks=pytest.mark.slow if pair == (16, 16) else ()) for pair in WIDTHS]


@dataclass(frozen=True)
class Batch:
    """All fits of one pair of widths, and what their compiled C gives, by a function's name."""

    widths: tuple[int, int]
    fits: dict[str, Fit]
    seen: dict[str, np.ndarray]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"int{pair[0]}-int{pair[1]}")
def batch(request, tmp_path_factory):
    """The batch of a pair: this file run as a program, on two cores at once."""
    folder = tmp_path_factory.mktemp("batch")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}  # twice as fast
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    words = [sys.executable, __file__, *map(str, request.param)]
    running = [
        subprocess.Popen([*words, str(half), str(folder)], env=environment) for half in (0, 1)
    ]
    assert [process.wait() for process in running] == [0, 0]
    fits, seen = {}, {}
    for half in (0, 1):
        texts = json.loads(folder.joinpath(f"fits{half}.json").read_text("utf-8"))
        fits |= {key: fit_of_json(text) for key, text in texts.items()}
        seen |= np.load(folder / f"outputs{half}.npz")
    return Batch(request.param, fits, seen)


NOTHING = {
    (8, 16): {
        "composed": "tanh softsign isru",
        "interp": "sigmoid tanh hard_sigmoid hard_sigmoid_02 hard_swish silu swish gelu gelu_tanh "
        "gelu_sigmoid softsign sqnl elu isru exp",
        "shift_pwl": "relu6 hard_sigmoid_02 hard_swish swish gelu_sigmoid elu exp",
        "tflm": "relu relu6 leaky_relu hard_swish elu",
    },
    (16, 8): {"tflm": "relu relu6 leaky_relu hard_swish elu"},
    (16, 16): {
        "composed": "tanh hard_swish silu swish gelu gelu_tanh gelu_sigmoid softsign isru",
        "interp": "hard_sigmoid hard_sigmoid_02",
        "quadratic": "tanh swish gelu_tanh gelu_sigmoid softsign elu isru exp",
        "rational": "softsign",
        "shift_pwl": "identity relu6 sigmoid tanh hard_sigmoid_02 hard_swish silu swish gelu "
        "gelu_sigmoid softsign sqnl elu isru softplus exp",
        "tflm": "relu hard_swish elu",
    },
}
"""The expected kernels that are not found within the budget on some grids that are asked about."""


def has_kernel(batch, family, name, kind):
    """Return whether a family has a kernel of an activation on a kind of grids."""
    prefix = f"{kind}_{family}_0_embact_{name}_s"
    return any(key.startswith(prefix) for key in batch.fits)


def test_every_family_has_kernels_of_the_activations_that_it_is_to_take(batch):
    for family, names in EXPECTED.items():
        nothing = NOTHING.get(batch.widths, {}).get(family, "").split()
        kinds = ("negative",) if family == "i_exp" else KINDS
        for name, kind in itertools.product(names.split(), kinds):
            asked = family in families_of(name, batch.widths, kind)
            if asked and name not in nothing:
                assert has_kernel(batch, family, name, kind), (family, name, kind)


def test_every_family_is_asked_about_each_kind_and_each_activation():
    assert set(EXPECTED) == set(FAMILIES)
    for family, widths in itertools.product(FAMILIES, WIDTHS):
        asked = [(name, kind) for name, kind in itertools.product(CATALOGUE, KINDS)
                 if family in families_of(name, widths, kind)]  # fmt: skip
        assert {name for name, _ in asked} == set(CATALOGUE)
        assert {kind for _, kind in asked} == set(KINDS)


def test_every_certificate_states_the_error_of_the_compiled_c(batch):
    for key, one in batch.fits.items():
        proved, codes, outputs = one.certificate, one.spec.input.codes(), batch.seen[key]
        reals = one.activation(one.spec.input.scale * (codes - one.spec.input.zero_point))
        wanted = reals / one.spec.output.scale + one.spec.output.zero_point
        wanted = np.clip(wanted, one.spec.output.code_min, one.spec.output.code_max)
        off = np.abs(outputs - ideal(one.activation, one.spec).codes)
        assert proved.points == outputs.size == 1 << one.spec.input.bits, key
        assert proved.max_error_codes == proved.max_error_codes_on_support == off.max(), key
        assert proved.not_correctly_rounded == np.count_nonzero(off), key
        assert abs(proved.max_error_lsb - np.abs(outputs - wanted).max()) < 1e-6, key
        assert (proved.output_min, proved.output_max) == (outputs.min(), outputs.max()), key


def test_every_kernel_is_within_the_budget_unless_it_is_a_fixed_one(batch):
    for key, one in batch.fits.items():
        if one.family not in FIXED:
            assert one.certificate.max_error_codes <= BUDGET, key
            assert one.certificate.max_error_lsb < BUDGET + 0.5 + 1e-6, key


def test_compiled_c_is_the_definition_on_every_input(batch):
    for key, one in batch.fits.items():
        assert np.array_equal(batch.seen[key], one.kernel.outputs), key
        proved = also_checked(one.certificate, one.kernel, batch.seen[key], PLACE)
        assert proved.checked_on == ("definition", PLACE)


def test_the_kinds_of_quantisation_are_what_they_are_called(batch):
    for key, one in batch.fits.items():
        rounded, grid = ideal(one.activation, one.spec).codes, one.spec.output
        ends = np.isin(rounded, (grid.code_min, grid.code_max)).mean()
        if key.startswith("symmetric"):
            assert (one.spec.input.zero_point, grid.zero_point) == (0, 0)
        elif key.startswith("saturating"):
            assert ends > 0.1, key
        else:
            assert one.spec.input.zero_point != 0


def test_a_kernel_beyond_the_budget_and_a_changed_output_would_be_noticed(batch, refuses):
    spec = quantisation(activation("tanh"), *batch.widths, "symmetric")
    coarse = next(candidates(Problem(activation("tanh"), spec, Limits(20)), "pwl"))
    assert coarse.certificate.max_error_codes > BUDGET
    changed = coarse.kernel.outputs.copy()
    changed[7] += 1
    with refuses("differs from its definition"):
        also_checked(coarse.certificate, coarse.kernel, changed, PLACE)


if __name__ == "__main__":
    bits, out_bits, part = map(int, sys.argv[1:4])
    as_program((bits, out_bits), part, Path(sys.argv[4]))
