"""Kernels that a compiler at hand has been seen to miscompile in their plain spelling."""

import sys

import pytest

from embact.emit.portable import function
from embact.ir import add, const, mulh, shr, x
from embact.kernel import Kernel
from embact.run.host import check, compile_header

INCLUDE = "#include <stdint.h>\n"
# Not a sensible kernel, but one that a kernel file may hold: the upper half of int16 * int16.
HALF = Kernel(add(shr(x(), 4), mulh(x(), const(32767))), 16, 16)


@pytest.fixture
def with_zig(monkeypatch):
    monkeypatch.setenv("CC", f"{sys.executable} -m ziglang cc")


def test_the_upper_half_of_a_small_product_survives_clang(with_zig):
    text = INCLUDE + function(HALF, "f", {})
    assert check(compile_header(text, {"f": (16, 16)}), "f", HALF) is None


def test_the_upper_half_of_a_small_product_needs_no_wide_multiplication():
    assert "int64_t" not in function(HALF, "f", {})
    wide = Kernel(mulh(x(), const(1 << 20)), 16, 16)
    assert "int64_t" in function(wide, "f", {})
