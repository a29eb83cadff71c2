import dataclasses
import fractions
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact import ir
from embact.grid import all_codes
from embact.ir import INT32_MAX, INT32_MIN, Node, Op, Table, const, evaluate, x

CODES = all_codes(8)
CORNERS = [0, 1, -1, 2, -2, 127, -128, 32767, -32768, 65535, INT32_MIN, INT32_MIN + 1, INT32_MAX]
TABLE = Table("t", (5, -7, 11, 13))
fixed = settings(derandomize=True, database=None, deadline=None)


def is_int32(value):
    return INT32_MIN <= value <= INT32_MAX


def test_every_operation_has_an_arity_a_meaning_and_a_reading():
    assert set(ir.ARITY) == set(Op)
    assert set(ir.MEANING) == set(Op) - {Op.INPUT}
    assert len(Op) == 15


@pytest.mark.parametrize("op", [Op.ADD, Op.SUB, Op.MUL, Op.MULH, Op.AND, Op.MIN, Op.MAX])
def test_binary_operation_on_corners_is_the_integer_one_or_refused(expressions, refuses, op):
    refused = 0
    for a, b in itertools.product(CORNERS, CORNERS):
        node = Node(op, (const(a), const(b)))
        exact = expressions.PLAIN[op](node, a, b)
        if is_int32(exact):
            assert evaluate(node, CODES).tolist() == [exact] * 256
        else:
            refused += 1
            with refuses(f"{op.value} overflows", f"got {exact}..{exact}", "int32"):
                evaluate(node, CODES)
    assert (refused > 0) == (op in (Op.ADD, Op.SUB, Op.MUL))


def test_division_on_corners_rounds_towards_zero_or_is_refused(expressions, refuses):
    for a, b in itertools.product(CORNERS, CORNERS):
        node = ir.div(const(a), const(b))
        if b >= 1:
            exact = expressions.PLAIN[Op.DIV](node, a, b)
            assert exact == math.trunc(fractions.Fraction(a, b))
            assert evaluate(node, CODES).tolist() == [exact] * 256
        else:
            with refuses("divisor of DIV", f"got {b}..{b}", "at least 1"):
                evaluate(node, CODES)


