"""Lines of cells: the loop in C, on this machine and on every core, against the kernel."""

import dataclasses
import functools

import numpy as np
import pytest

from embact.activations import activation
from embact.conventions import output_grid
from embact.cores import CORES
from embact.emit.forms import form_of
from embact.emit.forms_interp import interp_form, lines_of
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import candidates
from embact.grid import Grid, QuantSpec
from embact.ir import Node, Table
from embact.kernel import Kernel
from embact.run.host import compile_header, observe
from embact.run.on_core import observe_on_core

RANGES = (0.5, 1.0, 1.29, 2.75, 8.0, 9.9, 10.3, 12.59, 16.0, 20.9, 57.5, 100.0, 300.0, 933.0)
"""The input's largest magnitude: from far within what bends to a few codes that do."""

SOME = (8.0, 933.0)
EVERY = [pytest.param(one, marks=() if one in SOME else pytest.mark.slow) for one in RANGES]


def problem_of(name, reach, max_bytes=4096):
    act, source = activation(name), Grid(reach / 32768, 0, 16)
    spec = QuantSpec(source, output_grid(act, source, 16))
    return Problem(act, spec, Limits(1, max_bytes), Options(fold=False))


@functools.cache
def lines(name, reach):
    """Return the fit that has lines of cells."""
    (found,) = [
        one
        for one in candidates(problem_of(name, reach), "interp")
        if "index_bits" in one.candidate.parameters
    ]
    return found


def rebuilt(node, change):
    """Return an expression with some tables changed."""
    args = tuple(rebuilt(arg, change) for arg in node.args)
    table = change(node.table) if node.table else None
    return Node(node.op, args, node.value, table, node.name)


@pytest.mark.parametrize("reach", EVERY)
@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_any_scale_is_within_one_code_and_4096_bytes_and_has_the_loop(name, reach):
    found = lines(name, reach)
    assert found.certificate.max_error_codes <= 1
    form = form_of(found.kernel)
    assert form.loop == "embact_loop_interp_lines_s16.h"
    assert form.tables[0].bytes_from == {"portable": 4 * found.candidate.parameters["cells"]}
    assert form.tables[0].bytes_from["portable"] <= 4096


def test_a_line_that_the_kernel_does_not_have_is_seen():
    found = lines_of(lines("tanh", 10.3).kernel)
    expected = found.outputs()
    assert np.array_equal(found.vector_outputs(), expected)
    bases = list(found.bases)
    bases[300] += 1
    other = dataclasses.replace(found, bases=tuple(bases))
    for outputs in (other.outputs(), other.vector_outputs()):
        changed = np.flatnonzero(outputs != expected)
        assert changed.size == 1 << found.spacing_log2


def test_an_expression_that_only_looks_like_lines_has_no_loop():
    kernel = lines("tanh", 57.5).kernel

    def steeper_at_the_end(table):
        values = list(table.values)
        if table.name == "slopes":
            values[-1] = 1  # beyond the last cell the part counts on from 0, in the kernel as well
        return Table(table.name, tuple(values))

    same = Kernel(rebuilt(kernel.expression, steeper_at_the_end), 16, 16)
    assert interp_form(same) is not None

    def halved(table):
        return Table(table.name, (*table.values, table.values[-1]))

    assert interp_form(Kernel(rebuilt(kernel.expression, halved), 16, 16)) is None


SANITIZED = ("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=undefined")


def on_host(header, kernels, flags=()):
    widths = dict.fromkeys(kernels, (16, 16))
    compiled = compile_header(header, widths, flags=flags)
    return {name: observe(compiled, name, kernel) for name, kernel in kernels.items()}


@pytest.mark.parametrize("flags", [(), SANITIZED])
@pytest.mark.parametrize("ranges", [SOME, pytest.param(RANGES, marks=pytest.mark.slow)])
def test_c_on_this_machine_equals_the_kernel_on_every_input(ranges, flags):
    fits = {
        f"embact_{name}_{i}_s16": lines(name, reach)
        for name in ("sigmoid", "tanh")
        for i, reach in enumerate(ranges)
    }
    kernels = {name: fit.kernel for name, fit in fits.items()}
    outputs = on_host(emit_header(fits), kernels, flags)
    for name, kernel in kernels.items():
        assert np.array_equal(outputs[name], kernel.outputs)


@pytest.mark.slow
@pytest.mark.parametrize("optimise", ["-O2", "-O0", "-Os"])
@pytest.mark.parametrize("name", CORES)
def test_every_core_equals_the_kernel_on_every_input(name, optimise, tools_for):
    compiler, emulator = tools_for(CORES[name])
    fits = {
        f"embact_{kind}_{i}_s16": lines(kind, reach)
        for kind in ("sigmoid", "tanh", "gelu")
        for i, reach in enumerate((8.0, 10.3, 57.5) if kind != "gelu" else (8.0,))
    }
    kernels = {key: fit.kernel for key, fit in fits.items()}
    outputs = observe_on_core(
        emit_header(fits),
        kernels,
        CORES[name],
        compiler=compiler,
        emulator=emulator,
        optimise=optimise,
    )
    for key, kernel in kernels.items():
        assert np.array_equal(outputs[key], kernel.outputs)


def test_c_with_another_base_would_be_seen():
    fit = lines("sigmoid", 10.3)
    header = emit_header({"embact_sigmoid_s16": fit})
    words = lines_of(fit.kernel).words.tolist()
    word = next(word for word in words if header.count(f" {word},") == 1)
    changed = header.replace(f" {word},", f" {int(word) + 65536},")
    outputs = on_host(changed, {"embact_sigmoid_s16": fit.kernel})
    assert not np.array_equal(outputs["embact_sigmoid_s16"], fit.kernel.outputs)
