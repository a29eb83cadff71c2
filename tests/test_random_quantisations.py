"""Any activation on any quantisation: no crash, and no certificate that the compiled C refutes."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.certify import Histogram, first_difference, ideal
from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.fit.classics import CLASSICS
from embact.fit.problem import Limits, Options, Problem
from embact.fit.record import fit_json, fit_of_json
from embact.fit.search import FAMILIES, KNOWS, candidates, families_of
from embact.fit.takes import takes
from embact.grid import Grid, QuantSpec
from embact.run.host import compile_header, observe

FIXED = ("hard", "tflm", *CLASSICS)
"""Families whose kernels are what they are, whatever the budget."""
FITTED = [name for name in FAMILIES if name not in FIXED]
DECADES = 3.0
CHOICES = {
    "slope_bits": (8, 16),
    "terms": (1, 2, 3),
    "segments": (1, 2, 3, 5, 8, 20),
    "minimize": ("mse",),
    "shifts": ("common", "each"),
    "continuous": (True,),
    "fold": (False, True),
    "lookup": ("compare", "index"),
    "clamp": ("codes", "tight"),
}
"""The options about the form, and values that are not the defaults."""


def fixed(examples):
    return settings(derandomize=True, database=None, deadline=None, max_examples=examples)


@st.composite
def activations(draw, family):
    """Draw any activation, mostly one that a family takes, with any parameters that it allows."""
    taken = [name for name in CATALOGUE if takes(family, name)]
    names = taken if draw(st.integers(0, 3)) else list(CATALOGUE)
    entry = CATALOGUE[draw(st.sampled_from(names))]
    values = {}
    for one in entry.parameters:
        value = st.floats(one.low, one.high)
        if one.low > 0:
            value = st.floats(math.log(one.low), math.log(one.high)).map(math.exp)
            value = value.map(lambda v, one=one: min(max(v, one.low), one.high))
        values[one.name] = draw(st.one_of(st.just(one.default), value))
    ordered = sorted(values[name] for name in entry.ascending)
    values.update(zip(entry.ascending, ordered, strict=True))
    return activation(entry.name, **values)


@st.composite
def grids(draw, sensible, bits):
    """Draw a grid: mostly within DECADES of a sensible scale, sometimes any float32."""
    if draw(st.integers(0, 5)):
        scale = sensible * 10.0 ** draw(st.floats(-DECADES, DECADES))
    else:
        scale = 2.0 ** draw(st.floats(-126, 127))
    half = 1 << (bits - 1)
    zero = draw(st.one_of(st.sampled_from((0, -half, half - 1)), st.integers(-half, half - 1)))
    return Grid(min(max(scale, 2.0**-126), 2.0**127), zero, bits)


@st.composite
def quantisations(draw, act, bits):
    """Draw grids whose output may be far too coarse, far too fine, or about right."""
    source = draw(grids(10.0 / (1 << bits), bits))
    out_bits = draw(st.sampled_from((8, 16)))
    with np.errstate(over="ignore"):
        size = float(np.ptp(act(source.real(source.codes()))))
    sensible = size / (1 << out_bits) if 0 < size < 2.0**120 else 0.01
    return QuantSpec(source, draw(grids(sensible, out_bits)))


@st.composite
def histograms(draw, bits):
    """Draw counts that are mostly 0, or a bell, or one code alone."""
    codes, seed = np.arange(1 << bits), draw(st.integers(0, 2**32 - 1))
    middle = draw(st.integers(0, (1 << bits) - 1))
    counts = [
        np.random.default_rng(seed).integers(0, 9, codes.size) // 7,
        np.floor(999 * np.exp(-(((codes - middle) * 8.0 / codes.size) ** 2))).astype(int),
        np.zeros(codes.size, dtype=int),
    ][draw(st.integers(0, 2))]
    counts[middle] += 1
    return Histogram(tuple(counts.tolist()))


def forms(family):
    """Draw at most three options that a family knows, and that go together."""
    names = sorted(KNOWS.get(family, ()))
    if not names:
        return st.just(Options())
    some = st.sets(st.sampled_from(names), max_size=3).map(sorted)
    values = some.flatmap(
        lambda names: st.fixed_dictionaries(
            {name: st.sampled_from(CHOICES[name]) for name in names}
        )
    )
    return values.map(lambda drawn: together(family, drawn)).filter(
        lambda options: options is not None
    )


def together(family, values):
    """Return options, or None where they contradict each other or take seconds."""
    if "segments" in values and "continuous" in values:
        return None  # tests/fit/test_continuous.py
    try:
        options = Options(**values)
        families_of(family, options)
    except EmbactError:
        return None
    return options


@st.composite
def problems(draw, family, bits):
    """Draw a problem, with some of the options that a family knows."""
    act = draw(activations(family))
    small, large = st.integers(0, 255), st.sampled_from((1000, 65535, 65536))
    budget = draw(st.one_of(st.sampled_from((0, 1, 2)), small, large))
    histogram = draw(st.one_of(st.none(), histograms(bits))) if draw(st.booleans()) else None
    limits = Limits(budget, on_support=histogram is not None and draw(st.booleans()))
    options = draw(forms(family))
    spec = draw(quantisations(act, bits))
    return Problem(act, spec, limits, options, histogram)


def check(one, meaning):
    """Assert that a fit's certificate, budget and JSON are what its kernel makes them."""
    kernel, spec, proved = one.kernel, one.spec, one.certificate
    codes = spec.input.codes()
    sampled = codes.tolist() if spec.input.bits == 8 else codes[::997].tolist()
    assert kernel(sampled).tolist() == [meaning(kernel.expression, code) for code in sampled]
    outputs, truth = kernel.outputs, ideal(one.activation, spec)
    counts = np.ones(codes.size) if one.problem.histogram is None else one.problem.histogram.counts
    counts = np.array(counts, dtype=float)
    off, lsb = np.abs(outputs - truth.codes), np.abs(outputs - truth.lsb)
    mean, square = (float(np.sum(counts * e) / counts.sum()) for e in (lsb, lsb**2))
    assert (proved.points, proved.kernel_digest) == (codes.size, kernel.digest)
    assert proved.max_error_codes == off.max()
    assert proved.max_error_codes_on_support == off[counts > 0].max()
    assert proved.not_correctly_rounded == np.count_nonzero(off)
    assert (proved.output_min, proved.output_max) == (outputs.min(), outputs.max())
    assert math.isclose(proved.max_error_lsb, lsb.max(), abs_tol=1e-8)
    assert math.isclose(proved.mean_error_lsb, mean, abs_tol=1e-8)
    root = math.sqrt(proved.mse) / spec.output.scale
    assert math.isclose(root, math.sqrt(square), rel_tol=1e-6, abs_tol=1e-8)
    if one.family in FITTED and one.problem.options.segments is None:
        error = proved.max_error_codes
        if one.limits.on_support:
            error = proved.max_error_codes_on_support
        assert error <= one.limits.max_error
    whole = storable(one)
    again = fit_of_json(fit_json(whole))
    assert fit_json(again) == fit_json(whole)
    assert first_difference(kernel, again.kernel.outputs) is None


