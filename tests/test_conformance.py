"""Every activation, family, pair of widths and kind of quantisation, from truth to compiled C."""

import dataclasses
import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

from embact.activations import CATALOGUE
from embact.certify import also_checked, ideal
from embact.conventions import output_grid
from embact.cores import CORES
from embact.fit.problem import Limits
from embact.fit.search import FAMILIES, candidates
from embact.fit.takes import TAKES, takes
from embact.ir import x
from embact.kernel import Kernel
from embact.run.host import PLACE

_spec = importlib.util.spec_from_file_location(
    "embact_conformance", Path(__file__).parent / "conformance.py"
)
conformance = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(conformance)
KINDS, WIDTHS, BUDGET = conformance.KINDS, conformance.WIDTHS, conformance.BUDGET

PAIRS = [pytest.param(pair, marks=pytest.mark.slow if pair == (16, 16) else ()) for pair in WIDTHS]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"int{pair[0]}-int{pair[1]}")
def batch(request, tmp_path_factory):
    """The kernels of a pair of widths, and what their C computes."""
    return conformance.batch_of(request.param, tmp_path_factory.mktemp("batch"))


LACKING = {
    (8, 8): {
        "interp": "hard_shrink hard_sigmoid_05 threshold thresholded_relu",
    },
    (16, 16): {
        "composed": "gelu gelu_sigmoid gelu_tanh hard_swish hard_tanh isru relu relu_n1_to_1 silu "
        "soft_shrink softsign sqnl swish tanh tanh_shrink",
        "interp": "apl clipped_relu hard_shrink hard_sigmoid_02 hard_sigmoid_05 relu_n1_to_1 "
        "soft_shrink sparse_relu threshold thresholded_relu",
        "lut": "hard_shrink threshold",
        "quadratic": "celu elu erf exp gelu gelu_sigmoid gelu_tanh isrlu isru log_sigmoid mish "
        "selu sigmoid silu softsign swish tanh tanh_shrink",
        "rational": "softsign",
        "shift_pwl": "apl celu clipped_relu elu erf exp gelu gelu_sigmoid gelu_tanh hard_shrink "
        "hard_sigmoid_02 hard_sigmoid_05 hard_swish hard_tanh identity isrlu isru "
        "leaky_relu log_sigmoid mish relu relu_n1_to_1 rrelu selu sigmoid silu "
        "soft_shrink softplus softsign sparse_plus sparse_relu sqnl squareplus swish tanh "
        "tanh_shrink thresholded_relu",
        "tflm": "elu hard_swish relu",
    },
    (8, 16): {
        "composed": "relu_n1_to_1 softsign tanh",
        "interp": "apl celu elu erf exp gelu gelu_sigmoid gelu_tanh hard_shrink hard_sigmoid_02 "
        "hard_sigmoid_05 hard_swish isrlu isru mish selu sigmoid silu soft_shrink "
        "softplus softsign sparse_plus sparse_relu sqnl squareplus swish tanh tanh_shrink "
        "threshold thresholded_relu",
        "shift_pwl": "isrlu softplus",
        "tflm": "elu hard_swish leaky_relu relu relu6 sigmoid tanh",
    },
    (16, 8): {
        "interp": "hard_shrink threshold thresholded_relu",
        "tflm": "elu hard_swish leaky_relu relu relu6 sigmoid tanh",
    },
}
"""Activations that a family takes, and of which it has no kernel within the budget on some of the
grids that it is asked about. Knots do not fall on a jump; TFLM has no kernels of mixed widths."""

BEYOND = {
    (8, 8): {
        "affine": "celu elu erf isrlu isru sparse_plus sqnl tanh",
        "rational": "erf hard_sigmoid hard_sigmoid_02 hard_sigmoid_05 hard_tanh identity isru "
        "relu_n1_to_1 sqnl tanh",
    },
    (16, 16): {},
    (8, 16): {},
    (16, 8): {
        "affine": "celu erf sparse_plus",
        "rational": "erf hard_sigmoid hard_sigmoid_02 hard_sigmoid_05 hard_tanh identity "
        "relu_n1_to_1 sqnl tanh",
    },
}
"""Activations that a family does not take, and of which it has a kernel within the budget on some
grids: a quotient can be a line, and two lines are within a code of many a curve."""


def kinds_of(family, name, widths):
    """Return the kinds of grids on which a family is asked about an activation."""
    special = [
        kind for (act, kind), one in conformance.SPECIAL.items() if (act, one) == (name, family)
    ]
    return special or [
        kind for kind in KINDS if family in conformance.families_of(name, widths, kind)
    ]


def verdict(batch, family, name):
    """Return on which kinds a family has a kernel of an activation, and on which it has none."""
    kinds = kinds_of(family, name, batch.widths)
    has = [kind for kind in kinds if conformance.key_of(kind, family, 0, name) in batch.fits]
    return has, [kind for kind in kinds if kind not in has]


def exceptions(batch):
    """Return what the declaration does not say: what some grids lack, and what some have beyond.

    Both are family -> activations.
    """
    lacking, beyond = {}, {}
    for family, name in itertools.product(FAMILIES, CATALOGUE):
        has, lacks = verdict(batch, family, name)
        if takes(family, name) and lacks:
            lacking.setdefault(family, []).append(name)
        if not takes(family, name) and has:
            beyond.setdefault(family, []).append(name)
    return lacking, beyond


def in_words(found):
    """Return activations by family in words, to be compared as they are written above."""
    return {family: " ".join(sorted(names)) for family, names in found.items()}


