import dataclasses
import itertools
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from embact import certify as module
from embact import ir
from embact.activations import activation
from embact.certify import (
    Histogram,
    _digits,
    also_checked,
    certify,
    differences,
    first_difference,
    ideal,
    stated,
)
from embact.errors import EmbactError
from embact.expression import parse, user_activation
from embact.fit.problem import Limits, Problem
from embact.fit.search import candidates
from embact.grid import Grid, QuantSpec
from embact.kernel import Kernel

RATIONAL = {
    "identity": lambda x: x,
    "relu": lambda x: max(x, Fraction(0)),
    "relu6": lambda x: min(max(x, Fraction(0)), Fraction(6)),
    "hard_sigmoid": lambda x: min(max(x + 3, Fraction(0)), Fraction(6)) / 6,
    "hard_swish": lambda x: x * min(max(x + 3, Fraction(0)), Fraction(6)) / 6,
    "softsign": lambda x: x / (1 + abs(x)),
    "sqnl": lambda x: x - x * abs(x) / 4 if abs(x) <= 2 else Fraction(1 if x > 0 else -1),
}


def exact_steps(act, spec, code):
    """Return activation(x)/out.scale: exactly where it is rational, else to 50 digits."""
    real = Fraction(spec.input.scale) * (code - spec.input.zero_point)
    if act.name in RATIONAL:
        return RATIONAL[act.name](real) / Fraction(spec.output.scale)
    with mpmath.workdps(50):
        x = mpmath.mpf(real.numerator) / real.denominator
        steps = act.exact(x) / mpmath.mpf(spec.output.scale)
        return Fraction(int(mpmath.nint(steps * mpmath.mpf(10) ** 40)), 10**40)


def limited(spec, value):
    return min(max(value, spec.output.code_min), spec.output.code_max)


def rounded(spec, steps):
    """Return the nearest code, ties away from real 0."""
    whole = math.floor(abs(steps) + Fraction(1, 2))
    return limited(spec, spec.output.zero_point + (whole if steps >= 0 else -whole))


def reckoned(act, spec, kernel):
    """Return the certificate's fields from their definitions, one input at a time."""
    codes = range(spec.input.code_min, spec.input.code_max + 1)
    outputs = kernel.outputs.tolist()
    steps = [exact_steps(act, spec, code) for code in codes]
    lsb = [
        abs(output - limited(spec, s + spec.output.zero_point))
        for output, s in zip(outputs, steps, strict=True)
    ]
    off = [abs(output - rounded(spec, s)) for output, s in zip(outputs, steps, strict=True)]
    pairs = list(itertools.pairwise(outputs))
    largest = max(lsb)
    return {
        "kernel_digest": kernel.digest,
        "points": len(codes),
        "checked_on": ("definition",),
        "max_error_codes": max(off),
        "max_error_lsb": pytest.approx(float(largest), rel=1e-7, abs=1e-9),
        "mean_error_lsb": pytest.approx(float(sum(lsb) / len(lsb)), rel=1e-7, abs=1e-9),
        "not_correctly_rounded": sum(o > 0 for o in off),
        "worst_input": next(c for c, e in zip(codes, lsb, strict=True) if e >= largest - 1e-9),
        "monotone": all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs),
        "mse": pytest.approx(
            float(sum(e * e for e in lsb) / len(lsb)) * spec.output.scale**2, rel=1e-7, abs=1e-300
        ),
        "support_points": len(codes),
        "max_error_codes_on_support": max(off),
        "output_min": min(outputs),
        "output_max": max(outputs),
        "truth": "oracle",
    }