def storable(one):
    """Return a fit with limits that its kernel meets: those of a fixed one may be beyond."""
    limits = Limits(max(one.certificate.max_error_codes, one.limits.max_error))
    return dataclasses.replace(one, problem=dataclasses.replace(one.problem, limits=limits))


@pytest.mark.parametrize("family", FAMILIES)
def test_certificates_hold_on_any_int8_problem(family, expressions):
    @fixed(40)
    @given(problems(family, 8))
    def holds(problem):
        for one in candidates(problem, family):
            check(one, expressions.meaning)

    holds()


@pytest.mark.parametrize("family", FAMILIES)
def test_certificates_hold_on_any_int16_problem(family, expressions):
    @fixed(3)
    @given(problems(family, 16))
    def holds(problem):
        for one in candidates(problem, family):
            check(one, expressions.meaning)

    holds()


def drawn(family, examples):
    """Return some problems, a few of them of int16 inputs."""
    found = []

    @fixed(examples)
    @given(st.sampled_from((8,) * 7 + (16,)).flatmap(lambda bits: problems(family, bits)))
    def collect(problem):
        found.append(problem)

    collect()
    return found


def test_no_certificate_is_refuted_by_the_compiled_c():
    fits = {}
    for family in FAMILIES:
        for problem in drawn(family, 16):
            for one in itertools.islice(candidates(problem, family), 2):
                fits[f"{family}_{len(fits)}"] = one
    assert {one.family for one in fits.values()} >= set(FITTED)
    assert len({widths(one) for one in fits.values()}) == 4
    assert len(fits) > 100
    compiled = compile_header(emit_header(fits), {name: widths(one) for name, one in fits.items()})
    for name, one in fits.items():
        seen = observe(compiled, name, one.kernel)
        off = np.abs(seen - ideal(one.activation, one.spec).codes)
        assert np.array_equal(seen, one.kernel.outputs), (name, one.problem)
        assert off.max() == one.certificate.max_error_codes, (name, one.problem)


def widths(one):
    return one.kernel.input_bits, one.kernel.output_bits


def test_a_certificate_of_another_kernel_would_be_noticed(expressions):
    spec = QuantSpec(Grid(0.05, 3, 8), Grid(0.01, -4, 8))
    one, other = (
        next(candidates(Problem(activation("tanh"), spec, Limits(budget)), "pwl"))
        for budget in (1, 4)
    )
    check(one, expressions.meaning)
    with pytest.raises(AssertionError):
        check(dataclasses.replace(one, certificate=other.certificate), expressions.meaning)
    with pytest.raises(AssertionError):
        check(dataclasses.replace(one, candidate=other.candidate), expressions.meaning)
