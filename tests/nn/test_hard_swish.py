"""int16 hard swish in the C of each tier that the host can run, against its twin, on every code."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from embact.fit.tflm_arithmetic import Scaling
from embact.nn.arithmetic import Offsets
from embact.nn.hard_swish import hard_swish_s16
from embact.nn.library import library_files
from embact.run.toolchain import STRICT

PROGRAM = """
#include <stdio.h>
#include "embact_nn.h"
static int16_t codes[65536], out[65536];
int main(void)
{
    for (int32_t i = 0; i < 65536; ++i) {
        codes[i] = (int16_t)(i - 32768);
    }
    int offset, multiplier, shift, gate, down;
    while (scanf("%d %d %d %d %d", &offset, &multiplier, &shift, &gate, &down) == 5) {
        if (embact_hard_swish_s16(codes, 0, out, offset, multiplier, shift, gate, down, 65536)) {
            return 1;
        }
        fwrite(out, sizeof out, 1, stdout);
    }
    return 0;
}
"""

TIERS = {"portable": 0, "thumb1": 1, "thumb2": 2}
"""The tiers that are C alone, as embact_tiers.h numbers them."""

HOST = ("#if EMBACT_TIER >= EMBACT_TIER_THUMB2\n    int32_t code;", "#if 0\n    int32_t code;")
"""The one instruction of Arm that is left, which limits to int16, gives way to C."""

GATES = (1, (1 << 30) - 1, 1 << 30, (1 << 30) + 1, 5 << 28, 0x55555555, 0x7FFF8000, (1 << 31) - 1)
"""Multipliers whose products meet ends and halves exactly, or miss them by the least or the most;
those of less than 31 bits saturate early."""

FACTORS = ((1 << 30, 1), (0x55555555, 0), ((1 << 31) - 1, 8), (3 << 29, -16), (0x7FFF8000, -3))


def calls():
    """(output offset, output factor, gate's factor): each gate at each shift that matters."""
    found = []
    for multiplier in GATES:
        for down in (-31, -30, -29, -20, -17, -16, -15, -14, -13, -11, -8, -1, 0):
            one = FACTORS[len(found) % len(FACTORS)]
            found.append(((0, -32768, 32767, 100)[len(found) % 4], one, (multiplier, down)))
    return found


def wrong(folder, tier, flags, edit=("", "")):
    """The calls of which some code is not the twin's."""
    for name, text in {**library_files(["embact_hard_swish_s16"]), "program.c": PROGRAM}.items():
        (folder / name).write_text(text.replace(*edit).replace(*HOST), "utf-8")
    line = [
        *("gcc", *STRICT, "-Wno-unused-function", "-O1", "-fsanitize=undefined"),
        *("-fno-sanitize-recover=all", f"-DEMBACT_TIER={TIERS[tier]}", *flags),
        *("program.c", "embact_hard_swish_s16.c", "-o", "program"),
    ]
    subprocess.run(line, cwd=folder, check=True)
    text = "\n".join(f"{offset} {a} {b} {c} {d}" for offset, (a, b), (c, d) in calls())
    done = subprocess.run(
        ["./program"], cwd=folder, check=True, input=text.encode(), stdout=subprocess.PIPE
    )
    found = np.frombuffer(done.stdout, np.int16).reshape(len(calls()), 65536)
    rounding = "single" if flags else "double"
    return [
        call
        for call, results in zip(calls(), found, strict=True)
        if not np.array_equal(
            results,
            hard_swish_s16(
                np.arange(-32768, 32768),
                Offsets(0, call[0], 16),
                Scaling(*call[1]),
                Scaling(*call[2]),
                rounding=rounding,
            ),
        )
    ]


@pytest.mark.parametrize("tier", TIERS)
def test_every_code_has_the_twins_result_in_every_tier(tmp_path, tier, flags):
    assert wrong(tmp_path, tier, flags) == []


@pytest.mark.parametrize(
    ("tier", "edit"),
    [
        ("thumb1", ("return last + 1;", "return last;")),
        ("thumb1", ("+ 16384) >> 15)", "+ 16383) >> 15)")),
        ("thumb1", ("EMBACT_NN_ROUND ? v >> 31 : 0", "0")),
        ("thumb2", ("return last + 1;", "return last;")),
        ("thumb2", ("how->gate_multiplier >= (int32_t)1 << 30", "1")),
    ],
)
def test_a_wrong_end_or_rounding_would_be_noticed(tmp_path, tier, edit):
    """Negative control."""
    assert any(edit[0] in text for text in library_files(["embact_hard_swish_s16"]).values())
    assert wrong(tmp_path, tier, (), edit) != []
