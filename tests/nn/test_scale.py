"""Prepared factors, in the C of each tier that the host can run, against embact_nn_requantize."""

from __future__ import annotations

import subprocess

import pytest

from embact.nn.library import library_files
from embact.run.toolchain import STRICT

PROGRAM = """
#include "embact_nn_scale.h"
static const int32_t multipliers[] = {
    0, 1, 3, 32767, 32768, 65536, 98304, 1 << 29, 1 << 30, (1 << 30) + 1, 3 << 29, 0x5555AAAA,
    0x7FFF0000, 0x7FFF8000, 0x7FFF7FFF, INT32_MAX - 1, INT32_MAX};
int main(void)
{
    int32_t prepared = 0;
    for (uint32_t m = 0; m < sizeof multipliers / sizeof multipliers[0]; ++m) {
        for (int32_t shift = -31; shift <= 30; ++shift) {
            embact_nn_scale scale = {0, 0, 0, 0, 0};
            if (!embact_nn_scale_prepare(multipliers[m], shift, BITS, &scale)) {
                continue;
            }
            ++prepared;
            const int32_t most = BITS > 16 ? 65535 * 255 : (1 << BITS) - 1;
            for (int32_t i = 0; i <= most; i += i > 300 && i < most - 300 ? STEP : 1) {
                const int32_t above = embact_nn_requantize(i, multipliers[m], shift);
                const int32_t below = embact_nn_requantize(-i, multipliers[m], shift);
                if (BITS > 16) {
                    if (embact_nn_scale_wide(i, &scale) != above ||
                        embact_nn_scale_wide(-i, &scale) != below) {
                        return 1;
                    }
                } else if (embact_nn_scale_any(i, &scale) != above ||
                    embact_nn_scale_above(i, &scale) != above ||
                    embact_nn_scale_any(-i, &scale) != below ||
                    embact_nn_scale_below(-i, &scale) != below) {
                    return 1;
                }
            }
        }
    }
    return prepared < 17 * 36 ? 2 : 0;
}
"""

TIERS = {"portable": 0, "thumb1": 1, "thumb2": 2}
"""The tiers whose factors are applied in C alone, as embact_tiers.h numbers them."""


def status(folder, tier, bits, flags=(), edit=("", "")):
    """The status of the program: 1 for a wrong result, 2 if hardly a factor could be prepared."""
    files = library_files(["embact_rescale_s8", "embact_rescale_s16"])
    files["embact_nn_scale.h"] = files["embact_nn_scale.h"].replace(*edit)
    for name, text in {**files, "program.c": PROGRAM}.items():
        (folder / name).write_text(text, "utf-8")
    step = 1 if bits < 16 else 37 if bits == 16 else 4099
    line = [
        *("gcc", *STRICT, "-Wno-unused-function", "-O1", "-fsanitize=undefined"),
        *("-fno-sanitize-recover=all", f"-DEMBACT_TIER={TIERS[tier]}", f"-DBITS={bits}"),
        *(f"-DSTEP={step}", *flags, "program.c", "-o", "program"),
    ]
    subprocess.run(line, cwd=folder, check=True)
    return subprocess.run(["./program"], cwd=folder, check=False, stderr=subprocess.PIPE).returncode


@pytest.mark.parametrize(
    ("tier", "bits"),
    [(tier, bits) for tier in TIERS for bits in (8, 16, 24)],
)
def test_prepared_factors_give_the_bits_of_requantize(tmp_path, tier, bits, flags):
    assert status(tmp_path, tier, bits, flags) == 0


@pytest.mark.parametrize(
    ("tier", "bits", "edit"),
    [
        ("thumb1", 16, ("half - twice", "half + twice")),
        ("thumb1", 16, ("+ 32768U) >> 16", "+ 32767U) >> 16")),
        ("thumb1", 24, ("+ ((lower * low) >> 16)", "")),
        ("thumb2", 16, ("half - e", "half")),
        ("thumb2", 16, ("bits + 1", "bits - 1")),
    ],
)
def test_a_wrong_rounding_of_prepared_factors_would_be_noticed(tmp_path, tier, bits, edit):
    """Negative control."""
    assert status(tmp_path, tier, bits, edit=edit) == 1
