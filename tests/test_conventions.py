import pytest

from embact.activations import activation
from embact.conventions import output_grid
from embact.errors import EmbactError
from embact.grid import Grid

WIDE = Grid(0.0625, 0, 8)


@pytest.mark.parametrize(
    ("name", "bits", "expected"),
    [
        ("sigmoid", 8, Grid(1 / 256, -128, 8)),
        ("tanh", 8, Grid(1 / 128, 0, 8)),
        ("sigmoid", 16, Grid(1 / 32768, 0, 16)),
        ("tanh", 16, Grid(1 / 32768, 0, 16)),
    ],
)
def test_tflites_fixed_outputs(name, bits, expected):
    assert output_grid(activation(name), WIDE, bits) == expected


def test_other_outputs_span_the_values_that_occur():
    assert output_grid(activation("relu"), WIDE, 8) == Grid(127 / 16 / 255, -128, 8)
    assert output_grid(activation("identity"), WIDE, 16) == Grid(8 / 32767, 0, 16)
    leaky = output_grid(activation("leaky_relu", alpha=1.0), Grid(0.5, 127, 8), 8)
    assert leaky == Grid(0.5, 127, 8), "all values below zero: the range is widened to hold it"


def test_an_output_that_is_always_zero_has_no_scale():
    with pytest.raises(EmbactError, match="relu is 0 on the whole input range"):
        output_grid(activation("relu"), Grid(0.5, 127, 8), 8)
