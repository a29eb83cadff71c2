"""Helium bodies are their kernels, on every input, on an emulated Cortex-M55; and few instructions.

Nothing models an instruction here: what one does is what the emulator says.
"""

import os
import random
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from embact.activations import activation
from embact.cores import CORES
from embact.emit.header import emit_header
from embact.emit.portable import literal, signature
from embact.errors import EmbactError
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import FAMILIES, candidates
from embact.grid import Grid, QuantSpec
from embact.helium.body import helium_body
from embact.helium.lanes import NotSpelt, Values
from embact.helium.narrow import narrowed
from embact.ir import ARITY, Node, Op, Table, add, const, div, evaluate, mul, search_tree, shr, x
from embact.kernel import Kernel
from embact.run.on_core import check_on_core

M55 = CORES["cortex-m55"]
ACTIVATIONS = ("sigmoid", "gelu", "hard_swish", "exp", "leaky_relu", "relu6")
WIDTHS = ((8, 8), (8, 16), (16, 8), (16, 16))
AT_MOST = {8: 6, 16: 2}
"""Kernels of each family and activation."""


def header_of(kernels):
    """Return C of the Helium body of every kernel, whatever form it has."""
    parts = ["#include <stdint.h>\n#include <stddef.h>\n"]
    for name, kernel in kernels.items():
        tables = {table.name: f"{name}_{table.name}" for table in kernel.tables}
        body = helium_body(kernel, tables)
        for table in kernel.tables:
            values = ", ".join(map(literal, table.values))
            full = f"{tables[table.name]}[{len(table.values)}] = {{{values}}};"
            parts.append(textwrap.fill(f"static const int{table.bits}_t {full}", 4000))
        parts.append("\n".join([signature(kernel, name), "{", *body.lines, "}\n"]))
    return "\n".join(parts)


def spelt(kernels):
    """Return those of some kernels that have a Helium body, by number."""
    return {
        f"k{number}": kernel
        for number, kernel in enumerate(kernels)
        if helium_body(kernel, {table.name: "t_t" for table in kernel.tables})
    }


def kernels_at(widths, names=ACTIVATIONS):
    """Return unlike kernels of every family and structure, a few of each."""
    bits, out_bits = widths
    found = {}
    for name in names:
        act = activation(name)
        grid_in = Grid(12.0 / (1 << bits), -(1 << bits) // 8, bits)
        values = act(grid_in.real(grid_in.codes()))
        span = float(values.max() - values.min())
        zero = (1 << (out_bits - 1)) // 3
        spec = QuantSpec(grid_in, Grid(span / (1 << out_bits) / 2.2, zero, out_bits))
        for family in FAMILIES:
            forms = {}
            for one in candidates(Problem(act, spec, Limits(2)), family):
                forms.setdefault(tuple(one.candidate.parameters), one.kernel)
                if len(forms) == AT_MOST[bits]:
                    break
            found |= {kernel.digest: kernel for kernel in forms.values()}
    return list(found.values())


def random_kernel(seed):
    """Return a kernel of random operations: of two in three seeds none of its values is wide."""
    draw = random.Random(seed)  # noqa: S311 - not for cryptography
    nodes = [x(), const(draw.randint(-100, 100)), const(draw.randint(-9, 9))]
    values = Values(8)
    wide = 1 << draw.choice((7, 15, 31))
    while len(nodes) < 16:
        op = draw.choice([op for op in ARITY if op not in (Op.INPUT, Op.CONST, Op.DIV, Op.MULH)])
        args = tuple(draw.choice(nodes) for _ in range(ARITY[op]))
        value = {Op.SHL: draw.randint(1, 3), Op.SHR: draw.randint(1, 4)}.get(op, 0)
        value = draw.choice((4, 8, 16)) if op is Op.SAT else value
        table = None
        if op is Op.LOOKUP:
            ends = values.of(args[0])
            if ends.min() < 0 or ends.max() > 255:
                continue
            size = int(ends.max()) + 1
            table = Table(f"t{len(nodes)}", tuple(draw.randint(-99, 99) for _ in range(size)))
        node = Node(op, args, value, table)
        reached = values.of(node)
        if -wide <= reached.min() and reached.max() < wide and reached.min() < reached.max():
            nodes.append(node)
    result = Node(Op.SAT, (nodes[-1],), 8)
    return Kernel(result, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "optimise"),
    [*((widths, "-O2") for widths in WIDTHS), ((8, 8), "-O0"), ((8, 8), "-Os")],
)
def test_kernels_of_every_family_are_their_definitions_on_the_core(widths, optimise, tools_for):
    compiler, emulator = tools_for(M55, "gcc")
    names = ACTIVATIONS if widths[0] == 8 else ACTIVATIONS[:2]
    kernels = spelt(kernels_at(widths, names))
    assert len(kernels) > 15
    header = header_of(kernels)
    options = {"compiler": compiler, "emulator": emulator, "optimise": optimise}
    assert check_on_core(header, kernels, M55, **options) == {}


