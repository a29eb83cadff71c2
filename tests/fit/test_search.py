import dataclasses

import pytest

from embact import cost
from embact.activations import activation
from embact.certify import certify
from embact.cost import Prices, instructions
from embact.fit import search
from embact.fit.classics import CLASSICS
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import FAMILIES, candidates, choose, fit, ladder
from embact.grid import Grid, QuantSpec
from embact.ir import Op

SIGMOID = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
SAME = QuantSpec(Grid(0.1, 0, 8), Grid(0.1, 0, 8))
HARD = ("hard_sigmoid", QuantSpec(Grid(0.05, 0, 8), Grid(1 / 256, -128, 8)))
FORM = Options(slope_bits=8, fold=False, lookup="compare", shifts="common", clamp="codes")


def asked(name, spec, limits=None, options=None, **parameters):
    return Problem(activation(name, **parameters), spec, limits or Limits(), options or Options())


def price(one):
    return instructions(one.kernel), one.kernel.table_bytes, one.certificate.max_error_lsb


def meets(one, limits):
    room = limits.max_bytes is None or one.kernel.table_bytes <= limits.max_bytes
    return room and one.certificate.max_error_codes <= limits.max_error


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "hard_sigmoid", "sigmoid", "gelu", "elu"])
@pytest.mark.parametrize(
    "limits", [Limits(), Limits(max_error=0), Limits(max_error=3), Limits(max_bytes=200)]
)
def test_auto_picks_the_cheapest_that_meets_the_limits(name, limits, spec_of):
    problem = Problem(activation(name), spec_of(activation(name)), limits)
    found = fit(problem)
    assert meets(found, limits)
    rivals = [one for one in candidates(problem) if meets(one, limits)]
    assert price(found) == min(map(price, rivals))


@pytest.mark.parametrize(
    ("name", "spec", "limits", "family"),
    [
        ("relu", SAME, Limits(), "affine"),
        ("sigmoid", SIGMOID, Limits(), "lut"),
        ("sigmoid", SIGMOID, Limits(max_bytes=0), "pwl"),
        (
            "tanh",
            QuantSpec(Grid(2.0**-12, 0, 16), Grid(2.0**-15, 1, 16)),  # tflm's has zero point 0
            Limits(max_bytes=999),
            "pwl",
        ),
    ],
)
def test_the_expected_family_wins(name, spec, limits, family):
    assert fit(asked(name, spec, limits)).family == family


def test_a_named_family_is_the_one_used():
    for family in ("lut", "pwl"):
        assert fit(asked("sigmoid", SIGMOID), family).family == family


def test_default_budget_is_one_code():
    assert fit(asked("gelu", SAME), "pwl").certificate.max_error_codes == 1


def test_the_fit_says_what_was_asked_and_what_is_proved():
    problem = asked("elu", SAME, Limits(max_error=2), FORM, alpha=0.5)
    found = fit(problem, "pwl")
    assert (found.problem, found.family) == (problem, "pwl")
    assert (found.spec, found.limits) == (SAME, Limits(max_error=2))
    assert found.activation.settings() == {"alpha": 0.5}
    assert found.certificate == certify(found.activation, SAME, found.kernel)


@pytest.mark.parametrize("name", ["sigmoid", "gelu", "elu", "hard_shrink"])
@pytest.mark.parametrize("max_bytes", [0, 16, 60, 255])
def test_a_limit_of_bytes_takes_no_kernel_away_that_meets_it(name, max_bytes, spec_of):
    problem = Problem(activation(name), spec_of(activation(name)), Limits(1, max_bytes))
    free = dataclasses.replace(problem, limits=Limits(1))
    rivals = [one for one in candidates(free) if meets(one, problem.limits)]
    assert price(fit(problem)) == min(map(price, rivals))


def test_the_least_error_within_bytes_is_below_that_of_every_budget(spec_of):
    problem = Problem(activation("silu"), spec_of(activation("silu")), Limits(1 << 16, 12))
    least = dataclasses.replace(problem, options=Options(objective="error"))
    found = fit(least)
    assert found.kernel.table_bytes <= 12
    assert found.problem.max_error_lsb is None
    rivals = [
        one.certificate.max_error_lsb
        for budget in range(12)
        for one in candidates(dataclasses.replace(problem, limits=Limits(budget, 12)))
        if meets(one, Limits(budget, 12))
    ]
    assert found.certificate.max_error_lsb <= min(rivals)
    assert fit(dataclasses.replace(least, limits=found.limits)).kernel.digest == found.kernel.digest