CASES = [
    ("sigmoid", Grid(1 / 16, 0, 8), Grid(1 / 256, -128, 8), "pwl", 1),
    ("sigmoid", Grid(0.047, -11, 8), Grid(1 / 256, -128, 8), "lut", 1),
    ("tanh", Grid(1 / 32, 3, 8), Grid(1 / 32768, 0, 16), "pwl", 40),
    ("gelu", Grid(0.031, 7, 8), Grid(0.017, -90, 8), "pwl", 2),
    ("hard_swish", Grid(0.0471, -20, 8), Grid(0.0236, -112, 8), "pwl", 1),
    ("softsign", Grid(2.0**-4, 0, 8), Grid(2.0**-15, 0, 16), "pwl", 4),
    ("sqnl", Grid(2.0**-12, 100, 16), Grid(1 / 128, 0, 8), "pwl", 1),
    ("relu", Grid(0.5, 0, 8), Grid(1.0, 0, 8), "affine", 0),
    ("relu", Grid(0.25, -3, 8), Grid(1.0, 5, 8), "lut", 0),
    ("identity", Grid(0.5, 0, 8), Grid(1.0, 7, 8), "pwl", 3),
    ("hard_sigmoid", Grid(1 / 32, 0, 8), Grid(1 / 64, 0, 8), "affine", 1),
]


@pytest.mark.parametrize(("name", "grid_in", "grid_out", "family", "budget"), CASES)
def test_every_field_is_what_its_definition_says(name, grid_in, grid_out, family, budget):
    act, spec = activation(name), QuantSpec(grid_in, grid_out)
    fits = list(candidates(Problem(act, spec, Limits(max_error=budget)), family))
    assert fits
    for fit in fits:
        fields = dataclasses.asdict(certify(act, spec, fit.kernel))
        del fields["oracle_points"]
        assert fields == reckoned(act, spec, fit.kernel)


def test_a_wrong_kernel_is_certified_as_wrong_as_it_is():
    act, spec = activation("tanh"), QuantSpec(Grid(1 / 32, 0, 8), Grid(1 / 128, 0, 8))
    zigzag = ir.Node(ir.Op.AND, (ir.mul(ir.x(), ir.const(37)), ir.const(127)))
    kernel = Kernel(zigzag, 8, 8)
    fields = dataclasses.asdict(certify(act, spec, kernel))
    del fields["oracle_points"]
    assert fields == reckoned(act, spec, kernel)
    assert fields["max_error_codes"] > 200
    assert not fields["monotone"]


@pytest.mark.parametrize(
    ("name", "parameters", "spec", "ties"),
    [
        # every odd code is a tie: 1 -> 0.5, so 1, and -1 -> -0.5, so -1
        ("identity", {}, QuantSpec(Grid(1, 0, 8), Grid(2, 0, 8)), {1: 1, -1: -1, 3: 2, -3: -2}),
        # away from real 0, wherever the zero points are
        ("identity", {}, QuantSpec(Grid(1, 9, 8), Grid(2, -4, 8)), {10: -3, 8: -5}),
        ("relu", {}, QuantSpec(Grid(0.25, 0, 8), Grid(0.5, -128, 8)), {1: -127, 3: -126, -1: -128}),
        ("leaky_relu", {"alpha": 0.5}, QuantSpec(Grid(1, 0, 8), Grid(1, 0, 8)), {-1: -1, -3: -2}),
        ("hard_swish", {}, QuantSpec(Grid(0.5, 0, 16), Grid(0.75, 0, 16)), {-3: -1, 3: 2}),
    ],
)
def test_exact_ties_round_away_from_real_zero(name, parameters, spec, ties):
    truth = ideal(activation(name, **parameters), spec)
    codes = {code: int(truth.codes[code - spec.input.code_min]) for code in ties}
    assert codes == ties
    assert truth.oracle_points >= len(ties) - 1


def near_ties(sign=1, zero_point=0):
    """Return a case with ties that float64 sees and that are none: 3 * (1/6) is just below 1/2."""
    act = activation("leaky_relu", alpha=sign / 6)
    return act, QuantSpec(Grid(1, 127, 8), Grid(1, zero_point, 8))


