"""Lines of cells: whether an int16 line serves a cell, against trying all of them."""

import numpy as np

from embact.fit.cells import line_of


def enumerated(at, least, to, most):
    """Return whether some line serves, by trying each slope and base."""
    for slope in range(-32768, 32768):
        low = max(least - ((slope * at) >> 16))
        high = min(most - ((slope * to) >> 16))
        if low <= high and low <= 32767 and high >= -32768:
            return True
    return False


def test_a_line_is_found_exactly_where_enumeration_finds_one():
    rng = np.random.default_rng(0)
    outcomes = []
    for i in range(6):
        at = (np.arange(8) << int(rng.integers(8, 13))) + 1
        middle = (int(rng.integers(-32768, 32768)) * at >> 16) + (i % 2) * rng.integers(-1, 2, 8)
        least, most = middle - rng.integers(0, 2, 8), middle + rng.integers(0, 2, 8)
        found = line_of(at, least, at, most)
        every = enumerated(at, least, at, most)
        assert (found is not None) == every
        if found is not None:
            y = found[0] + (found[1] * at >> 16)
            assert np.all((least <= y) & (y <= most))
        outcomes.append(every)
    assert {*outcomes} == {False, True}
