import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import CATALOGUE, activation
from embact.certify import Histogram, certify
from embact.conventions import output_grid
from embact.fit.line import FREE
from embact.fit.lut import MOST_BYTES, lut
from embact.fit.problem import Limits, Options, Problem
from embact.fit.twolevel import WIDTHS, Layout, Tables, expression, greatest, smallest, solve
from embact.grid import Grid, QuantSpec
from embact.ir import Op, Table, add, const, evaluate, lookup, x
from embact.kernel import Kernel

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=25)
SMALL, FINE, COARSE = 2.0**-126, 1e-9, 1e9


def build(act, spec, budget=0, **options):
    problem = Problem(act, spec, Limits(budget), Options(**options))
    return [(one, certify(act, spec, one.kernel)) for one in lut(problem)]


def tanh8(scale=1 / 32):
    return activation("tanh"), QuantSpec(Grid(scale, 0, 8), Grid(1 / 128, 0, 8))


def sigmoid8(scale):
    return activation("sigmoid"), QuantSpec(Grid(scale, 0, 8), Grid(1 / 256, -128, 8))


# One entry for each input


@pytest.mark.parametrize("out_bits", [8, 16])
@pytest.mark.parametrize("name", CATALOGUE)
def test_every_table_without_a_budget_is_correctly_rounded(name, out_bits, spec_of):
    act = activation(name)
    spec = spec_of(act, -3.7, 6.1, 8, out_bits)
    found = build(act, spec)
    assert found[0][0].parameters == {"entries": 256}
    for candidate, proved in found:
        assert (proved.max_error_codes, proved.not_correctly_rounded) == (0, 0)
        assert np.array_equal(candidate.kernel.outputs, Problem(act, spec).truth.codes)


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_table_is_within_budget_and_smaller_than_those_before(name, spec_of):
    act = activation(name)
    found = build(act, spec_of(act, -6, 9), 2)
    sizes = [candidate.kernel.table_bytes for candidate, _ in found]
    assert sizes[0] == (256 if name != "identity" else 0)  # a kernel that is x reads no table
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(proved.max_error_codes <= 2 for _, proved in found)


def test_a_changed_entry_is_seen():
    act, spec = tanh8()
    values = Problem(act, spec).truth.codes.tolist()
    values[77] += 1
    kernel = Kernel(lookup(Table("lut", tuple(values)), add(x(), const(128))), 8, 8)
    assert certify(act, spec, kernel).not_correctly_rounded == 1


def test_constant_ends_of_a_saturating_activation_take_one_entry_each():
    act, spec = sigmoid8(1 / 8)
    truth = Problem(act, spec).truth.codes
    inside = np.count_nonzero((truth > truth.min()) & (truth < truth.max()))
    assert inside < 100
    assert [one.parameters["entries"] for one, _ in build(act, spec, fold=False)] == [
        256,
        inside + 2,
    ]


@pytest.mark.parametrize("budget", [1, 2, 5])
def test_ends_are_as_short_as_the_budget_allows_and_the_rest_is_correctly_rounded(budget):
    act, spec = activation("elu"), QuantSpec(Grid(0.06, 0, 8), Grid(0.06, 0, 8))
    truth = Problem(act, spec).truth.codes
    found = build(act, spec, budget)
    outputs = next(one.kernel.outputs for one, proved in found if proved.max_error_codes)
    sizes = [one.parameters["entries"] for one, proved in found if not proved.max_error_codes]
    head = max(n for n in range(257) if np.ptp([*truth[:n], truth[0]]) <= 2 * budget)
    tail = max(n for n in range(257) if np.ptp([*truth[256 - n :], truth[-1]]) <= 2 * budget)
    assert np.array_equal(outputs[head:-tail], truth[head:-tail])
    assert np.ptp(outputs[:head]) == np.ptp(outputs[-tail:]) == 0
    assert (
        min(sizes)
        > 258 - head - tail
        == next(one.parameters["entries"] for one, proved in found if proved.max_error_codes)
    )