def near_tie_codes(sign=1, zero_point=0):
    steps = [-sign * ((127 - code + 2) // 6) for code in range(-128, 128)]
    return [min(max(zero_point + step, -128), 127) for step in steps]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_oracle_decides_where_float64_cannot_up_to_the_ends_of_the_codes(sign):
    for zero_point in range(0, -127 * sign, -sign):
        truth = ideal(*near_ties(sign, zero_point))
        assert truth.codes.tolist() == near_tie_codes(sign, zero_point)
        assert truth.oracle_points > 0


def test_without_the_oracle_those_codes_would_be_wrong(monkeypatch):
    monkeypatch.setattr(module, "DOUBT_CODES", 0.0)
    assert ideal.__wrapped__(*near_ties()).codes.tolist() != near_tie_codes()


@pytest.mark.parametrize("distance", [1e-7, 1e-9, 1e-13])
def test_the_oracle_decides_close_to_a_tie(distance):
    spec = QuantSpec(Grid(1, 0, 8), Grid(1, 0, 8))
    for alpha in (0.5 * (1 - distance), 0.5 * (1 + distance)):
        truth = ideal(activation("leaky_relu", alpha=alpha), spec)
        expected = [rounded(spec, Fraction(alpha) * code) for code in range(-128, 0)]
        assert truth.codes[:128].tolist() == expected
        assert truth.oracle_points > 0


def test_a_tie_that_60_digits_cannot_tell_takes_more(monkeypatch):
    off = mpmath.mpf(2) ** -400  # 1e-121
    act = dataclasses.replace(
        activation("relu"),
        oracle=lambda x: x - (off if x > 0 else 0),
        asymptotes=lambda: (None, None),
        name="just_below",
    )
    spec = QuantSpec(Grid(0.5, 0, 8), Grid(1, 0, 8))
    assert ideal(act, spec).codes[129:135].tolist() == [0, 1, 1, 2, 2, 3]
    monkeypatch.setattr(module, "ORACLE_DIGITS", (60,))
    assert ideal.__wrapped__(act, spec).codes[129:135].tolist() == [1, 1, 2, 2, 3, 3]


# Functions of users

HALVES = QuantSpec(Grid(0.5, 0, 8), Grid(0.25, 0, 8))


def user(function, **kinds):
    return user_activation(function, name="mine", **kinds)


def test_truth_is_the_oracle_for_the_catalogue_and_where_one_is_given():
    kernel = Kernel(ir.const(0), 8, 8)
    truths = [
        certify(act, HALVES, kernel).truth
        for act in (
            activation("tanh"),
            user(np.tanh, oracle=mpmath.tanh),
            parse("tanh(x)"),
            user(np.tanh),
        )
    ]
    assert truths == ["oracle", "oracle", "oracle", "float64"]


def test_a_certificate_of_another_truth_differs():
    kernel = Kernel(ir.const(0), 8, 8)
    one, other = (certify(user(np.tanh, oracle=o), HALVES, kernel) for o in (None, mpmath.tanh))
    assert "truth float64, not oracle" in differences(one, other)


def test_an_oracle_decides_every_input_of_a_users_function():
    off = user(lambda x: np.tanh(x) + 0.3, oracle=mpmath.tanh)  # its float64 is not believed
    truth, right = ideal(off, HALVES), ideal(activation("tanh"), HALVES)
    assert np.array_equal(truth.codes, right.codes)
    assert np.allclose(truth.lsb, right.lsb, rtol=0, atol=1e-12)
    assert truth.oracle_points == 256


def test_without_an_oracle_float64_decides_and_none_is_asked():
    shifted = user(lambda x: np.tanh(x) + 0.3)
    truth = ideal(shifted, HALVES)
    assert not np.array_equal(truth.codes, ideal(activation("tanh"), HALVES).codes)
    assert truth.oracle_points == 0


@pytest.mark.parametrize("oracle", [None, lambda x: mpmath.mpf("inf") * mpmath.sign(x)])
def test_infinities_saturate(oracle):
    act = user(lambda x: np.where(x == 0, 0.0, np.inf * np.sign(x)), oracle=oracle)
    if oracle is not None:
        act = user(np.sign, oracle=lambda x: oracle(x) if x else x)
    assert ideal(act, HALVES).codes.tolist() == [-128] * 128 + [0] + [127] * 127


@pytest.mark.parametrize(
    ("function", "oracle", "code", "parts"),
    [
        (np.sqrt, None, -128, ["x = -64.0", "got nan"]),
        (lambda x: np.where(x == 1.5, np.nan, x), None, 3, ["x = 1.5", "got nan"]),
        (lambda x: np.where(x > 2, np.inf - np.inf, 0.0), None, 5, ["x = 2.5", "got nan"]),
        (np.abs, mpmath.sqrt, -128, ["x = -64.0", "mpc"]),
        (np.abs, lambda x: mpmath.nan if x == 3 else x, 6, ["x = 3.0", "got nan"]),
        (np.abs, lambda x: 1 / x, 0, ["x = 0.0", "ZeroDivisionError"]),
        (np.abs, lambda x: "seven", -128, ["x = -64.0", "ValueError"]),
        (lambda x: [1 / float(v) for v in x], None, 0, ["ZeroDivisionError"]),
        (lambda x: [math.log(v + 10) for v in x], None, -128, ["x = -64.0", "ValueError"]),
        (lambda x: x if x.max() < 9 else x.missing, None, 18, ["AttributeError", "missing"]),
    ],
)
def test_an_input_without_a_value_is_named(refuses, function, oracle, code, parts):
    with refuses(f"mine at input code {code}, ", "an infinity, which saturates", *parts):
        ideal(user(function, oracle=oracle), HALVES)


@pytest.mark.parametrize(
    ("function", "parts"),
    [
        (lambda x: 2.0, ["shape of mine(x)", "got ()", "(256,)"]),
        (lambda x: x[1:], ["shape of mine(x)", "got (255,)"]),
        (lambda x: x[:, None], ["shape of mine(x)", "got (256, 1)"]),
        (lambda x: x * 1j, ["dtype of mine(x)", "complex128"]),
        (lambda x: x > 0, ["dtype of mine(x)", "bool"]),
        (lambda x: x.astype(str), ["dtype of mine(x)", "<U32"]),
        (lambda x: x.astype(object), ["dtype of mine(x)", "object"]),
        (lambda x: None, ["shape of mine(x)"]),
    ],
)
def test_a_wrong_shape_or_dtype_is_refused(refuses, function, parts):
    with refuses(*parts):
        ideal(user(function), HALVES)


def test_a_function_that_only_fails_on_all_inputs_at_once_is_refused(refuses):
    def alone(x):
        if x.size > 1:
            raise MemoryError("too many")
        return x

    with refuses("mine failed on all inputs at once", "MemoryError: too many"):
        ideal(user(alone), HALVES)


def test_a_function_of_one_number_is_told_so_in_one_plain_line():
    with pytest.raises(EmbactError) as caught:
        ideal(user(lambda x: math.exp(x.item())), HALVES)
    text = str(caught.value)
    assert text.startswith("mine failed on all inputs at once: got ValueError: ")
    assert text.endswith("allowed: a function of arrays: np.vectorize(f) makes one of a function "
                         "of a number")  # fmt: skip
    assert text.count("allowed") == text.count("got ") == 1
    assert ideal(user(np.vectorize(math.tanh)), HALVES).codes[-1] == 4


def test_integers_and_float32_are_values():
    for function in (lambda x: x.astype(np.int32), lambda x: np.trunc(x).astype(np.float32)):
        assert np.array_equal(
            ideal(user(function), HALVES).lsb[100:150], np.trunc(np.arange(-28, 22) / 2) * 4
        )


def test_a_function_that_writes_to_its_argument_does_no_harm():
    def double(x):
        x *= 2
        return x

    assert ideal(user(double), HALVES).codes[120:136].tolist() == list(range(-32, 32, 4))


def test_a_mistake_of_the_catalogue_is_not_taken_for_the_users():
    broken = dataclasses.replace(activation("relu"), function=lambda x: x.missing)
    with pytest.raises(AttributeError):
        ideal(broken, HALVES)


def test_ideal_is_limited_to_the_output_codes():
    truth = ideal(activation("identity"), QuantSpec(Grid(1e30, 0, 8), Grid(2.0**-126, 3, 8)))
    assert truth.codes.tolist() == [-128] * 128 + [3] + [127] * 127
    assert truth.lsb.tolist() == truth.codes.tolist()
    assert truth.oracle_points == 0


def test_ideal_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        ideal(*near_ties()).codes[0] = 1


@pytest.mark.parametrize(
    ("node", "monotone"),
    [
        (ir.shr(ir.x(), 1), True),
        (ir.shr(ir.sub(ir.const(0), ir.x()), 2), True),  # falls, with steps that stay
        (ir.const(5), True),
        (ir.clamp(ir.sub(ir.const(0), ir.x()), -9, 0), True),
        (ir.Node(ir.Op.MAX, (ir.x(), ir.const(-120))), True),
        (ir.Node(ir.Op.MAX, (ir.x(), ir.sub(ir.const(-1), ir.x()))), False),
    ],
)
def test_monotone_means_that_outputs_never_turn(node, monotone):
    act, spec = activation("identity"), QuantSpec(Grid(1, 0, 8), Grid(1, 0, 8))
    assert certify(act, spec, Kernel(node, 8, 8)).monotone == monotone


# Errors next to 0


def test_errors_far_below_a_code_keep_nine_digits():
    spec = QuantSpec(Grid(1e6, 0, 8), Grid(1e6, -100, 8))
    kernel = Kernel(ir.clamp(ir.add(ir.x(), ir.const(-100)), -100, 127), 8, 8)
    proved = certify(activation("softplus"), spec, kernel)
    scale = spec.output.scale
    assert proved.max_error_lsb == pytest.approx(math.log(2) / scale, rel=1e-9)
    assert proved.mean_error_lsb == pytest.approx(math.log(2) / scale / 256, rel=1e-9)
    assert proved.mse == pytest.approx(math.log(2) ** 2 / 256, rel=5e-9)


def test_the_last_bits_of_float64_make_no_error_and_no_other_certificate():
    spec = QuantSpec(Grid(0.1, 0, 16), Grid(0.1, 5, 16))
    kernel = Kernel(ir.clamp(ir.add(ir.x(), ir.const(5)), -32768, 32767), 16, 16)
    exact = certify(user(lambda x: x), spec, kernel)
    noisy = certify(user(lambda x: x * (1 + 2.0**-50)), spec, kernel)
    assert (exact.max_error_lsb, exact.mean_error_lsb, exact.mse) == (0.0, 0.0, 0.0)
    assert noisy == exact
    assert certify(user(lambda x: x * (1 + 1e-9)), spec, kernel).mse > 0


def test_stated_numbers_have_nine_digits():
    spec = QuantSpec(Grid(0.047, -11, 8), Grid(1 / 256, -128, 8))
    for budget in (1, 40):
        kernel = Kernel(ir.clamp(ir.const(budget), -128, 127), 8, 8)
        proved = certify(activation("sigmoid"), spec, kernel)
        assert proved.mse == float(f"{proved.mse:.9g}")
        assert proved.max_error_lsb == round(proved.max_error_lsb, 9) > 1
    assert _digits(0.00123456789123) == 0.00123456789
    assert _digits(123.4567891239) == 123.456789124


@pytest.mark.parametrize("count", [-1, 1 << 53, 10**400])
def test_counts_that_float64_does_not_hold_are_refused(refuses, count):
    assert Histogram((0,) * 255 + ((1 << 53) - 1,)).weights[-1] == 1
    with refuses("counts of a histogram", "0..9007199254740991"):
        Histogram((1,) * 255 + (count,))


def test_a_kernel_of_other_widths_is_refused(refuses):
    act, spec = activation("relu"), QuantSpec(Grid(1, 0, 8), Grid(1, 0, 8))
    for widths in ((8, 16), (16, 8), (16, 16)):
        with refuses("differ in width", f"got int{widths[0]} -> int{widths[1]}", "int8 -> int8"):
            certify(act, spec, Kernel(ir.const(0), *widths))


# Evidence from elsewhere


@pytest.mark.parametrize(
    ("field", "change", "agreed"),
    [
        ("max_error_lsb", 2e-9, True),
        ("max_error_lsb", 1e-5, False),
        ("mean_error_lsb", 2e-9, True),
        ("mean_error_lsb", 1e-8, False),
        ("mse", 1e-9, False),
        ("worst_input", 1, False),
        ("max_error_codes", 1, False),
        ("points", -1, False),
    ],
)
def test_certificates_agree_to_the_digits_that_machines_share(relu, field, change, agreed):
    _, certificate = relu
    certificate = dataclasses.replace(certificate, max_error_lsb=0.25, mean_error_lsb=0.0, mse=1e-8)
    other = dataclasses.replace(certificate, **{field: getattr(certificate, field) + change})
    for pair in ((certificate, other), (other, certificate)):
        said = differences(*pair)
        assert (said == "") == agreed
        assert agreed or said.startswith(f"{field} {getattr(pair[0], field)}, not ")


@pytest.mark.parametrize(
    ("error", "text"),
    [(0.0, "0.0000"), (0.5, "0.5000"), (0.50001, "0.5001"), (1.4, "1.4000"), (0.49999, "0.5000")],
)
def test_stated_errors_are_never_rounded_down(error, text):
    assert stated(error) == text


@pytest.fixture
def relu():
    act, spec = activation("relu"), QuantSpec(Grid(1, 0, 8), Grid(1, 0, 8))
    kernel = Kernel(ir.clamp(ir.x(), 0, 127), 8, 8)
    return kernel, certify(act, spec, kernel)


def test_equal_outputs_add_their_place_once(relu):
    kernel, certificate = relu
    twice = also_checked(certificate, kernel, kernel.outputs.astype(np.int8), "host-c")
    twice = also_checked(twice, kernel, kernel.outputs.tolist(), "host-c")
    assert twice.checked_on == ("definition", "host-c")
    assert dataclasses.replace(twice, checked_on=("definition",)) == certificate


@pytest.mark.parametrize("code", [-128, 0, 127])
def test_one_different_output_is_refused_by_its_input(relu, refuses, code):
    kernel, certificate = relu
    outputs = kernel.outputs.copy()
    outputs[code + 128] += 1
    with refuses("host-c differs", f"input {code} gives {outputs[code + 128]}, not", "1 of 256"):
        also_checked(certificate, kernel, outputs, "host-c")


def test_missing_outputs_are_refused(relu, refuses):
    kernel, certificate = relu
    with refuses("255 outputs for 256 inputs"):
        also_checked(certificate, kernel, kernel.outputs[1:], "host-c")
    with refuses("0 outputs for 256 inputs"):
        also_checked(certificate, kernel, [], "host-c")


def test_certificate_of_another_kernel_is_refused(relu, refuses):
    _, certificate = relu
    other = Kernel(ir.x(), 8, 8)
    with refuses("certificate of another kernel", certificate.kernel_digest):
        also_checked(certificate, other, other.outputs, "host-c")


def test_first_difference_names_the_first_input_and_counts_all(relu):
    kernel, _ = relu
    assert first_difference(kernel, kernel.outputs) is None
    outputs = kernel.outputs.copy()
    outputs[[5, 200]] = -1
    assert first_difference(kernel, outputs) == (
        "input -123 gives -1, not 0 (2 of 256 inputs differ)"
    )
