"""Equal tables of several kernels in one header are one array."""

import re

import numpy as np
import pytest

from embact import ir
from embact.emit.header import digests_in, emit_header, functions_in, table_bytes
from embact.fit.gates import gates
from embact.kernel import Kernel
from embact.run.host import check, compile_header
from embact.run.toolchain import STRICT

VALUES = tuple((7 * i * i + 3 * i) % 251 - 125 for i in range(256))


def index():
    return ir.add(ir.x(), ir.const(128))


def reads(*tables, change=2):
    """A kernel that adds the entries of its tables, and a constant: more than a lookup."""
    total = ir.const(change)
    for table in tables:
        total = ir.add(total, ir.lookup(table, index()))
    return Kernel(ir.saturate(total, 8), 8, 8)


@pytest.fixture(scope="module")
def pair():
    found = gates(2.0**-12)
    return {"embact_a_s16": found.sigmoid, "embact_b_s16": found.tanh}


def arrays(header):
    return re.findall(r"static const int(\d+)_t (\w+)\[(\d+)\]", header)


def test_gates_share_one_array_that_is_named_after_the_first(pair):
    header = emit_header(pair)
    assert arrays(header) == [("16", "embact_a_s16_knots", "327")]
    assert "/* knots of embact_a_s16, embact_b_s16: 654 bytes */" in header
    assert "/* Tables of this header: 654 bytes; 1308 with a copy for each kernel. */" in header
    assert " * tables  654 bytes, shared with embact_b_s16\n" in header
    assert " * tables  654 bytes, shared with embact_a_s16\n" in header
    assert table_bytes(pair) == 654
    assert functions_in(header, 16, 16) == list(pair)
    assert digests_in(header) == [one.kernel.digest for one in pair.values()]


def test_each_alone_has_its_own_array(pair):
    for name, one in pair.items():
        header = emit_header({name: one})
        assert [array[1] for array in arrays(header)] == [f"{name}_knots"]
        assert "Tables of this header" not in header
        assert " * tables  654 bytes\n" in header


def test_compiled_kernels_of_a_shared_array_are_their_definitions(pair):
    compiled = compile_header(emit_header(pair), dict.fromkeys(pair, (16, 16)))
    for name, one in pair.items():
        assert check(compiled, name, one.kernel) is None


def test_an_entry_of_the_shared_array_is_read_by_both(pair):
    header = emit_header(pair)
    knot = str(pair["embact_a_s16"].kernel.tables[0].values[60])
    assert header.count(f" {knot},") == 1
    bad = header.replace(f" {knot},", f" {int(knot) + 64},")
    compiled = compile_header(bad, dict.fromkeys(pair, (16, 16)))
    for name, one in pair.items():
        assert check(compiled, name, one.kernel) is not None


@pytest.fixture
def mixed(fit_of):
    """Tables equal under another name, equal but for one entry, and a kernel of two equal ones."""
    one, other = ir.Table("one", VALUES), ir.Table("other", VALUES)
    near = ir.Table("one", (*VALUES[:-1], VALUES[-1] + 1))
    kernels = {
        "f": reads(one),
        "g": reads(other, change=3),
        "h": reads(near),
        "k": reads(near, other, change=1),
    }
    return {name: fit_of(kernel) for name, kernel in kernels.items()}


def test_tables_are_shared_by_values_not_by_name(mixed):
    header = emit_header(mixed)
    assert [name for _, name, _ in arrays(header)] == ["f_one", "h_one"]
    assert "/* one of f, g, k: 256 bytes */" in header
    assert "/* one of h, k: 256 bytes */" in header
    assert "/* Tables of this header: 512 bytes; 1280 with a copy for each kernel. */" in header
    assert table_bytes(mixed) == 512
    compiled = compile_header(header, dict.fromkeys(mixed, (8, 8)))
    for name, one in mixed.items():
        assert check(compiled, name, one.kernel) is None


def test_equal_values_of_another_width_are_not_shared(fit_of):
    narrow, wide = ir.Table("t", VALUES), ir.Table("t", (*VALUES, 1000))
    fits = {"f": fit_of(reads(narrow, change=1)), "g": fit_of(reads(wide, change=2))}
    assert [bits for bits, *_ in arrays(emit_header(fits))] == ["8", "16"]


def test_two_tables_of_one_name_in_c_are_refused(fit_of, refuses):
    one, other = ir.Table("b_c", VALUES), ir.Table("c", VALUES[::-1])
    fits = {"a": fit_of(reads(one)), "a_b": fit_of(reads(other))}
    with refuses("name of a table", "got a_b_c", "one of a or a_b"):
        emit_header(fits)
    assert len(arrays(emit_header({"a": fits["a"], "b": fits["a_b"]}))) == 2
    equal = {"a": fits["a"], "a_b": fit_of(reads(ir.Table("c", VALUES), change=1))}
    assert [name for _, name, _ in arrays(emit_header(equal))] == ["a_b_c"]


def test_a_kernel_says_which_part_of_its_tables_is_shared(fit_of):
    one, own = ir.Table("one", VALUES), ir.Table("own", tuple(np.roll(VALUES, 9).tolist()))
    fits = {"f": fit_of(reads(one)), "g": fit_of(reads(one, own))}
    header = emit_header(fits)
    assert " * tables  512 bytes, 256 of them shared with f\n" in header
    assert "/* Tables of this header: 512 bytes; 768 with a copy for each kernel. */" in header


def test_headers_with_shared_arrays_compile_without_a_warning(mixed, pair, compilers, tmp_path):
    import subprocess

    (tmp_path / "a.h").write_text(emit_header(mixed | pair))
    (tmp_path / "a.c").write_text('#include "a.h"\nint unused;\n')
    for compiler in compilers.values():
        line = [*compiler, *STRICT, "-O2", "-c", "a.c", "-o", "a.o"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_long_list_of_readers_stays_within_short_lines(fit_of):
    kernels = {f"embact_{'long' * 8}_{i}": reads(ir.Table("t", VALUES)) for i in range(9)}
    header = emit_header({name: fit_of(kernel) for name, kernel in kernels.items()})
    assert max(map(len, header.splitlines())) <= 120
    assert len(arrays(header)) == 1
