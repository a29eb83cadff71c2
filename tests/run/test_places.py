"""What is compared on a place is what users of a header get there."""

import pytest

from embact.activations import activation
from embact.cores import CORES, HOST
from embact.emit.header import emit_header
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
from embact.run.places import difference_on

M4 = CORES["cortex-m4"]
NAME = "embact_sigmoid_s8"


@pytest.fixture(scope="module")
def sigmoid():
    spec = QuantSpec(Grid(0.0625, 0, 8), Grid(1 / 256, -128, 8))
    return fit(Problem(activation("sigmoid"), spec, Limits(0), Options(fold=False)), "lut")


def edited(sigmoid, old, new):
    text = emit_header({NAME: sigmoid})
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.parametrize("core", [HOST, M4], ids=["host", "cortex-m4"])
def test_code_for_size_is_compared_too(core, sigmoid, tools_for):
    if core != HOST:
        tools_for(core)
    call = "embact_loop_lut_s8(input, embact_sigmoid_s8_lut, output, size);"
    text = edited(sigmoid, call, f"if (sizeof(compact) == 1) {{ size /= 2; }}\n    {call}")
    text = text.replace(
        "static inline void embact_sigmoid_s8(",
        "#ifdef EMBACT_COMPACT\ntypedef char compact;\n#else\ntypedef int32_t compact;\n#endif\n"
        "static inline void embact_sigmoid_s8(",
    )
    assert difference_on(core, emit_header({NAME: sigmoid}), NAME, sigmoid.kernel) is None
    told = difference_on(core, text, NAME, sigmoid.kernel)
    assert told.startswith("at -Os, ")
    assert "depends on how it is called" in told


def test_a_header_that_takes_another_tiers_code_is_refused(sigmoid, tools_for, refuses):
    tools_for(M4)
    dsp = "#define EMBACT_TIER EMBACT_TIER_DSP\n"
    wrong = edited(sigmoid, dsp, "#define EMBACT_TIER EMBACT_TIER_PORTABLE\n")
    with refuses("does not take cortex-m4 for a core of tier dsp"):
        difference_on(M4, wrong, NAME, sigmoid.kernel)
