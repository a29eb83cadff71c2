"""int16: within 1 code and 2,048 table bytes by default, on arbitrary scales.

What is proved is proved again here, from a kernel's outputs and formulas of this file's own.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import mpmath
import numpy as np
import pytest

from embact.activations import activation
from embact.cli.options import ANY_ERROR, TABLE_BYTES, fill_in
from embact.conventions import output_grid
from embact.fit.problem import Limits, Options, Problem
from embact.fit.record import fit_of_json
from embact.fit.search import FINER_LSB, candidates, families_of, fit
from embact.grid import Grid, QuantSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

SCALES = 20
KINDS = ("symmetric", "asymmetric")
DOUBT = 1e-6


def _log_of_1_plus_exp(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


REAL = {
    "sigmoid": lambda x: 0.5 + 0.5 * np.tanh(x / 2),
    "tanh": np.tanh,
    "gelu": lambda x: x * np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2,
    "silu": lambda x: x * (0.5 + 0.5 * np.tanh(x / 2)),
    "softplus": _log_of_1_plus_exp,
    "mish": lambda x: x * np.tanh(_log_of_1_plus_exp(x)),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}
"""float64, good to 1e-13 of the largest value: far less than DOUBT codes."""

EXACT = {
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "tanh": mpmath.tanh,
    "gelu": lambda x: x * mpmath.ncdf(x),
    "silu": lambda x: x / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "elu": lambda x: x if x > 0 else mpmath.expm1(x),
}


def problem_of(name: str, kind: str, number: int) -> Problem:
    """Return one of the random problems of an activation: a scale that is any float32.

    The ends of the input range are 1 to 100 from its middle. symmetric: zero points 0 and TFLite's
    output grid. asymmetric: any zero point, and an output grid that just holds all values.
    """
    rng = np.random.default_rng([*f"{name} {kind}".encode(), number])
    scale, act = 10 ** rng.uniform(0, 2) / 32768, activation(name)
    if kind == "symmetric":
        source = Grid(scale, 0, 16)
        return Problem(act, QuantSpec(source, output_grid(act, source, 16)), limits())
    source = Grid(scale, int(rng.integers(-32768, 32768)), 16)
    values = REAL[name](source.real(source.codes()))
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    step = (high - low) / 65535
    zero = min(max(-32768 - round(low / step), -32768), 32767)
    return Problem(act, QuantSpec(source, Grid(step, zero, 16)), limits())


def limits() -> Limits:
    """Return the limits that a user gets who gives none."""
    filled = fill_in({}, "auto", 16)
    return Limits(filled["max_error"], filled["max_bytes"])


def truth(name: str, spec: QuantSpec) -> tuple[np.ndarray, np.ndarray]:
    """Return the real results in output codes, and the correctly rounded codes."""
    source, target = spec.input, spec.output
    codes = np.arange(-32768, 32768)
    steps = REAL[name](source.scale * (codes - source.zero_point)) / target.scale
    rounded = np.sign(steps) * np.floor(np.abs(steps) + 0.5)
    for i in np.flatnonzero(np.abs(np.abs(steps) % 1 - 0.5) < DOUBT):
        with mpmath.workdps(60):
            x = mpmath.mpf(source.scale) * int(codes[i] - source.zero_point)
            exact = EXACT[name](x) / mpmath.mpf(target.scale)
            away = int(mpmath.floor(abs(exact) + mpmath.mpf(0.5)))
            rounded[i] = away if exact >= 0 else -away
    ends = (-32768, 32767)
    real, rounded = (np.clip(one + target.zero_point, *ends) for one in (steps, rounded))
    return real, rounded


def errors(name: str, spec: QuantSpec, outputs: np.ndarray) -> tuple[int, float]:
    """Return the largest distances to the rounded codes and to the real results."""
    real, rounded = truth(name, spec)
    return int(np.abs(outputs - rounded).max()), float(np.abs(outputs - real).max())


def table_bytes(kernel) -> int:
    """Return the bytes of a kernel's tables, each in the narrowest type that holds it."""
    widths = [(1, 1 << 7), (2, 1 << 15), (4, 1 << 31)]
    return sum(
        len(table.values)
        * next(w for w, end in widths if -end <= min(table.values) <= max(table.values) < end)
        for table in kernel.program.tables
    )


def check(name: str, kind: str, number: int) -> None:
    problem = problem_of(name, kind, number)
    found = fit(problem)
    codes, lsb = errors(name, problem.spec, found.kernel.outputs)
    assert codes <= 1
    assert codes == found.certificate.max_error_codes
    assert lsb == pytest.approx(found.certificate.max_error_lsb, abs=1e-5)
    assert table_bytes(found.kernel) == found.kernel.table_bytes <= 2048