@pytest.mark.slow
def test_clang_assembles_the_same_instructions(tools_for):
    compiler, emulator = tools_for(M55, "zig")
    kernels = spelt(kernels_at((8, 8), ("sigmoid", "gelu")))
    header = header_of(kernels)
    assert check_on_core(header, kernels, M55, compiler=compiler, emulator=emulator) == {}


def test_random_expressions_are_their_definitions_on_the_core(tools_for):
    compiler, emulator = tools_for(M55, "gcc")
    kernels = spelt(random_kernel(seed) for seed in range(120))
    assert len(kernels) > 60
    header = header_of(kernels)
    assert {"8", "16", "32"} <= set(re.findall(r"dlstp\.(\d+)", header))
    assert check_on_core(header, kernels, M55, compiler=compiler, emulator=emulator) == {}


def test_a_changed_instruction_is_seen(tools_for):
    compiler, emulator = tools_for(M55, "gcc")
    kernels = {"k": Kernel(Node(Op.SAT, (add(x(), const(7)),), 8), 8, 8)}
    header = header_of(kernels)
    assert header.count("vqadd.s8") == 1
    changed = header.replace("vqadd.s8", "vadd.i8")
    found = check_on_core(changed, kernels, M55, compiler=compiler, emulator=emulator)
    assert list(found) == ["k"]


def test_the_two_term_shift_sigmoid_takes_at_most_two_instructions_for_an_element(tools_for):
    compiler, emulator = tools_for(M55, "gcc")
    spec = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
    problem = Problem(activation("sigmoid"), spec, Limits(1), Options(terms=2))
    kernels = [one.kernel for one in candidates(problem, "shift_pwl")]
    bodies = [helium_body(kernel, {}) for kernel in kernels]
    per_element = [body.instructions / body.elements for body in bodies if body]
    best = min(range(len(per_element)), key=per_element.__getitem__)
    assert per_element[best] <= 2
    text = "\n".join(bodies[best].lines)
    assert not re.search(r"vmul|vmla|vq\w*dmul|vldr\w\.\w+ q\d, \[[^]]*q", text)
    kernels = {"best": kernels[best]}
    header = header_of(kernels)
    assert check_on_core(header, kernels, M55, compiler=compiler, emulator=emulator) == {}


def test_what_is_narrowed_is_equal_and_wrong_rewriting_is_refused(monkeypatch):
    root = shr(add(mul(x(), const(4)), const(3)), 2)
    values = Values(8)
    assert np.array_equal(values.of(narrowed(values, root, 16)), evaluate(root, values.codes))
    monkeypatch.setattr("embact.helium.narrow.laddered", lambda node: add(node, const(1)))
    with pytest.raises(NotSpelt):
        narrowed(values, root, 16)


def test_a_division_and_a_tree_of_many_choices_stay_with_one_element_at_a_time():
    divided = Kernel(div(const(1000), add(x(), const(130))), 8, 16)
    assert helium_body(divided, {}) is None
    starts = list(range(-30000, 30000, 400))
    tree = Kernel(search_tree(x(), starts), 16, 16)
    assert helium_body(tree, {}) is None
    few = Kernel(search_tree(x(), starts[::40]), 16, 16)
    assert helium_body(few, {}) is not None


def test_a_body_stands_in_the_header_of_a_kernel_without_a_form():
    spec = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
    one = next(candidates(Problem(activation("sigmoid"), spec, Limits(1)), "shift_pwl"))
    header = emit_header({"f": one})
    assert "#if EMBACT_TIER == EMBACT_TIER_HELIUM" in header
    assert "letp lr, 1b" in header


def test_a_random_kernel_that_cannot_be_built_would_be_an_error():
    with pytest.raises(EmbactError):
        Kernel(add(x(), const(1)), 8, 8)


def test_the_text_does_not_depend_on_how_python_hashes(tmp_path):
    script = (
        "from embact.activations import activation\n"
        "from embact.emit.header import emit_header\n"
        "from embact.fit.problem import Limits, Options, Problem\n"
        "from embact.fit.search import candidates\n"
        "from embact.grid import Grid, QuantSpec\n"
        "spec = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))\n"
        "problem = Problem(activation('sigmoid'), spec, Limits(1), Options(terms=2))\n"
        "for one in candidates(problem, 'shift_pwl'):\n"
        "    print(emit_header({'f': one}))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={k: v for k, v in os.environ.items() if not k.startswith("COV")}
            | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=tmp_path,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2", "3", "5")
    }
    assert len(texts) == 1
    assert b"dlstp" in texts.pop()