@pytest.mark.parametrize("max_bytes", [0, 41, 255])
def test_no_table_is_larger_than_the_limit(max_bytes):
    limits = Limits(max_error=20, max_bytes=max_bytes)
    assert fit(asked("sigmoid", SIGMOID, limits)).kernel.table_bytes <= max_bytes


def test_a_budget_that_no_family_meets_names_what_each_reached(refuses):
    limits = Limits(max_error=0, max_bytes=10)
    exact = fit(asked("sigmoid", SIGMOID, Limits(0), FORM), "pwl")
    with refuses(
        "no pwl kernel of sigmoid (int8 -> int8) meets the budget",
        "got 0 codes, 10 table bytes",
        f"pwl 0 codes, {exact.kernel.table_bytes} bytes",
    ):
        fit(asked("sigmoid", SIGMOID, limits, FORM), "pwl")


def test_every_family_that_misses_the_budget_is_named(refuses, monkeypatch):
    # another dictionary: what is deleted and restored would come back in another order
    monkeypatch.setattr(search, "FAMILIES", {name: FAMILIES[name] for name in ("interp", "lut")})
    with refuses("no kernel of sigmoid", "lut 1 codes", "interp 1 codes"):
        fit(asked("sigmoid", SIGMOID, Limits(1, max_bytes=0)))


@pytest.mark.parametrize(
    ("family", "options", "parts"),
    [
        ("lut", {"terms": 2}, ["family lut lacks", "got --terms", "shift_pwl"]),
        ("affine", {"fold": False}, ["--fold", "pwl"]),
        ("tflm", {"segments": 4}, ["--segments"]),
        ("auto", {"terms": 2, "continuous": True}, ["no family has", "fewer of them"]),
    ],
)
def test_an_option_that_a_family_does_not_have_is_refused(refuses, family, options, parts):
    with refuses(*parts):
        fit(asked("sigmoid", SIGMOID, options=Options(**options)), family)


def test_an_option_keeps_auto_to_the_families_that_have_it():
    found = list(candidates(asked("sigmoid", SIGMOID, options=Options(terms=2))))
    assert {one.family for one in found} == {"quadratic", "shift_pwl"}


def test_auto_leaves_the_classics_out():
    families = {one.family for one in candidates(asked("sigmoid", SIGMOID, Limits(255)))}
    assert families.isdisjoint(CLASSICS)
    assert {one.family for one in candidates(asked("sigmoid", SIGMOID), "plan")} == {"plan"}


def test_a_family_that_cannot_meet_the_budget_is_named(refuses):
    smallest = min(one.kernel.table_bytes for one in candidates(asked("sigmoid", SIGMOID), "lut"))
    with refuses("no lut kernel of sigmoid", f"lut 1 codes, {smallest} bytes"):
        fit(asked("sigmoid", SIGMOID, Limits(max_bytes=20)), "lut")


@pytest.mark.parametrize(
    ("family", "spec"),
    [("affine", SIGMOID), ("composed", SIGMOID)],
)
def test_a_family_that_does_not_apply_says_so(refuses, family, spec):
    with refuses(f"no {family} kernel", f"{family} has no kernel here", "--family auto"):
        fit(asked("sigmoid", spec), family)


def test_unknown_family_names_the_nearest(refuses):
    with refuses("unknown family", "'pwll'", "nearest: pwl", "auto"):
        fit(asked("relu", SAME), "pwll")