def test_division_is_refused_if_a_single_input_gives_no_divisor(refuses):
    quotients = evaluate(ir.div(const(-1000), ir.add(x(), const(129))), CODES)
    assert quotients.tolist() == [-(1000 // (code + 129)) for code in CODES.tolist()]
    with refuses("divisor of DIV", "got 0..255"):
        evaluate(ir.div(const(-1000), ir.add(x(), const(128))), CODES)


@pytest.mark.parametrize(
    ("op", "values"), [(Op.SHL, (0, 1, 8, 30)), (Op.SHR, (0, 1, 8, 30, 31)), (Op.SAT, (2, 8, 32))]
)
def test_unary_operation_on_corners_is_the_integer_one_or_refused(expressions, refuses, op, values):
    for a, value in itertools.product(CORNERS, values):
        node = Node(op, (const(a),), value)
        exact = expressions.PLAIN[op](node, a)
        if is_int32(exact):
            assert evaluate(node, CODES).tolist() == [exact] * 256
        else:
            with refuses("SHL overflows", "int32"):
                evaluate(node, CODES)


def test_select_compares_strictly():
    for a, b in itertools.product(CORNERS, CORNERS):
        node = ir.select_less(const(a), const(b), const(1), const(2))
        assert evaluate(node, CODES)[0] == (1 if a < b else 2)


def test_lookup_reads_the_entry_of_each_index():
    node = ir.lookup(TABLE, Node(Op.AND, (x(), const(3))))
    assert evaluate(node, CODES).tolist() == [TABLE.values[code & 3] for code in CODES.tolist()]


@pytest.mark.parametrize(("offset", "got"), [(127, "-1..254"), (129, "1..256")])
def test_index_outside_the_table_is_refused(refuses, offset, got):
    table = Table("t", tuple(range(256)))
    with refuses("index into table t", f"got {got}", "0..255"):
        evaluate(ir.lookup(table, ir.add(x(), const(offset))), CODES)


def test_overflow_on_a_single_input_names_the_node(refuses):
    node = ir.named(ir.mul(x(), const(1 << 24)), "scaled")
    assert evaluate(node, CODES)[0] == INT32_MIN
    with refuses("MUL (scaled) overflows", f"got {-127 << 24}..{1 << 31}"):
        evaluate(ir.named(ir.mul(x(), const(-(1 << 24))), "scaled"), CODES)


def test_overflow_of_an_inner_node_is_refused_though_the_result_fits(refuses):
    with refuses("ADD overflows"):
        evaluate(ir.shr(ir.add(const(INT32_MAX), const(1)), 4), CODES)


@fixed
@given(st.integers(-300, 300), st.integers(-300, 300))
def test_clamp_limits_to_its_ends(low, high):
    outputs = evaluate(ir.clamp(x(), low, high), CODES)
    assert outputs.tolist() == [min(max(code, low), high) for code in CODES.tolist()]


@fixed
@given(st.lists(st.integers(-128, 127), max_size=20, unique=True).map(sorted))
def test_search_tree_counts_the_starts_not_above_the_input(starts):
    outputs = evaluate(ir.search_tree(x(), starts), CODES)
    assert outputs.tolist() == [sum(s <= code for s in starts) for code in CODES.tolist()]


def test_search_tree_takes_logarithmically_many_steps():
    def depth(node):
        return max(map(depth, node.args), default=0) + 1

    assert depth(ir.search_tree(x(), list(range(100)))) == 7 + 1


def test_evaluate_broadcasts_a_constant():
    assert evaluate(const(3), CODES).shape == CODES.shape


def test_topological_puts_operands_first_and_each_node_once():
    shared = ir.add(x(), const(1))
    root = ir.mul(shared, ir.sub(shared, shared))
    order = list(ir.topological(root))
    place = {id(node): i for i, node in enumerate(order)}
    assert len(order) == len(place) == 5
    assert all(place[id(arg)] < place[id(node)] for node in order for arg in node.args)
    assert order[-1] is root


def test_deep_expressions_do_not_exhaust_the_stack():
    node = x()
    for _ in range(20_000):
        node = ir.shr(node, 0)
    assert np.array_equal(evaluate(node, CODES), CODES)


@pytest.mark.parametrize("op", Op)
def test_wrong_number_of_operands_is_refused(refuses, op):
    table = TABLE if op is Op.LOOKUP else None
    value = ir.VALUE_RANGE.get(op, (0, 0))[0]
    with refuses(f"operands of {op.value}", f"allowed: {ir.ARITY[op]}"):
        Node(op, (x(),) * (ir.ARITY[op] + 1), value, table)


@pytest.mark.parametrize("op", Op)
def test_value_outside_its_range_is_refused(refuses, op):
    args, table = (x(),) * ir.ARITY[op], TABLE if op is Op.LOOKUP else None
    low, high = ir.VALUE_RANGE.get(op, (0, 0))
    assert Node(op, args, high, table).value == high
    for value in (low - 1, high + 1):
        with refuses(f"value of {op.value}", f"got {value}", f"{low}..{high}"):
            Node(op, args, value, table)


def test_lookup_alone_has_a_table(refuses):
    with refuses("table of LOOKUP"):
        Node(Op.LOOKUP, (x(),))
    with refuses("table of ADD"):
        Node(Op.ADD, (x(), x()), table=TABLE)


@pytest.mark.parametrize("name", ["Slope", "2nd", "a-b", "a b", "é", "_a", "a" * 64, "x;", "a\n"])
def test_names_that_are_no_identifiers_are_refused(refuses, name):
    with refuses("name of a node", "63 at most"):
        ir.named(x(), name)
    with refuses("name of a table", "63 at most"):
        Table(name, (1,))


def test_table_without_an_identifier_is_refused(refuses):
    with refuses("name of a table"):
        Table("", (1,))


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        ((0,), 8),
        ((-128, 127), 8),
        ((128,), 16),
        ((-129,), 16),
        ((-32768, 32767), 16),
        ((32768,), 32),
        ((-32769,), 32),
        ((INT32_MIN, INT32_MAX), 32),
    ],
)
def test_table_takes_the_smallest_type_that_holds_it(values, bits):
    table = Table("t", values)
    assert (table.bits, table.bytes) == (bits, len(values) * bits // 8)


@pytest.mark.parametrize("values", [(), (INT32_MAX + 1,), (INT32_MIN - 1,), (0, 1 << 70)])
def test_bad_tables_are_refused(refuses, values):
    with refuses("table t"):
        Table("t", values)


def test_nodes_and_tables_are_frozen():
    for thing, field in ((x(), "value"), (TABLE, "values")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, field, 1)
