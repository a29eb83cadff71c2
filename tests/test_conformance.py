"""Every activation, family, pair of widths and kind of quantisation, from truth to compiled C."""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.certify import also_checked
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Problem
from embact.fit.record import fit_json, fit_of_json
from embact.fit.search import FAMILIES, candidates
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.run.host import PLACE, compile_header, observe

WIDTHS = ((8, 8), (16, 16), (8, 16), (16, 8))
KINDS = ("symmetric", "asymmetric", "saturating")
PARAMETERS = {"swish": {"beta": 1.5}, "clipped_relu": {"max": 2.5}}
"""swish and clipped_relu with their defaults would repeat silu and relu6."""
TWO_LINES = ("identity", "relu", "relu6", "clipped_relu", "leaky_relu", "hard_sigmoid",
             "hard_sigmoid_02")  # fmt: skip
CURVES = [name for name in CATALOGUE if name not in TWO_LINES]
BUDGET = 1


def quantisation(act, bits, out_bits, kind):
    """Return grids of one kind: TFLite's for a range, or an output that clips both ends."""
    if kind == "symmetric":
        grid_in = Grid(6.0 / (1 << (bits - 1)), 0, bits)
    else:
        quarter = (1 << (bits - 1)) // 4
        grid_in = Grid(9.0 / (1 << bits), -quarter, bits)
    values = act(grid_in.real(grid_in.codes()))
    low, high = float(values.min()), float(values.max())
    if kind == "symmetric":
        size = max(-low, high)
        return QuantSpec(grid_in, Grid(size / ((1 << (out_bits - 1)) - 1), 0, out_bits))
    if kind == "asymmetric":
        as_int8 = grid_of_range(low, high, 8)
        step = 1 << (out_bits - 8)
        zero = max(as_int8.zero_point * step, -(1 << (out_bits - 1)))
        return QuantSpec(grid_in, Grid(as_int8.scale / step, zero, out_bits))
    zero = (1 << (out_bits - 1)) // 3
    return QuantSpec(grid_in, Grid((high - low) / (1 << out_bits) / 2.2, zero, out_bits))


def fits_of(case):
    """Return the JSON of all that the families build for a case."""
    name, bits, out_bits, kind = case
    act = activation(name, **PARAMETERS.get(name, {}))
    spec = quantisation(act, bits, out_bits, kind)
    # that affine yields nothing for curves is seen in tests/fit; refuting 50 cases takes a minute
    families = [f for f in FAMILIES if f != "affine" or name in TWO_LINES]
    found = [one for f in families for one in candidates(Problem(act, spec, Limits(BUDGET)), f)]
    return [fit_json(one) for one in found]


def in_two_processes(cases):
    """Return fits_of for every case: this file run as a program, on two cores at once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}  # twice as fast
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    running = [
        subprocess.Popen(
            [sys.executable, __file__, json.dumps(cases[half::2])],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for half in (0, 1)
    ]
    texts = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    found = [None] * len(cases)
    found[0::2], found[1::2] = map(json.loads, texts)
    return found


PAIRS = [pytest.param(pair, marks=pytest.mark.slow if pair == (16, 16) else ()) for pair in WIDTHS]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"int{pair[0]}-int{pair[1]}")
def batch(request):
    """All fits of one pair of widths by a function's name, and that many functions compiled."""
    cases = list(itertools.product(CATALOGUE, [request.param[0]], [request.param[1]], KINDS))
    texts = in_two_processes(cases)
    fits = {
        f"{kind}_{number}_{one.function_name}": one
        for (_, _, _, kind), found in zip(cases, texts, strict=True)
        for number, one in enumerate(map(fit_of_json, found))
    }
    compiled = compile_header(emit_header(fits), dict.fromkeys(fits, request.param))
    return request.param, fits, compiled


def test_every_activation_has_a_kernel_of_every_family_that_takes_it(batch):
    (bits, _), fits, _ = batch
    for name, kind in itertools.product(CATALOGUE, KINDS):
        families = {one.family for key, one in fits.items()
                    if key.startswith(kind) and one.activation.name == name}  # fmt: skip
        expected = {"pwl"}
        expected |= {"lut"} if bits == 8 else set()
        expected |= {"affine"} if name in TWO_LINES else set()
        assert families == expected, (name, kind)


def test_every_certificate_is_within_the_budget(batch):
    _, fits, _ = batch
    for key, one in fits.items():
        proved = one.certificate
        assert proved.points == 1 << one.spec.input.bits, key
        assert proved.max_error_codes <= BUDGET, key
        assert proved.max_error_lsb < BUDGET + 0.5 + 1e-6, key
        if one.family == "lut":
            assert proved.not_correctly_rounded == 0, key


def test_compiled_c_is_the_definition_on_every_input(batch):
    _, fits, compiled = batch
    for key, one in fits.items():
        seen = observe(compiled, key, one.kernel)
        assert np.array_equal(seen, one.kernel.outputs), key
        proved = also_checked(one.certificate, one.kernel, seen, PLACE)
        assert proved.checked_on == ("definition", PLACE)


def test_the_kinds_of_quantisation_are_what_they_are_called(batch):
    _, fits, _ = batch
    for key, one in fits.items():
        outputs, grid = one.kernel.outputs, one.spec.output
        ends = np.isin(outputs, (grid.code_min, grid.code_max)).mean()
        if key.startswith("symmetric"):
            assert (one.spec.input.zero_point, grid.zero_point) == (0, 0)
        elif key.startswith("saturating"):
            assert ends > 0.1, key
        else:
            assert one.spec.input.zero_point != 0


def test_a_kernel_beyond_the_budget_would_be_noticed(batch):
    (bits, out_bits), _, _ = batch
    spec = quantisation(activation("tanh"), bits, out_bits, "symmetric")
    (coarse,) = candidates(Problem(activation("tanh"), spec, Limits(20)), "pwl")
    assert coarse.certificate.max_error_codes > BUDGET


if __name__ == "__main__":
    print(json.dumps([fits_of(case) for case in json.loads(sys.argv[1])]))