@pytest.mark.parametrize("zero", [0, -128, 127, 5])
@pytest.mark.parametrize(
    "name", ["tanh", "softsign", "sqnl", "identity", "sigmoid", "hard_sigmoid"]
)
def test_a_symmetry_halves_the_table_and_keeps_it_correctly_rounded(name, zero):
    act = activation(name)
    grid = Grid(1 / 128, zero, 8)
    grid_out = Grid(1 / 256, -128, 8) if act.symmetry == "point" else Grid(1 / 128, 0, 8)
    found = build(act, QuantSpec(grid, grid_out), fold=True)
    candidate, proved = found[0]
    assert proved.not_correctly_rounded == 0
    assert candidate.parameters["folded"] == 1
    assert candidate.parameters["entries"] == max(128 + zero, 127 - zero) + 1
    assert {table.bits for table in candidate.kernel.tables} <= {8}  # though |-128| is not an int8


def test_negated_entries_of_a_folded_table_cost_nothing():
    act, spec = tanh8()  # -128 is a result, 128 is not an int8
    candidate, _ = build(act, spec, fold=True)[0]
    ops = [node.op for node in candidate.kernel.nodes]
    assert candidate.kernel.table_bytes == 129
    assert ops.count(Op.ADD) == 0


def test_gated_activations_fold_within_a_code(spec_of):
    for name in ("silu", "gelu", "hard_swish"):
        act = activation(name)
        found = build(act, spec_of(act), 1, fold=True)
        assert all(proved.max_error_codes <= 1 for _, proved in found)
        assert found[0][0].kernel.table_bytes <= 140


def test_fold_option_restricts_to_or_excludes_folded_tables():
    act, spec = tanh8()
    for fold in (True, False):
        found = build(act, spec, 1, fold=fold)
        assert len(found) > 1
        assert {"folded" in candidate.parameters for candidate, _ in found} == {fold}
    assert build(activation("elu"), spec, 1, fold=True) == []


def test_codes_that_do_not_occur_are_free():
    act, spec = tanh8()
    counts = np.zeros(256, dtype=int)
    counts[100:140] = 1
    histogram = Histogram(tuple(counts.tolist()))
    problem = Problem(act, spec, Limits(1, on_support=True), histogram=histogram)
    found = [(one, certify(act, spec, one.kernel, histogram)) for one in lut(problem)]
    assert all(proved.max_error_codes_on_support <= 1 for _, proved in found)
    whole = min(one.kernel.table_bytes for one, _ in build(act, spec, 1))
    assert found[-1][0].kernel.table_bytes < whole


# Two levels: the solver