@pytest.mark.parametrize(
    ("limits", "parts"),
    [
        ({"max_error": -1}, ["error budget in codes", "got -1"]),
        ({"max_error": 65537}, ["error budget in codes", "0..65536"]),
        ({"max_bytes": -1}, ["table budget in bytes", "got -1"]),
    ],
)
def test_limits_outside_their_range_are_refused(refuses, limits, parts):
    with refuses(*parts):
        Limits(**limits)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"slope_bits": 0}, ["slope bits", "got 0", "8, 16"]),
        ({"slope_bits": 32}, ["slope bits"]),
        ({"terms": 4}, ["terms", "got 4", "1, 2, 3"]),
        ({"segments": 0}, ["segments", "got 0", "1..65536"]),
        ({"minimize": "mean"}, ["minimize", "max, mse"]),
        ({"shifts": "all"}, ["shifts", "common, each"]),
        ({"lookup": "tree"}, ["lookup", "compare, index"]),
        ({"minimize": "mse"}, ["do not go together", "without segments"]),
        ({"shifts": "each", "segments": 3}, ["do not go together", "each with segments"]),
        ({"continuous": True, "lookup": "index"}, ["do not go together"]),
        ({"fold": 1}, ["fold", "False, True"]),
        ({"segments": 2.5}, ["segments", "1..65536"]),
        ({"objective": "size"}, ["objective", "instructions, bytes, error"]),
    ],
)
def test_options_outside_their_range_are_refused(refuses, options, parts):
    with refuses(*parts):
        Options(**options)


def test_a_cheaper_price_list_changes_the_choice(monkeypatch):
    problem = asked(*HARD)
    prices = {"loop": 4.0} | {f"{op.value} all": 1.0 for op in Op}

    def priced(lookup):
        fitted = {"cortex-m3": prices, "cortex-m4": prices | {"LOOKUP all": lookup}}
        rest = ("test", 0.1, 0.2, 1)
        monkeypatch.setattr(cost, "_by_core", lambda core: ({}, Prices(*rest, fitted[core])))

    priced(1000.0)
    assert fit(problem).kernel.table_bytes == 0
    priced(-10.0)
    assert fit(problem).kernel.table_bytes > 0
    assert (
        fit(asked(*HARD, options=Options(core="cortex-m3"))).kernel.digest
        != fit(problem).kernel.digest
    )


@pytest.mark.parametrize("name", ["sigmoid", "gelu"])
def test_each_objective_is_met_by_no_better_kernel(name, spec_of):
    act = activation(name)
    problem = Problem(act, spec_of(act), Limits(2))
    by_bytes, by_error = (
        dataclasses.replace(problem, options=Options(objective=objective))
        for objective in ("bytes", "error")
    )
    rivals = [one for one in candidates(problem) if meets(one, problem.limits)]
    assert fit(by_bytes).kernel.table_bytes == min(one.kernel.table_bytes for one in rivals)
    least = fit(by_error).certificate
    assert least.max_error_codes == 0
    assert least.max_error_lsb <= min(one.certificate.max_error_lsb for one in rivals)
    assert instructions(fit(problem).kernel) == min(instructions(one.kernel) for one in rivals)


def test_the_least_error_within_few_bytes_is_not_exact():
    limits = Limits(max_error=255, max_bytes=12)
    options = Options(shifts="common", lookup="compare", clamp="codes", objective="error")
    found = fit(asked("sigmoid", SIGMOID, limits, options), "pwl")
    assert found.kernel.table_bytes <= 12
    assert 0 < found.certificate.max_error_codes <= 2


def test_the_choice_says_why():
    choice = choose(asked("sigmoid", SIGMOID))
    assert choice.reason.startswith(
        f"{choice.fit.family} has the fewest instructions on cortex-m4 "
        f"({cost.cost(choice.fit.kernel)}) of "
    )
    assert "the best of others: " in choice.reason
    assert "\n" not in choice.reason


def test_an_unknown_core_names_the_nearest(refuses):
    with refuses("unknown core", "'cortex-m5'", "nearest: cortex-m55"):
        Options(core="cortex-m5")


@pytest.mark.parametrize("most", [0, 1, 3, 5, 100, 65536])
def test_the_ladder_of_budgets_rises_to_its_end(most):
    budgets = ladder(most)
    assert budgets == sorted(set(budgets))
    assert (budgets[0], budgets[-1]) == (0, most)


def test_function_names_carry_the_widths():
    found = fit(asked("relu", SAME))
    assert found.function_name == "embact_relu_s8"
    for bits, out_bits, name in ((16, 16, "s16"), (8, 16, "s8_s16"), (16, 8, "s16_s8")):
        spec = QuantSpec(Grid(0.1, 0, bits), Grid(0.1, 0, out_bits))
        problem = dataclasses.replace(found.problem, spec=spec)
        assert dataclasses.replace(found, problem=problem).function_name == f"embact_relu_{name}"


def test_every_family_builds_something_that_it_is_named_for():
    for family in FAMILIES:
        assert all(one.family == family for one in candidates(asked("relu", SAME), family))
