"""What tests of families share."""

import pytest

from embact.activations import activation
from embact.conventions import output_grid
from embact.grid import Grid, QuantSpec


@pytest.fixture(scope="session")
def conventional():
    """Build int8 grids from a name and an end: -end..end around code 0, and TFLite's output."""

    def spec(name, end):
        source = Grid(end / 128, 0, 8)
        return QuantSpec(source, output_grid(activation(name), source, 8))

    return spec
