"""Hand-written assembly where arguments are equal constants: no operand may share a register."""

import re
from pathlib import Path

import pytest

from embact.activations import activation
from embact.cores import CORES
from embact.emit.header import emit_header
from embact.errors import CheckFailed
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
from embact.nn.library import library_files
from embact.run.cross import link
from embact.run.emulator import run_image

FOLDER = Path(__file__).parents[2] / "c_src"
MAIN = """
#include <stdint.h>
#include "embact_prelu_s8_c.h"
#include "embact_lut_s8_c.h"
#include "relu.h"
static int8_t table[256], codes[256], slopes[64], output[256], other[256];
static int8_t arena[512] __attribute__((aligned(4)));
int main(void)
{
    for (int i = 0; i < 256; ++i) {
        table[i] = (int8_t)(i * 7 + 3);
        codes[i] = (int8_t)(i * 5 - 100);
        slopes[i % 64] = (int8_t)(i % 64 * 3 - 90);
    }
    for (int i = 0; i < 512; ++i) {
        arena[i] = (int8_t)(i * 29);
    }
    embact_lut_s8(table, table, output, 256);
    for (int i = 0; i < 256; ++i) {
        if (output[i] != table[(uint8_t)table[i]]) {
            return 11;
        }
    }
    embact_prelu_s8(codes, 64, slopes, 0, 1, output, 0, 1 << 30, 1, 1 << 30, -13, 4, 64);
    for (int i = 0; i < 256; ++i) {
        embact_prelu_s8(codes + i, 64, slopes + i % 64, 0, 1, other + i, 0, 1 << 30, 1, 1 << 30,
                        -13, 1, 1);
        if (output[i] != other[i]) {
            return 12;
        }
    }
    embact_relu_s8(arena, arena + 256, 256);
    for (int i = 0; i < 256; ++i) {
        const int8_t code = (int8_t)(i * 29);
        if (arena[i] != code || arena[256 + i] != (code < -37 ? -37 : code)) {
            return 13;
        }
    }
    return 0;
}
"""


UNSHARED = re.compile(r'"\+&')


def files(change=lambda text: text):
    """The program and what it includes. The library's .c files are included, not compiled."""
    grid = Grid(0.0625, -37, 8)
    relu = fit(Problem(activation("relu"), QuantSpec(grid, grid), Limits(0), Options()), "affine")
    texts = {**library_files(), "relu.h": emit_header({"embact_relu_s8": relu})}
    included = {name.replace(".c", "_c.h"): change(text) for name, text in texts.items()}
    return {"main.c": MAIN, **included}


def ran(core, optimise="-O3", change=lambda text: text):
    """Return the exit status of the program: 0, or 11, 12, 13 for what is wrong."""
    return run_image(link(core, files(change), optimise=optimise)).status


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_equal_arguments_share_no_register(core, tools_for):
    tools_for(core)
    assert [ran(core, optimise) for optimise in ("-O1", "-O3")] == [0, 0]


def test_shared_registers_would_be_noticed(tools_for):
    core = CORES["cortex-m0plus"]
    tools_for(core)
    with pytest.raises(CheckFailed, match="fault"):  # the loop's end is never reached
        ran(core, "-O2", lambda text: UNSHARED.sub('"+', text))


def statements(text):
    """Return each assembly statement of a C text, up to its closing bracket."""
    for start in re.finditer(r"__asm__(?: volatile)?\(", text):
        depth, end = 1, start.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield text[start.start() : end]


def careless(text):
    """Return the statements that change an operand before they may have read all others."""
    return [one for one in statements(text) if re.search(r'"\+[a-z]', one)]


def test_no_statement_changes_an_operand_that_may_be_another_one():
    paths = [*FOLDER.glob("loops/*.h"), *FOLDER.glob("nn/*.[ch]")]
    texts = [path.read_text("utf-8") for path in paths]
    assert sum(len(list(statements(text))) for text in texts) > 30
    assert [one for text in texts for one in careless(text)] == []
    assert careless('__asm__("adds %0, %1" : "+r"(a) : "r"(b));') != []
