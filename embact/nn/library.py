"""The files of the C library ``embact_nn``: what there is, and what a function needs.

This module must not know what the functions compute or where files are written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from embact.errors import unknown_name
from embact.sources import c_source

if TYPE_CHECKING:
    from collections.abc import Iterable

HEADER = "embact_nn.h"
"""What users include."""

SHARED = (HEADER, "embact_nn_arithmetic.h")
"""The headers that every function is compiled with."""

SOFTMAX_HEADER = "embact_softmax_arithmetic.h"
"""What the functions of softmax and log_softmax share besides."""

FUNCTIONS = (
    "embact_clamp_s8",
    "embact_clamp_s16",
    "embact_glu_s8",
    "embact_glu_s16",
    "embact_hard_swish_s8",
    "embact_hard_swish_s16",
    "embact_leaky_relu_s8",
    "embact_leaky_relu_s16",
    "embact_lut_interp_s16",
    "embact_lut_s8",
    "embact_prelu_s8",
    "embact_prelu_s16",
    "embact_rescale_s8",
    "embact_rescale_s16",
    "embact_softmax_table_s8",
    "embact_softmax_s8",
    "embact_softmax_s8_s16",
    "embact_softmax_s16",
    "embact_softmax_exact_s8",
    "embact_softmax_exact_s8_s16",
    "embact_softmax_exact_s16",
    "embact_log_softmax_s8",
    "embact_log_softmax_exact_s8",
)
"""The public functions; each is alone in a ``.c`` file of its name."""

LIBRARY = (*SHARED, SOFTMAX_HEADER, *(f"{function}.c" for function in FUNCTIONS))
"""Every file of the library; they lie in ``c_src/nn``."""


def library_files(functions: Iterable[str] = FUNCTIONS) -> dict[str, str]:
    """Return the texts, by file name, of the shared headers and of the functions' files.

    Raises EmbactError for a function that the library does not have.
    """
    wanted = dict.fromkeys(functions)
    for function in wanted:
        if function not in FUNCTIONS:
            raise unknown_name("function of the library", function, FUNCTIONS)
    softmax = (SOFTMAX_HEADER,) if any("softmax" in function for function in wanted) else ()
    names = (*SHARED, *softmax, *(f"{function}.c" for function in wanted))
    return {name: c_source(f"nn/{name}") for name in names}


def declarations(functions: Iterable[str] = FUNCTIONS) -> str:
    """Return the functions' C prototypes as the public header has them, one on each line."""
    text = re.sub(r"/\*.*?\*/", "", c_source(f"nn/{HEADER}"), flags=re.DOTALL)
    found: dict[str, str] = {}
    for prototype in re.finditer(r"^int32_t (\w+)\([^;{]*\);", text, flags=re.MULTILINE):
        found[prototype[1]] = " ".join(prototype[0].split())
    return "\n".join(found[function] for function in functions)