@pytest.mark.parametrize(("number", "name"), [(0, "tanh"), (1, "softplus"), (2, "elu")])
def test_the_default_is_within_1_code_and_2048_bytes(name, number):
    check(name, KINDS[number % 2], number)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_the_default_is_within_1_code_and_2048_bytes_on_every_scale(name):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV")}  # twice as fast
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [sys.executable, __file__, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{name}: {SCALES} scales\n"


def test_an_output_that_is_2_codes_off_would_be_seen():
    spec = problem_of("silu", "asymmetric", 0).spec
    _, rounded = truth("silu", spec)
    assert errors("silu", spec, rounded)[0] == 0
    rounded[12345] += 2
    assert errors("silu", spec, rounded)[0] == 2


def test_another_scale_would_be_seen():
    spec = problem_of("mish", "symmetric", 0).spec
    other = dataclasses.replace(
        spec, input=dataclasses.replace(spec.input, scale=spec.input.scale * 1.001)
    )
    assert errors("mish", other, truth("mish", spec)[1])[0] > 1


# What the user leaves open

CASES = [
    ({}, "auto", 16, {"max_error": 1, "max_bytes": TABLE_BYTES}),
    ({}, "auto", 8, {"max_error": 1}),
    ({"max_error": 1}, "auto", 16, {"max_error": 1}),
    ({"max_bytes": 512}, "auto", 16, {"max_error": ANY_ERROR, "objective": "error"}),
    ({"max_bytes": 40}, "pwl", 8, {"max_error": ANY_ERROR, "objective": "error"}),
    ({"max_bytes": 512, "max_error": 2}, "auto", 16, {}),
    ({"max_bytes": 512, "objective": "bytes"}, "auto", 16, {"max_error": 1}),
    ({"objective": "bytes"}, "auto", 16, {"max_error": 1, "max_bytes": TABLE_BYTES}),
    ({"objective": "error"}, "auto", 16, {"max_error": ANY_ERROR, "max_bytes": TABLE_BYTES}),
    ({"segments": 9}, "auto", 16, {"max_error": ANY_ERROR, "objective": "error"}),
    (
        {"segments": 9, "max_bytes": 512},
        "auto",
        16,
        {"max_error": ANY_ERROR, "objective": "error"},
    ),
    (
        {},
        "shift_pwl",
        16,
        {
            "max_error": 1,
            "max_bytes": TABLE_BYTES,
            "fold": False,
            "clamp": "codes",
            "objective": "segments",
        },
    ),
]


@pytest.mark.parametrize(("given", "family", "bits", "decided"), CASES)
def test_what_is_left_open_is_decided(given, family, bits, decided):
    absent = dict.fromkeys(("max_error", "max_bytes", "segments", "objective"))
    assert fill_in({**absent, **given}, family, bits) == {**given, **decided}


def test_where_nothing_fits_the_default_the_error_says_what_would(refuses):
    spec = QuantSpec(Grid(8 / 32768, 0, 16), Grid(1 / 32768, 0, 16))
    problem = Problem(activation("tanh"), spec, limits())
    smallest = min(
        one.kernel.table_bytes
        for one in candidates(dataclasses.replace(problem, limits=Limits(1)), "lut")
    )
    assert smallest > 2048
    with refuses("no lut kernel of tanh", "1 codes, 2048 table bytes", f"codes, {smallest} bytes"):
        fit(problem, "lut")


# The least error that fits


def ran(tmp_path, *words) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "embact", *words]
    return subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )


def rivals(problem: Problem, most: int) -> Iterator[float]:
    """Yield the errors of all kernels of the families that auto is, within table bytes."""
    for budget in (0, 1, 2, 3, 5):
        asked = dataclasses.replace(problem, limits=Limits(budget, most))
        for family in families_of("auto", problem.options):
            for one in candidates(asked, family):
                if one.kernel.table_bytes <= most:
                    yield one.certificate.max_error_lsb


@pytest.mark.slow
@pytest.mark.parametrize(("name", "number", "most"), [("sigmoid", 3, 512), ("gelu", 1, 300)])
def test_what_fits_has_the_least_error_and_says_it(name, number, most, tmp_path):
    problem = problem_of(name, "symmetric", number)
    source, target = problem.spec.input, problem.spec.output
    words = ("fit", name, "--dtype", "int16", "--in-scale", repr(source.scale))
    words += ("--max-bytes", str(most))
    printed = ran(tmp_path, *words, "--out", "kernel.json")
    assert printed.returncode == 0, printed.stderr
    text = (tmp_path / "kernel.json").read_text("utf-8")
    found = fit_of_json(text)
    assert (found.spec.input, found.spec.output) == (source, target)
    codes, lsb = errors(name, found.spec, found.kernel.outputs)
    assert lsb == pytest.approx(found.certificate.max_error_lsb, abs=1e-5)
    facts = {row.split()[0]: row.split()[-1] for row in printed.stdout.splitlines() if row}
    assert int(facts["max_error_codes"]) == codes
    assert lsb <= float(facts["max_error_lsb"]) < lsb + 1.1e-4
    assert table_bytes(found.kernel) <= most
    others = list(rivals(problem, most))
    assert others
    assert found.certificate.max_error_lsb <= min(others)
    again = ran(tmp_path, *found.command.split()[1:], "--json")
    assert json.loads(again.stdout) == json.loads(text)


@pytest.mark.slow
def test_no_number_of_segments_that_fits_has_much_less_error():
    problem = problem_of("tanh", "symmetric", 1)
    least = Options(objective="error")
    found = fit(dataclasses.replace(problem, limits=Limits(ANY_ERROR, 512), options=least))
    nearest = math.inf
    for segments in (80, 85):  # slopes of 16 bits, offsets of 32
        options = Options(segments=segments, fold=True, slope_bits=16, objective="error")
        asked = dataclasses.replace(problem, limits=Limits(ANY_ERROR), options=options)
        for one in candidates(asked, "pwl"):
            if one.kernel.table_bytes <= 512:
                nearest = min(nearest, one.certificate.max_error_lsb)
    assert found.certificate.max_error_lsb <= nearest + FINER_LSB


def test_what_fits_no_table_is_refused(refuses):
    problem = problem_of("tanh", "symmetric", 0)
    with refuses("no interp kernel of tanh", "got 0 codes, 100 table bytes", "interp 0 codes"):
        fit(dataclasses.replace(problem, limits=Limits(0, 100)), "interp")


if __name__ == "__main__":
    for count in range(SCALES):
        check(sys.argv[1], KINDS[count % 2], count)
    print(f"{sys.argv[1]}: {SCALES} scales")
