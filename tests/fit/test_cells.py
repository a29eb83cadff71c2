"""Lines of cells: what serves and what does not, against trying all of them."""

import dataclasses

import numpy as np
import pytest

from embact.fit.cells import Cells, line_of, widest_cells
from embact.fit.line import Intervals
from embact.kernel import Kernel

SLOPES = np.arange(-32768, 32768)
CODES = np.arange(-32768, 32768)


def enumerated(at, least, to, most):
    """Return whether some line serves, by trying each slope and base."""
    low = (least - (SLOPES[:, None] * at >> 16)).max(axis=1)
    high = (most - (SLOPES[:, None] * to >> 16)).min(axis=1)
    return bool(np.any((low <= high) & (low <= 32767) & (high >= -32768)))


def agreement(find):
    """Return what was found of 40 random cells, after checking it against enumeration."""
    rng = np.random.default_rng(0)
    outcomes = []
    for i in range(40):
        at = (np.arange(8) << int(rng.integers(8, 13))) + 1
        middle = (int(rng.integers(-32768, 32768)) * at >> 16) + (i % 2) * rng.integers(-1, 2, 8)
        least, most = middle - rng.integers(0, 2, 8), middle + rng.integers(0, 2, 8)
        found = find(at, least, at, most)
        every = enumerated(at, least, at, most)
        assert (found is not None) == every
        if found is not None:
            y = found[0] + (found[1] * at >> 16)
            assert np.all((least <= y) & (y <= most))
        outcomes.append(every)
    return {*outcomes}


def test_a_line_is_found_exactly_where_enumeration_finds_one():
    assert agreement(line_of) == {False, True}


def refusing(*points):
    """Refuse two lines of three."""
    found = line_of(*points)
    return found if found is not None and found[1] % 3 == 0 else None


def one_off(*points):
    found = line_of(*points)
    return found and (found[0] + 2, found[1])


def always(*points):
    return line_of(*points) or (0, 0)


@pytest.mark.parametrize("find", [refusing, one_off, always])
def test_a_wrong_refusal_and_a_wrong_line_would_be_noticed(find):
    """Negative control."""
    with pytest.raises(AssertionError):
        agreement(find)


def outputs(cells):
    return Kernel(cells.result, 16, 16).outputs.astype(np.int64)


def made(k, n, m, seed):
    """Return random cells, of which those at the ends are flat if they are limited."""
    rng = np.random.default_rng(seed)
    bases = rng.integers(-20000, 20000, 1 << n)
    slopes = rng.integers(-32768 >> 2, 32767 >> 2, 1 << n)
    if n + k < 16:
        slopes[[0, -1]] = 0
    return Cells(k, m, n, tuple(bases.tolist()), tuple(slopes.tolist()))


@pytest.mark.parametrize(("k", "n"), [(13, 3), (11, 5), (9, 7), (12, 3), (9, 5)])
def test_the_widest_cells_are_those_that_outputs_were_made_of_and_serve_every_input(k, n):
    """Neighbouring random cells are on no line, nor is what is limited where it is not."""
    given = outputs(made(k, n, 15 - k, seed=k + n))
    found = widest_cells(Intervals(CODES, given - 1, given + 1), 4096)
    assert (found.spacing_log2, found.index_bits) == (k, n)
    assert np.all(np.abs(outputs(found) - given) <= 1)


def test_a_wrong_table_would_be_noticed():
    """Negative control: one base or one slope of a table, and one bit too few of the index."""
    cells = made(9, 7, 6, seed=0)
    given = outputs(cells)
    for name in ("bases", "slopes"):
        values = list(getattr(cells, name))
        values[77] += 300
        wrong = outputs(dataclasses.replace(cells, **{name: tuple(values)}))
        assert np.any(np.abs(wrong - given) > 1)


def test_no_cells_are_found_where_enumeration_finds_none():
    given = outputs(made(11, 5, 4, seed=3))
    assert widest_cells(Intervals(CODES, given - 1, given + 1), (4 << 5) - 1) is None
    torn = given + 30000 * (CODES == 5)  # which two neighbours in the least cells do not reach
    low, high = torn - 1, torn + 1
    assert widest_cells(Intervals(CODES, low, high), 4 << 15) is None
    two = slice(32768 + 4, 32768 + 6)
    for m in range(15):
        at = (np.arange(2) << m) + 1
        assert not enumerated(at, low[two], at, high[two])
    empty = np.where(CODES == 7, 32768, given)
    assert widest_cells(Intervals(CODES, empty, empty), 4096) is None
