import dataclasses

import pytest

from embact.activations import activation
from embact.certify import certify
from embact.fit import search
from embact.fit.record import Limits
from embact.fit.search import FAMILIES, candidates, fit, operations
from embact.grid import Grid, QuantSpec
from embact.ir import Op

SIGMOID = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
SAME = QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 8))


def price(one):
    return operations(one.kernel), one.kernel.table_bytes, one.certificate.max_error_lsb


def meets(one, limits):
    room = limits.max_bytes is None or one.kernel.table_bytes <= limits.max_bytes
    return room and one.certificate.max_error_codes <= limits.max_error


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hard_sigmoid", "sigmoid", "gelu", "elu"])
@pytest.mark.parametrize(
    "limits", [Limits(), Limits(max_error=0), Limits(max_error=3), Limits(max_bytes=200)]
)
def test_auto_picks_the_cheapest_that_meets_the_limits(name, limits, spec_of):
    act = activation(name)
    spec = spec_of(act)
    found = fit(act, spec, limits)
    assert meets(found, limits)
    rivals = [one for one in candidates(act, spec, limits) if meets(one, limits)]
    assert price(found) == min(map(price, rivals))


@pytest.mark.parametrize(
    ("name", "spec", "limits", "family"),
    [
        ("relu", SAME, Limits(), "affine"),
        ("sigmoid", SIGMOID, Limits(), "lut"),
        ("sigmoid", SIGMOID, Limits(max_bytes=100), "pwl"),
        ("sigmoid", QuantSpec(Grid(0.001, 0, 16), SIGMOID.output), Limits(), "pwl"),
    ],
)
def test_the_expected_family_wins(name, spec, limits, family):
    assert fit(activation(name), spec, limits).family == family


def test_a_named_family_is_the_one_used():
    for family in ("lut", "pwl"):
        assert fit(activation("sigmoid"), SIGMOID, family=family).family == family


def test_default_budget_is_one_code():
    assert fit(activation("gelu"), SAME, family="pwl").certificate.max_error_codes == 1


def test_the_fit_says_what_was_asked_and_what_is_proved():
    limits = Limits(max_error=2, slope_bits=8)
    found = fit(activation("elu", alpha=0.5), SAME, limits, "pwl")
    assert (found.spec, found.limits, found.family) == (SAME, limits, "pwl")
    assert found.activation.settings() == {"alpha": 0.5}
    assert found.certificate == certify(found.activation, SAME, found.kernel)


@pytest.mark.parametrize("max_bytes", [0, 41, 255])
def test_no_table_is_larger_than_the_limit(max_bytes):
    limits = Limits(max_error=20, max_bytes=max_bytes)
    assert fit(activation("sigmoid"), SIGMOID, limits).kernel.table_bytes <= max_bytes


def test_a_budget_that_no_family_meets_names_what_each_reached(refuses):
    limits = Limits(max_error=0, max_bytes=10)
    exact = fit(activation("sigmoid"), SIGMOID, Limits(max_error=0), "pwl")
    with refuses(
        "no kernel of sigmoid (int8 -> int8) meets the budget",
        "got 0 codes, 10 table bytes",
        "lut 0 codes, 256 bytes",
        f"pwl 0 codes, {exact.kernel.table_bytes} bytes",
    ):
        fit(activation("sigmoid"), SIGMOID, limits)


def test_a_family_that_cannot_meet_the_budget_is_named(refuses):
    with refuses("no lut kernel of sigmoid", "lut 0 codes, 256 bytes"):
        fit(activation("sigmoid"), SIGMOID, Limits(max_bytes=255), "lut")


@pytest.mark.parametrize(
    ("family", "spec"),
    [("affine", SIGMOID), ("lut", QuantSpec(Grid(0.001, 0, 16), SIGMOID.output))],
)
def test_a_family_that_does_not_apply_says_so(refuses, family, spec):
    with refuses(f"no {family} kernel", f"{family} does not apply", "--family auto"):
        fit(activation("sigmoid"), spec, family=family)


def test_unknown_family_names_the_nearest(refuses):
    with refuses("unknown family", "'pwll'", "nearest: pwl", "affine, auto, lut, pwl"):
        fit(activation("relu"), SAME, family="pwll")


@pytest.mark.parametrize(
    ("limits", "parts"),
    [
        ({"max_error": -1}, ["error budget in codes", "got -1"]),
        ({"max_error": 65537}, ["error budget in codes", "0..65536"]),
        ({"max_bytes": -1}, ["table budget in bytes", "got -1"]),
        ({"slope_bits": 0}, ["slope bits", "got 0", "8, 16"]),
        ({"slope_bits": 32}, ["slope bits"]),
    ],
)
def test_limits_outside_their_range_are_refused(refuses, limits, parts):
    with refuses(*parts):
        Limits(**limits)


def test_every_operation_has_a_price():
    assert set(search.OPERATIONS) == set(Op)


def test_a_cheaper_price_list_changes_the_choice(monkeypatch):
    monkeypatch.setitem(search.OPERATIONS, Op.LOOKUP, 1000)
    monkeypatch.setitem(search.OPERATIONS, Op.SELECT, 1)
    relu = activation("hard_sigmoid")
    spec = QuantSpec(Grid(0.05, 0, 8), Grid(1 / 256, -128, 8))
    assert fit(relu, spec).family == "affine"
    monkeypatch.setitem(search.OPERATIONS, Op.LOOKUP, 0)
    assert fit(relu, spec).family == "lut"


def test_function_names_carry_the_widths():
    found = fit(activation("relu"), SAME)
    assert found.function_name == "embact_relu_s8"
    for bits, out_bits, name in ((16, 16, "s16"), (8, 16, "s8_s16"), (16, 8, "s16_s8")):
        spec = QuantSpec(Grid(0.1, 0, bits), Grid(0.1, 0, out_bits))
        assert dataclasses.replace(found, spec=spec).function_name == f"embact_relu_{name}"


def test_every_family_builds_something_that_it_is_named_for():
    for family in FAMILIES:
        assert all(
            one.family == family for one in candidates(activation("relu"), SAME, Limits(), family)
        )
