"""The files of the C library ``embact_nn``: what there is, and what a function needs.

This module must not know what the functions compute or where files are written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from embact.emit.prune import prune
from embact.errors import EmbactError, unknown_name
from embact.sources import c_source, find_c_source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from embact.cores import Core

HEADER = "embact_nn.h"
"""What users include."""

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

FOLDERS = ("nn", "loops", ".")
"""Folders of ``c_src`` where the library's files lie; what is written lies in one."""

INCLUDE = re.compile(r'^#include "(\w+\.h)"$', re.MULTILINE)


def library_files(
    functions: Iterable[str] = FUNCTIONS, target: Core | None = None
) -> dict[str, str]:
    """Return the texts, by file name, of the functions' files and of the headers that they include.

    The headers come first. All texts are for every compiler, or, where a target is given, what
    compilers for this core read of them. Raises EmbactError for a function that the library does
    not have.
    """
    wanted = dict.fromkeys(functions)
    for function in wanted:
        if function not in FUNCTIONS:
            raise unknown_name("function of the library", function, FUNCTIONS)
    sources = {f"{function}.c": _file(f"{function}.c") for function in wanted}
    headers = {HEADER: _file(HEADER)}
    pending = [*headers.values(), *sources.values()]
    while pending:
        for name in INCLUDE.findall(pending.pop(0)):
            if name not in headers:
                headers[name] = _file(name)
                pending.append(headers[name])
    files = headers | sources
    return files if target is None else {name: prune(text, target) for name, text in files.items()}


def _file(name: str) -> str:
    """Return the text of one of the library's files."""
    for folder in FOLDERS:
        if (text := find_c_source(f"{folder}/{name}")) is not None:
            return text
    raise EmbactError("file of the library", got=name, allowed=f"one in {', '.join(FOLDERS)}")


def declarations(functions: Iterable[str] = FUNCTIONS) -> str:
    """Return the functions' C prototypes as the public header has them, one on each line."""
    text = re.sub(r"/\*.*?\*/", "", c_source(f"nn/{HEADER}"), flags=re.DOTALL)
    found: dict[str, str] = {}
    for prototype in re.finditer(r"^int32_t (\w+)\([^;{]*\);", text, flags=re.MULTILINE):
        found[prototype[1]] = " ".join(prototype[0].split())
    return "\n".join(found[function] for function in functions)
