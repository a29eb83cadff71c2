import dataclasses

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact import ir
from embact.grid import all_codes
from embact.ir import Op, Table, const, evaluate, x
from embact.kernel import Kernel, Program, Step, kernel_of

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=150)
WIDTHS = [(8, 8), (8, 16), (16, 8), (16, 16)]
IDENTITY = Table("lut", tuple(range(-128, 128)))
POSITION = ir.add(x(), const(128))


def renamed(program):
    """Return the same program under other names."""
    tables = tuple(Table(f"other{i}", table.values) for i, table in enumerate(program.tables))
    steps = tuple(
        dataclasses.replace(step, name=f"renamed{i}") for i, step in enumerate(program.steps)
    )
    return dataclasses.replace(program, tables=tables, steps=steps)


@pytest.mark.parametrize("widths", WIDTHS)
@fixed
@given(data=st.data())
def test_simplified_kernel_keeps_the_expressions_meaning(expressions, widths, data):
    root = data.draw(expressions.dags(*widths))
    kernel = Kernel(root, *widths)
    assert np.array_equal(kernel.outputs, evaluate(root, all_codes(widths[0])))
    assert np.array_equal(kernel.outputs, evaluate(kernel.expression, all_codes(widths[0])))
    assert len(kernel.nodes) <= len(list(ir.topological(root)))


@fixed
@given(data=st.data())
def test_kernel_means_what_plain_integers_mean(expressions, data):
    root = data.draw(expressions.dags())
    kernel = Kernel(root, 8, 8)
    assert kernel.outputs.tolist() == [expressions.meaning(root, c) for c in range(-128, 128)]


def test_random_expressions_reach_every_operation(expressions):
    kernels = [Kernel(expressions.dag(seed), 8, 8) for seed in range(150)]
    assert {node.op for kernel in kernels for node in kernel.nodes} == set(Op)


@fixed
@given(data=st.data())
def test_range_of_a_node_is_its_least_and_greatest_value(expressions, data):
    kernel = Kernel(data.draw(expressions.dags()), 8, 8)
    for node in kernel.nodes:
        values = evaluate(node, all_codes(8))
        assert kernel.range_of(node) == (values.min(), values.max())


@pytest.mark.parametrize("widths", WIDTHS)
@settings(fixed, max_examples=50)
@given(data=st.data())
def test_program_survives_json(expressions, widths, data):
    kernel = Kernel(data.draw(expressions.dags(*widths)), *widths)
    text = msgspec.json.encode(kernel.program)
    again = kernel_of(msgspec.json.decode(text, type=Program))
    assert again.program == kernel.program
    assert again.digest == kernel.digest
    assert np.array_equal(again.outputs, kernel.outputs)
    assert again.table_bytes == kernel.table_bytes


@fixed
@given(data=st.data())
def test_digest_does_not_depend_on_names(expressions, data):
    kernel = Kernel(data.draw(expressions.dags()), 8, 8)
    assert kernel_of(renamed(kernel.program)).digest == kernel.digest


def test_digest_depends_on_which_table_is_read():
    def kernel(third):
        tables = [Table(f"t{i}", (3 + i, 9 - i, i * i, 7)) for i in range(2)]
        indices = [ir.shr(ir.Node(Op.AND, (x(), const(3 << 2 * i))), 2 * i) for i in range(3)]
        first, second = ir.lookup(tables[0], indices[0]), ir.lookup(tables[1], indices[1])
        other = ir.lookup(tables[third], indices[2])
        return Kernel(ir.add(ir.add(first, second), other), 8, 8).digest

    assert kernel(0) != kernel(1)


def test_digest_depends_on_everything_else():
    def lut(values=(1, 2), step=1, bits=(8, 8)):
        return Kernel(ir.lookup(Table("t", values), ir.shr(POSITION, 8 - step)), *bits).digest

    digests = [lut(), lut((1, 3)), lut((2, 1)), lut((1, 2, 3, 4), 2), lut(bits=(8, 16))]
    digests.append(Kernel(ir.sub(x(), x()), 8, 8).digest)
    assert len(set(digests)) == len(digests)


# Value numbering


@pytest.mark.parametrize(
    "node",
    [
        ir.lookup(IDENTITY, POSITION),
        ir.add(x(), const(0)),
        ir.sub(POSITION, const(128)),
        ir.saturate(x(), 8),
        ir.shr(ir.shl(x(), 5), 5),
        ir.select_less(x(), const(-128), const(3), x()),
        ir.clamp(ir.clamp(x(), -128, 127), -1000, 1000),
    ],
)
def test_whatever_equals_the_input_becomes_the_input(node):
    kernel = Kernel(node, 8, 8)
    assert [one.op for one in kernel.nodes] == [Op.INPUT]
    assert kernel.table_bytes == 0


