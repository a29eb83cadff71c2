"""Kernels of ``shift_pwl`` do not multiply: not in C and, if that is asked for, not compiled."""

import re
import subprocess
import sys

import pytest

from embact.activations import activation
from embact.emit.header import emit_header
from embact.emit.portable import function
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import candidates
from embact.grid import Grid, QuantSpec

SPEC = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
M0PLUS = ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-fhosted")
RV32I = ("-target", "riscv32-freestanding", "-mcpu=generic_rv32")


def kernels_of(family):
    """Return every kernel of a family for sigmoid as name -> Fit, for 0, 1 and 3 codes."""
    choices = [Options(shifts="common")]  # a compiler may turn a product by a constant into shifts
    if family == "shift_pwl":
        choices = [Options()]
        choices += [Options(terms=terms) for terms in (1, 2, 3)]
        choices += [Options(terms=2, segments=6)]
    found = {}
    for options in choices:
        for budget in (0, 1, 3):
            problem = Problem(activation("sigmoid"), SPEC, Limits(budget), options)
            for one in candidates(problem, family):
                found[f"{family}_{one.kernel.digest[:12]}"] = one
    return found


@pytest.fixture(scope="module")
def shifting():
    return kernels_of("shift_pwl")


@pytest.fixture(scope="module")
def multiplying():
    return kernels_of("pwl")


def assembly(fits, folder, target):
    """Return the assembly of each function, compiled by the zig wheel's clang at -O2."""
    types = "const int8_t *in, int8_t *out, int32_t n"
    uses = "".join(f"void use_{name}({types})\n{{\n    {name}(in, out, n);\n}}\n" for name in fits)
    (folder / "kernels.c").write_text(emit_header(fits) + uses)
    line = [sys.executable, "-m", "ziglang", "cc", *target, "-O2", "-fno-sanitize=undefined", "-g0"]
    line += ["-S", "kernels.c", "-o", "kernels.s"]
    subprocess.run(line, cwd=folder, capture_output=True, check=True)
    text = (folder / "kernels.s").read_text()
    parts = re.split(r"^use_(\w+):.*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def products(fit):
    """Return how often the C of a kernel says ``*`` as an operation."""
    tables = {table.name: table.name for table in fit.kernel.tables}
    text = re.sub(r"/\*.*?\*/", "", function(fit.kernel, "f", tables))
    return text.count("*") - len(re.findall(r"int8_t \*(?:in|out)put\b", text))


def test_there_are_kernels_of_one_two_and_three_terms(shifting, multiplying):
    assert {one.candidate.parameters["terms"] for one in shifting.values()} == {1, 2, 3}
    assert len(shifting) > 12
    assert len(multiplying) > 3


def test_shift_pwl_is_spelled_without_a_multiplication(shifting, multiplying):
    assert {products(one) for one in shifting.values()} == {0}
    assert all(products(one) > 0 for one in multiplying.values())


@pytest.mark.parametrize(("target", "product"), [(M0PLUS, "muls"), (RV32I, "__mulsi3")])
def test_shift_pwl_compiles_to_no_multiplication_where_that_is_asked_for(
    target, product, shifting, multiplying, tmp_path
):
    hidden = assembly(shifting, tmp_path, (*target, "-DEMBACT_NO_MULTIPLY"))
    assert hidden.keys() == shifting.keys()
    assert [name for name, text in hidden.items() if "mul" in text] == []
    control = assembly(multiplying, tmp_path, (*target, "-DEMBACT_NO_MULTIPLY"))
    assert [name for name, text in control.items() if product not in text] == []


@pytest.mark.parametrize(("target", "product"), [(M0PLUS, "muls"), (RV32I, "__mulsi3")])
def test_unasked_clang_multiplies_where_slopes_have_several_terms(
    target, product, shifting, tmp_path
):
    """Why there is EMBACT_NO_MULTIPLY; a slope of one power of two stays a shift all the same."""
    seen = assembly(shifting, tmp_path, target)
    terms = {
        shifting[name].candidate.parameters["terms"]
        for name, text in seen.items()
        if product in text
    }
    assert terms
    assert 1 not in terms