def test_every_family_has_kernels_of_the_activations_that_it_takes_and_of_no_others(batch):
    lacking, beyond = exceptions(batch)
    assert in_words(lacking) == LACKING[batch.widths]
    assert in_words(beyond) == BEYOND[batch.widths]


def test_an_exception_is_one():
    for families in LACKING.values():
        for family, names in families.items():
            assert all(takes(family, name) for name in names.split())
    for families in BEYOND.values():
        for family, names in families.items():
            assert not any(takes(family, name) for name in names.split())


def test_a_family_that_is_declared_wrongly_would_be_noticed(batch, monkeypatch):
    monkeypatch.setitem(TAKES, "affine", TAKES["affine"] - {"relu"} | {"mish"})
    lacking, beyond = exceptions(batch)
    assert "mish" in lacking["affine"]
    assert "relu" in beyond["affine"]


def test_every_family_is_asked_about_each_kind_and_each_activation():
    for family, widths in itertools.product(FAMILIES, WIDTHS):
        asked = [
            (name, kind)
            for name, kind in itertools.product(CATALOGUE, KINDS)
            if family in conformance.families_of(name, widths, kind)
        ]
        assert {name for name, _ in asked} == set(CATALOGUE)
        assert {kind for _, kind in asked} == set(KINDS)
        if widths in conformance.WHOLE:
            assert len(asked) == len(CATALOGUE) * len(KINDS)


def test_no_activation_is_asked_about_as_another_one():
    seen = {}
    grid = conformance.problem_of("identity", (8, 8), "asymmetric").spec.input
    x = grid.real(grid.codes())
    for name in CATALOGUE:
        values = np.round(conformance.with_parameters(name)(x), 12) + 0.0
        assert seen.setdefault(values.tobytes(), name) == name


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
        if one.family not in conformance.FIXED:
            assert one.certificate.max_error_codes <= BUDGET, key
            assert one.certificate.max_error_lsb < BUDGET + 0.5 + 1e-6, key


def test_compiled_c_is_the_definition_on_every_input(batch):
    for key, one in batch.fits.items():
        assert np.array_equal(batch.seen[key], one.kernel.outputs), key
        proved = also_checked(one.certificate, one.kernel, batch.seen[key], PLACE)
        assert proved.checked_on == ("definition", PLACE)


def test_the_headers_hold_every_kernel(batch):
    held = {batch.fits[key].kernel.digest for _, keys in batch.headers for key in keys}
    assert held == {one.kernel.digest for one in batch.fits.values()}


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_every_core_computes_the_definition_on_every_input(core, batch, tools_for):
    tools_for(core)
    kernels = {key: one.kernel for key, one in batch.fits.items()}
    assert conformance.differences(batch.headers, kernels, core) == {}


@pytest.mark.slow
def test_sanitizers_find_nothing_in_the_c(batch, tmp_path):
    kernels = {key: one.kernel for key, one in batch.fits.items()}
    assert conformance.unlike_under_sanitizers(batch.headers, kernels, tmp_path) == []


READS_BEYOND = "    int8_t last = input[size < 0 ? 0 : size];\n    output[0] = last;\n"
OVERFLOWS = "    int32_t big = 2147483647 - 67;\n    output[0] = (int8_t)((big + size) >> 24);\n"


@pytest.mark.parametrize("body", [READS_BEYOND, OVERFLOWS], ids=["beyond", "overflow"])
def test_what_sanitizers_look_for_would_be_noticed(body, tmp_path):
    kernel = Kernel(x(), 8, 8)
    header = (
        "#include <stdint.h>\nstatic void f(const int8_t *input, int8_t *output, int32_t size)\n"
        f"{{\n    (void)input;\n{body}}}\n"
    )
    with pytest.raises(AssertionError, match=r"runtime error|AddressSanitizer"):
        conformance.sanitized(header, {"f": kernel}, tmp_path / "f")


@pytest.mark.slow
def test_a_core_that_differs_would_be_noticed(batch, tools_for):
    core = CORES["cortex-m4"]
    tools_for(core)
    header, keys = batch.headers[0]
    kernels = {key: batch.fits[key].kernel for key in keys}
    one, outputs = keys[0], kernels[keys[0]].outputs
    other = next(key for key in keys if not np.array_equal(kernels[key].outputs, outputs))
    kernels[one], kernels[other] = kernels[other], kernels[one]
    assert set(conformance.differences([(header, keys)], kernels, core)) == {one, other}


def test_the_kinds_of_quantisation_are_what_they_are_called(batch):
    for key, one in batch.fits.items():
        rounded, grid = ideal(one.activation, one.spec).codes, one.spec.output
        ends = np.isin(rounded, (grid.code_min, grid.code_max)).mean()
        if key.startswith("symmetric"):
            assert (one.spec.input.zero_point, grid.zero_point) == (0, 0)
        elif key.startswith("saturating"):
            assert ends > 0.1, key
        elif key.startswith("conventional"):
            assert output_grid(one.activation, one.spec.input, grid.bits) == grid
        else:
            assert one.spec.input.zero_point != 0


def test_a_kernel_beyond_the_budget_and_a_changed_output_would_be_noticed(batch, refuses):
    problem = conformance.problem_of("tanh", batch.widths, "symmetric")
    coarse = next(candidates(dataclasses.replace(problem, limits=Limits(20)), "pwl"))
    assert coarse.certificate.max_error_codes > BUDGET
    changed = coarse.kernel.outputs.copy()
    changed[7] += 1
    with refuses("differs from its definition"):
        also_checked(coarse.certificate, coarse.kernel, changed, PLACE)