@pytest.mark.parametrize(
    "node",
    [ir.sub(x(), x()), ir.mul(x(), const(0)), ir.shr(POSITION, 8), ir.add(const(-1), const(1))],
)
def test_whatever_never_changes_becomes_a_constant(node):
    kernel = Kernel(node, 8, 8)
    assert [(one.op, one.value) for one in kernel.nodes] == [(Op.CONST, 0)]


def test_equal_subexpressions_become_one_node():
    doubled = [ir.add(x(), x()), ir.mul(const(2), x()), ir.shl(x(), 1)]
    kernel = Kernel(ir.shr(ir.add(ir.add(doubled[0], doubled[1]), doubled[2]), 3), 8, 8)
    assert [one.op.value for one in kernel.nodes] == ["INPUT", "ADD", "ADD", "ADD", "SHR"]


# What a kernel refuses


@pytest.mark.parametrize(
    ("node", "parts"),
    [
        (ir.mul(ir.shl(x(), 16), const(257)), ["MUL overflows", "int32"]),
        (ir.shr(ir.shl(x(), 25), 25), ["SHL overflows"]),
        (ir.sub(const(0), const(ir.INT32_MIN)), ["SUB overflows"]),
        (ir.lookup(IDENTITY, x()), ["index into table lut", "0..255"]),
        (ir.lookup(IDENTITY, ir.add(x(), const(129))), ["index into table lut", "1..256"]),
        (POSITION, ["range of a kernel's result", "0..255", "-128..127 (int8)"]),
        (const(-129), ["range of a kernel's result"]),
    ],
)
def test_overflow_wrong_index_or_wide_result_is_refused(refuses, node, parts):
    with refuses(*parts):
        Kernel(node, 8, 8)


@pytest.mark.parametrize(("bits", "out_bits"), [(4, 8), (8, 32), (32, 8), (0, 0)])
def test_other_widths_are_refused(refuses, bits, out_bits):
    with refuses("bit width of a kernel", "8, 16"):
        Kernel(const(0), bits, out_bits)


def test_two_tables_of_one_name_are_refused(refuses):
    def entry(values):
        return ir.lookup(Table("t", values), ir.shr(POSITION, 7))

    with refuses("two tables", "one name", "t, t"):
        Kernel(ir.add(entry((1, 2)), entry((3, 5))), 8, 8)


def step(op, *args, value=0, table=-1):
    return Step(op, args, value, table)


@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        ([], ["no steps"]),
        ([step("NOP")], ["operation", "'NOP'", "step 0"]),
        ([step("input")], ["operation", "'input'"]),
        ([step("INPUT"), step("ADD", 0, 1)], ["operand", "earlier steps", "step 1"]),
        ([step("INPUT"), step("ADD", 0, 2), step("INPUT")], ["operand", "step 1"]),
        ([step("INPUT"), step("ADD", 0, -1)], ["operand"]),
        ([step("INPUT"), step("ADD", 0)], ["operands of ADD"]),
        ([step("INPUT"), step("LOOKUP", 0)], ["table of LOOKUP"]),
        ([step("INPUT"), step("LOOKUP", 0, table=1)], ["table", "-1..0", "step 1"]),
        ([step("INPUT"), step("LOOKUP", 0, table=-2)], ["table", "step 1"]),
        ([step("INPUT", table=0)], ["table of INPUT"]),
        ([step("CONST", value=1 << 40)], ["value of CONST"]),
        ([step("INPUT"), step("LOOKUP", 0, table=0)], ["index into table t", "-128..127"]),
        ([step("INPUT"), Step("SHR", (0,), 1, -1, "No name")], ["name of a node"]),
    ],
)
def test_ill_formed_program_is_refused(refuses, steps, parts):
    with refuses(*parts):
        kernel_of(Program(8, 8, (Table("t", (1, 2)),), tuple(steps)))


# Use


def test_call_gives_the_outputs_of_the_codes_in_their_shape():
    kernel = Kernel(ir.clamp(ir.sub(const(0), x()), -128, 127), 8, 8)
    assert kernel(np.array([[-128, 0], [5, 127]])).tolist() == [[127, 0], [-5, -127]]


@pytest.mark.parametrize("code", [-129, 128])
def test_call_refuses_codes_outside_the_input_type(refuses, code):
    with refuses("input code", "-128..127"):
        Kernel(x(), 8, 8)(np.array([0, code]))


def test_outputs_cannot_be_written():
    with pytest.raises(ValueError, match="read-only"):
        Kernel(x(), 8, 8).outputs[0] = 1


def test_table_bytes_count_each_table_once():
    table = Table("t", tuple(range(0, 512, 2)))
    entry, shifted = ir.lookup(table, POSITION), ir.lookup(table, ir.sub(const(127), x()))
    assert Kernel(ir.shr(ir.mul(entry, shifted), 10), 8, 16).table_bytes == 512
