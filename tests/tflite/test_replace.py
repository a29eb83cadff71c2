"""Replacement is what was asked for, where it was asked for, and each one is told with numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from mpmath import mp

from embact.activations import activation
from embact.certify import ideal
from embact.cost import cost
from embact.errors import EmbactError
from embact.expression import parse
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
from embact.tflite.replace.moves import Fits
from embact.tflite.replace.named import (
    clipped,
    described,
    parse_replacements,
    replaced,
    replaced_row,
    said,
)
from embact.tflite.site import Findings, Site, Skipped

CORE = "cortex-m4"
SPEC = QuantSpec(Grid(0.05, 3, 8), Grid(0.03, -100, 8))


def site_of(one, operators=(0,), spec=SPEC, elements=10):
    ops = ("OP",) * len(operators)
    return Site(0, operators, 0, 1, ops, f"t{operators[0]}", one, spec, elements)


def findings_of(*activations):
    """Sites with two operators each: 0 and 1, 2 and 3, ..."""
    sites = [site_of(one, (2 * i, 2 * i + 1)) for i, one in enumerate(activations)]
    return Findings(tuple(sites), (Skipped(0, 99, "SOFTMAX", "why"),))


MIXED = findings_of(
    activation("silu"),
    activation("gelu_tanh"),
    activation("silu"),
    activation("leaky_relu", alpha=0.1),
)


def chosen(text, findings=MIXED):
    """The activation of each site after a replacement, in words."""
    changed, _ = replaced(findings, parse_replacements(text))
    return [described(site.activation) for site in changed.sites]


HARD = "hard_tanh(min=-2, max=3)"
UNTOUCHED = ["silu", "gelu_tanh", "silu", "leaky_relu(alpha=0.1)"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("silu=hard_swish", ["hard_swish", "gelu_tanh", "hard_swish", "leaky_relu(alpha=0.1)"]),
        ("silu@4=relu", ["silu", "gelu_tanh", "relu", "leaky_relu(alpha=0.1)"]),
        ("silu@5=relu", ["silu", "gelu_tanh", "relu", "leaky_relu(alpha=0.1)"]),
        ("@2=silu", ["silu", "silu", "silu", "leaky_relu(alpha=0.1)"]),
        ("silu@0=relu,silu=mish", ["relu", "gelu_tanh", "mish", "leaky_relu(alpha=0.1)"]),
        ("silu=mish,silu@0=relu", ["relu", "gelu_tanh", "mish", "leaky_relu(alpha=0.1)"]),
        (" gelu = hard_tanh( min=-2 , max = 3) ,@6=mish", ["silu", HARD, "silu", "mish"]),
        ("gelu=relu", ["silu", "relu", "silu", "leaky_relu(alpha=0.1)"]),
        ("swish=relu", ["relu", "gelu_tanh", "relu", "leaky_relu(alpha=0.1)"]),
        ("leaky_relu=leaky_relu", ["silu", "gelu_tanh", "silu", "leaky_relu(alpha=0.2)"]),
    ],
)
def test_sites_compute_what_was_asked_for_and_the_others_what_they_did(text, expected):
    assert chosen(text) == expected
    assert expected != UNTOUCHED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sliu=relu", "unknown activation.*nearest: silu"),
        ("silu=rleu", "unknown activation.*nearest: relu"),
        ("softmax=relu", "no function of one number"),
        ("silu", "OLD=NEW"),
        ("silu=", "OLD=NEW"),
        ("=relu", "OLD=NEW"),
        ("@=relu", "OLD=NEW"),
        ("silu@x=relu", "OLD=NEW"),
        ("silu@-1=relu", "OLD=NEW"),
        ("silu=relu,", "OLD=NEW"),
        ("", "OLD=NEW"),
        ("auto,silu=relu", "OLD=NEW"),
        ("silu=relu,silu=relu6", "silu twice"),
        ("silu=leaky_relu(alpha)", "PARAMETER=VALUE"),
        ("silu=leaky_relu(alpha=0.1,alpha=0.2)", "each once"),
        ("silu=leaky_relu(beta=0.1)", "unknown parameter"),
        ("silu=leaky_relu(alpha=inf)", "parameter alpha"),
        ("silu=leaky_relu(alpha=nan)", "parameter alpha"),
        ("silu=leaky_relu(alpha=0.1", "OLD=NEW"),
        ("silu=hard_silu", r"hard_swish \(Keras 3, JAX\)"),
    ],
)
def test_a_text_that_is_no_replacement_is_refused_with_what_would_be_one(text, words):
    with pytest.raises(EmbactError, match=words):
        parse_replacements(text)


def test_auto_is_told_apart_from_names():
    assert parse_replacements(" auto ") == "auto"


def test_a_replacement_of_no_site_is_an_error_that_lists_the_activations_that_there_are():
    for text in ("mish=relu", "gelu@0=relu", "@8=relu", "silu=relu,tanh=relu"):
        with pytest.raises(EmbactError) as caught:
            replaced(MIXED, parse_replacements(text))
        assert "silu (operator 0, 1), gelu_tanh (operator 2, 3), silu" in str(caught.value)
        assert "leaky_relu(alpha=0.1) (operator 6, 7)" in str(caught.value)
    with pytest.raises(EmbactError, match="none: no site"):
        replaced(Findings((), ()), parse_replacements("silu=relu"))


def test_an_exact_name_counts_before_what_goes_by_it_elsewhere():
    both = findings_of(activation("gelu"), activation("gelu_tanh"))
    assert chosen("gelu=relu", both) == ["relu", "gelu_tanh"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("silu=silu", "silu by itself"),
        ("leaky_relu=leaky_relu(alpha=0.1)", "by itself"),
        ("@0=relu,@1=mish", "two replacements of one site"),
        ("@0=relu,silu@0=mish", "two replacements of one site"),
        ("silu=relu,swish=mish", "two replacements of one site"),
    ],
)
def test_what_contradicts_itself_or_changes_nothing_is_refused(text, words):
    with pytest.raises(EmbactError, match=words):
        replaced(MIXED, parse_replacements(text))


def test_a_replaced_site_keeps_all_but_its_activation_and_says_so():
    changed, made = replaced(MIXED, parse_replacements("silu=hard_swish"))
    assert [one.place for one in made] == [0, 2]
    assert changed.skipped == MIXED.skipped
    for number, (before, after) in enumerate(zip(MIXED.sites, changed.sites, strict=True)):
        if number in (0, 2):
            assert after.about == "hard_swish in place of silu"
            assert after.activation == activation("hard_swish")
        assert dataclasses.replace(after, activation=before.activation, about="") == before
    known = dataclasses.replace(MIXED.sites[0], about="a pattern")
    changed, _ = replaced(Findings((known,), ()), parse_replacements("silu=relu"))
    assert changed.sites[0].about == "a pattern; relu in place of silu"


def test_a_site_with_a_formula_is_replaced_by_its_operator():
    formula = parse("x*clip(x, 0, 1)", "ramp")
    sites = findings_of(formula, activation("silu"))
    changed, made = replaced(sites, parse_replacements("@0=relu"))
    assert changed.sites[0].about == "relu in place of ramp: x*clip(x,0,1)"
    assert said(sites.sites[0], made[0]) == "ramp: x*clip(x,0,1) -> relu at 0, 1"


def exact_fit(build, name, spec=SPEC):
    one = activation(name)
    return build.fit_of_table(one, spec, ideal(one, spec).codes)


def test_a_row_is_the_distance_of_the_new_kernel_from_the_original_activation(build):
    """Counted code by code with mpmath, which decides every rounding."""
    before, after = exact_fit(build, "silu"), exact_fit(build, "hard_swish")
    row = replaced_row(site_of(activation("silu")), "why", before, after, "cortex-m4")
    largest, total, out = 0, mp.mpf(0), SPEC.output
    with mp.workdps(40):
        for code, found in zip(SPEC.input.codes().tolist(), after.kernel.outputs, strict=True):
            x = mp.mpf(SPEC.input.scale) * (code - SPEC.input.zero_point)
            steps = x / (1 + mp.exp(-x)) / mp.mpf(out.scale)
            steps = min(max(steps, out.code_min - out.zero_point), out.code_max - out.zero_point)
            nearest = int(mp.sign(steps) * mp.floor(abs(steps) + mp.mpf(0.5))) + out.zero_point
            largest = max(largest, abs(int(found) - nearest))
            total += abs(int(found) - out.zero_point - steps)
    assert row.max_error_codes == largest > 1
    assert row.mean_error_lsb == pytest.approx(float(total / 256), rel=1e-8)
    assert (row.own_error_codes, row.original, row.chosen) == (0, "silu", "hard_swish")
    same = replaced_row(site_of(activation("silu")), "why", before, before, "cortex-m4")
    assert same.max_error_codes == 0
    assert same.mean_error_lsb < row.mean_error_lsb


def test_a_row_tells_costs_before_and_after():
    site = site_of(activation("silu"), spec=QuantSpec(SPEC.input, SPEC.input))
    table, lines = (
        fit(Problem(activation(name), site.spec), family)
        for name, family in (("silu", "lut"), ("relu", "affine"))
    )
    for core in ("cortex-m0plus", "cortex-m55"):
        row = replaced_row(site, "why", table, lines, core)
        assert (row.original_table_bytes, row.table_bytes) == (256, 0)
        assert row.original_instructions == cost(table.kernel, core).instructions
        assert row.instructions == cost(lines.kernel, core).instructions
        assert row.core == core
        words = f"{row.original_instructions:g} -> {row.instructions:g} instructions for an element"
        assert row.note == f"{words} on {core}, 256 -> 0 table bytes"
    assert cost(lines.kernel, "cortex-m0plus") != cost(table.kernel, "cortex-m0plus")


def test_a_row_of_other_grids_is_refused(build):
    other = exact_fit(build, "relu", QuantSpec(SPEC.input, Grid(0.02, 0, 8)))
    with pytest.raises(EmbactError, match="another quantisation"):
        replaced_row(site_of(activation("silu")), "", exact_fit(build, "silu"), other, "cortex-m4")


def test_what_saturates_is_counted():
    """The output's codes reach from -0.28 to 7.37: silu fits, and hard_swish's dip does not."""
    grid = Grid(0.03, -128 + 9, 8)
    spec = QuantSpec(Grid(0.05, 0, 8), grid)
    reals = spec.input.real(spec.input.codes())
    low = (grid.code_min - 0.5 - grid.zero_point) * grid.scale
    dip = np.array([x * min(max(x + 3, 0), 6) / 6 <= low for x in reals])
    assert clipped(activation("hard_swish"), spec) == np.count_nonzero(dip) > 0
    assert clipped(activation("silu"), spec) == 0
    high = (grid.code_max + 0.5 - grid.zero_point) * grid.scale
    above = QuantSpec(Grid(0.1, 0, 8), grid)
    over = sum(x >= high for x in above.input.real(above.input.codes()))
    assert clipped(activation("relu"), above) == over > 0


def test_a_row_notes_that_nothing_is_gained_and_what_saturates(build):
    spec = QuantSpec(Grid(0.05, 0, 8), Grid(0.03, -119, 8))
    before, after = (exact_fit(build, name, spec) for name in ("silu", "hard_swish"))
    site = site_of(activation("silu"), spec=spec)
    row = replaced_row(site, "why", before, after, "cortex-m4")
    assert row.note.startswith("no gain: 3.12 -> 3.12 instructions")
    assert row.note.endswith(f"; {row.clipped} input codes saturate, 0 did")
    assert (row.original_clipped, row.clipped > 0) == (0, True)
    back = replaced_row(site_of(activation("hard_swish"), spec=spec), "", after, before, CORE)
    assert "saturate" not in back.note


def test_every_replacement_that_is_asked_for_is_told(build):
    """Never silent: what differs from before is in the list, and nothing else is."""
    changed, made = replaced(MIXED, parse_replacements("silu=relu,@2=relu"))
    differ = [a != b for a, b in zip(MIXED.sites, changed.sites, strict=True)]
    assert [place for place, one in enumerate(differ) if one] == [one.place for one in made]
    for one in made:
        site = MIXED.sites[one.place]
        before, after = (exact_fit(build, each.name) for each in (one.original, one.chosen))
        row = replaced_row(site, one.why, before, after, "cortex-m4")
        assert (row.operators, row.original) == (site.operators, described(site.activation))
        assert row.max_error_codes > 1
        assert row.why.startswith("asked for: ")


def test_a_problem_of_another_core_than_the_prices_is_refused():
    def problem_of(site):
        return Problem(site.activation, site.spec, Limits(1), Options())

    with pytest.raises(EmbactError, match="core of a problem"):
        Fits(problem_of, "cortex-m55").of(MIXED.sites[0])