def outputs(tables):
    """What a pair of tables gives for every index, in plain Python."""
    layout, given_ = tables.layout, []
    for position in range(layout.size):
        index = position // 2**layout.drop
        x0, rest = divmod(index, 2 ** (layout.middle + layout.low))
        x1, x2 = divmod(rest, 2**layout.low)
        total = tables.coarse[x0 * 2**layout.middle + x1]
        if layout.low:
            total += tables.fine[x0 * 2**layout.low + x2]
        given_.append(total // 2**layout.shift + layout.offset)
    return np.array(given_)


def serves(tables, low, high):
    """Whether tables have the entries and widths of their layout and stay inside the bounds."""
    layout = tables.layout
    widths = Table("a", tables.coarse).bits <= layout.coarse_bits and (
        not tables.fine or Table("b", tables.fine).bits <= layout.fine_bits
    )
    sizes = (len(tables.coarse), len(tables.fine)) == (layout.coarse, layout.fine)
    given_ = outputs(tables)
    return widths and sizes and bool(np.all((low <= given_) & (given_ <= high)))


def random_bounds(rng, shape, spread, slack):
    low = rng.integers(-spread, spread + 1, shape)
    high = low + rng.integers(0, slack + 1, shape)
    low[rng.random(shape) < 0.1] = -FREE
    high[rng.random(shape) < 0.1] = FREE
    return low, high


def test_solver_decides_random_blocks_as_trying_all_entries_does():
    rng, verdicts = np.random.default_rng(3), []
    box, other = (-2, 2), (-1, 2)
    for rows, columns in itertools.product((1, 2, 3), repeat=2):
        every = np.array(list(itertools.product(range(-2, 3), repeat=rows)))
        shared = np.array(list(itertools.product(range(-1, 3), repeat=columns)))
        for _ in range(25):
            ends = random_bounds(rng, (1, rows, columns), 2, 2)
            low, high = (np.clip(end, -99, 99).astype(np.int32) for end in ends)
            sums = every[:, None, :, None] - shared[None, :, None, :]
            fits = np.all((low <= sums) & (sums <= high), axis=(2, 3))
            found = greatest(low, high, box, other)
            assert (found is not None) == fits.any()
            verdicts.append(bool(fits.any()))
            if found:
                a, b = np.nonzero(fits)
                assert np.array_equal(found[0][0], every[a].max(axis=0))
                assert np.array_equal(found[1][0], shared[b].max(axis=0))
    assert 0.2 < np.mean(verdicts) < 0.8  # both answers are tried


def test_solver_decides_each_block_for_itself():
    rng = np.random.default_rng(4)
    low = rng.integers(-3, 4, (40, 4, 4)).astype(np.int32)
    high = low + 4
    alone = [greatest(low[k : k + 1], high[k : k + 1], (-9, 9), (-9, 9)) for k in range(40)]
    good = [k for k in range(40) if alone[k]]
    assert 0 < len(good) < 40
    together = greatest(low[good], high[good], (-9, 9), (-9, 9))
    assert np.array_equal(together[0], np.concatenate([alone[k][0] for k in good]))
    assert greatest(low, high, (-9, 9), (-9, 9)) is None


def test_a_chain_of_constraints_as_long_as_the_block_is_followed_to_its_end():
    size = 16  # a0 - b0 <= -1, b0 - a1 <= 0, a1 - b1 <= -1, ..: one path through every node
    low = np.full((1, size, size), -99, dtype=np.int32)
    high = np.full((1, size, size), 99, dtype=np.int32)
    steps = np.arange(size)
    high[0, steps, steps], low[0, steps[1:], steps[:-1]] = -1, 0
    a, _ = greatest(low, high, (-size, 0), (-99, 0))
    assert a[0].tolist() == list(range(-size, 0))
    assert greatest(low, high, (1 - size, 0), (-99, 0)) is None
    low[0, 0, size - 1] = 0  # closes the chain to a cycle of negative length
    assert greatest(low, high, (-(1 << 20), 0), (-(1 << 20), 0)) is None


def test_smallest_tables_are_the_smallest_of_all_layouts():
    rng, split = np.random.default_rng(5), 0
    for size in (1, 2, 5, 13, 16, 29, 32):
        centre = np.round(4 * np.cumsum(rng.random(size))).astype(np.int64) - 40
        low, high = centre - 1, centre + 1
        low[0], high[-1] = -FREE, FREE
        every = [
            Layout(size, drop, middle, low_bits, coarse, fine, shift, offset)
            for drop, middle, low_bits in itertools.product(range(6), repeat=3)
            for coarse, fine in itertools.product(WIDTHS, repeat=2)
            for shift, offset in ((0, 0), (1, 0), (2, 0), (4, 0), (0, -20), (1, -20))
            if drop + middle + low_bits <= 5 and (low_bits or not middle + shift)
        ]
        every.sort(key=lambda layout: layout.bytes)
        best = next(found for layout in every if (found := solve(low, high, layout)))
        found = [smallest(low, high, MOST_BYTES, two=two) for two in (False, True)]
        found = [one for one in found if one]
        assert all(serves(one, low, high) for one in (best, *found))
        assert min(one.layout.bytes for one in found) == best.layout.bytes
        assert smallest(low, high, best.layout.bytes) is None
        split += best.layout.low > 0
    assert split > 2


def test_tables_that_leave_the_bounds_are_seen():
    rng = np.random.default_rng(6)
    centre = np.cumsum(rng.integers(0, 3, 64))
    low, high = centre - 1, centre + 1
    tables = smallest(low, high, 60)
    assert serves(tables, low, high)
    for name in ("coarse", "fine"):
        entries = getattr(tables, name)
        for position in range(len(entries)):
            changed = list(entries)
            changed[position] += 3 << tables.layout.shift
            wrong = dataclasses.replace(tables, **{name: tuple(changed)})
            assert not serves(wrong, low, high)


def test_expression_is_the_formula_and_reads_every_entry():
    rng = np.random.default_rng(7)
    for size in (*range(1, 40), 200, 256):
        for drop, middle, low in ((0, 0, 0), (2, 0, 0), (0, 2, 1), (1, 1, 2), (0, 0, 3), (0, 3, 2)):
            layout = Layout(size, drop, middle, low, 16, 8, shift=int(low > 1), offset=low)
            coarse = tuple(rng.integers(-999, 999, layout.coarse).tolist())
            fine = tuple(rng.integers(-99, 99, layout.fine).tolist())
            tables = Tables(layout, coarse, fine)
            given_ = evaluate(expression(x(), tables), np.arange(size))
            assert np.array_equal(given_, outputs(tables))


# Two levels: int16 activations

BYTES = {  # int8 outputs at 1, then int16 outputs at 0, 1, 2 codes; input Grid(2**-12, 0, 16)
    "sigmoid": (98, 12225, 4012, 2563),
    "tanh": (194, 25644, 5214, 3688),
    "gelu": (97, 33283, 3075, 2563),
    "silu": (98, MOST_BYTES, 3072, 2051),
}


@pytest.mark.parametrize("name", BYTES)
def test_tables_of_int16_inputs_take_few_bytes(name):
    act, grid = activation(name), Grid(2**-12, 0, 16)
    for (out_bits, budget), most in zip(
        ((8, 1), (16, 0), (16, 1), (16, 2)), BYTES[name], strict=True
    ):
        found = build(act, QuantSpec(grid, output_grid(act, grid, out_bits)), budget)
        assert all(proved.max_error_codes <= budget for _, proved in found)
        sizes = [one.kernel.table_bytes for one, _ in found]
        assert min(sizes, default=MOST_BYTES) <= most
        assert sizes == sorted(set(sizes), reverse=True)
        assert all(table.bits <= out_bits for one, _ in found for table in one.kernel.tables)


def test_an_int8_output_of_an_int16_input_is_exact_in_one_kilobyte():
    act = activation("sigmoid")
    spec = QuantSpec(Grid(2**-12, 0, 16), Grid(1 / 256, -128, 8))
    candidate, proved = build(act, spec, fold=True)[-1]
    assert proved.not_correctly_rounded == 0
    assert candidate.kernel.table_bytes < 1024


def test_the_layout_that_is_taken_has_its_least_error():
    act, spec = activation("tanh"), QuantSpec(Grid(2**-12, 0, 16), Grid(2**-15, 0, 16))
    names = {"drop": "dropped_bits", "middle": "middle_bits", "low": "low_bits", "shift": "shift"}
    seen = 0
    for candidate, proved in build(act, spec, 40, fold=False):
        shape = {field: candidate.parameters.get(name, 0) for field, name in names.items()}
        widths = [table.bits for table in candidate.kernel.tables]
        layout = Layout(65536, **shape, coarse_bits=widths[0], fine_bits=widths[-1])
        if layout.coarse + layout.fine == candidate.parameters["entries"]:  # the ends are not cut
            seen += 1
            for error, possible in (
                (proved.max_error_codes, True),
                (proved.max_error_codes - 1, False),
            ):
                bounds = Problem(act, spec, Limits(error)).bounds()
                assert (solve(bounds.low, bounds.high, layout) is not None) == possible
    assert seen > 1


def test_results_inside_the_codes_are_not_clamped():
    act, spec = activation("sigmoid"), QuantSpec(Grid(2**-12, 0, 16), Grid(2**-15, 0, 16))
    for candidate, _ in build(act, spec, 1, fold=False):
        assert Op.SAT not in {node.op for node in candidate.kernel.nodes}


def test_a_budget_in_lsb_is_kept(spec_of):
    act = activation("tanh")
    for bits, budget in ((8, 0.6), (8, 1.5), (16, 1.25)):
        spec = spec_of(act, bits=bits, out_bits=bits)
        found = list(lut(Problem(act, spec, max_error_lsb=budget)))
        assert found
        assert all(certify(act, spec, one.kernel).max_error_lsb <= budget for one in found)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_budget_that_nothing_meets_leaves_correctly_rounded_tables_only(bits, spec_of):
    act = activation("tanh")
    spec = spec_of(act, bits=bits, out_bits=8)
    found = [certify(act, spec, one.kernel) for one in lut(Problem(act, spec, max_error_lsb=0.1))]
    assert all(proved.not_correctly_rounded == 0 for proved in found)
    assert bool(found) == (bits == 8)


# Any quantisation


@pytest.mark.parametrize("budget", [0, 1, 255])
@pytest.mark.parametrize(
    ("name", "grid_in", "grid_out"),
    [
        ("relu", Grid(0.1, 127, 8), Grid(0.1, 0, 8)),
        ("relu", Grid(0.1, 32767, 16), Grid(0.1, 0, 8)),
        ("sigmoid", Grid(SMALL, 0, 8), Grid(1 / 256, -128, 8)),
        ("identity", Grid(1.0, 0, 8), Grid(COARSE, 5, 8)),
        ("tanh", Grid(0.05, 0, 8), Grid(FINE, 0, 8)),
        ("tanh", Grid(0.05, 0, 16), Grid(SMALL, 0, 16)),
        ("sigmoid", Grid(0.05, 0, 8), Grid(FINE, 0, 8)),
        ("sigmoid", Grid(0.05, 0, 8), Grid(SMALL, -32768, 16)),
        ("silu", Grid(0.05, 0, 16), Grid(FINE, 0, 8)),
        ("hard_swish", Grid(3e38, 0, 8), Grid(SMALL, -128, 8)),
        ("gelu", Grid(0.03, -128, 8), Grid(0.03, -128, 8)),
        ("gelu", Grid(0.03, 127, 8), Grid(0.001, 127, 8)),
        ("elu", Grid(0.03, -128, 8), Grid(0.03, 127, 8)),
        ("leaky_relu", Grid(0.001, -32768, 16), Grid(0.1, -128, 8)),
        ("softsign", Grid(0.05, 127, 8), Grid(2.0**-15, 32767, 16)),
        ("swish", Grid(0.05, 0, 8), Grid(0.05, -32768, 16)),
        ("sigmoid", Grid(0.001, 32767, 16), Grid(2.0**-15, -32768, 16)),
    ],
)
def test_degenerate_quantisations_are_served_within_budget(name, grid_in, grid_out, budget):
    found = build(activation(name), QuantSpec(grid_in, grid_out), budget)
    assert found
    assert all(proved.max_error_codes <= budget for _, proved in found)


@fixed
@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.sampled_from([8, 16]),
    st.tuples(st.floats(-3, 3), st.floats(-4, 2)),
    st.tuples(st.integers(-128, 127), st.integers(-128, 127)),
    st.integers(0, 3),
)
def test_any_int8_quantisation_is_served_within_budget(name, bits, powers, zeros, budget):
    grid_in, grid_out = (
        Grid(10.0**p, z, b) for p, z, b in zip(powers, zeros, (8, bits), strict=True)
    )
    spec = QuantSpec(grid_in, grid_out)
    found = build(activation(name), spec, budget)
    assert all(proved.max_error_codes <= budget for _, proved in found)
    assert found[0][1].not_correctly_rounded == 0


def test_no_budget_needs_more_than_a_constant():
    act, spec = tanh8()
    candidate, _ = build(act, spec, 255)[-1]
    assert [node.op for node in candidate.kernel.nodes] == [Op.CONST]


@pytest.mark.parametrize("bits", [8, 16])
def test_the_same_problem_has_the_same_tables(bits):
    act, spec = activation("gelu"), QuantSpec(Grid(0.03, 0, bits), Grid(0.03, 0, 8))
    digests = [[one.kernel.digest for one, _ in build(act, spec, 2)] for _ in range(2)]
    assert digests[0] == digests[1] != []
