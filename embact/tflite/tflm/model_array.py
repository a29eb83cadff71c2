"""A model as a C array: ``model.h`` and ``model.cc``.

This module must not know what the bytes are.
"""

from __future__ import annotations

from string import Template

from embact import __version__
from embact.tflite.tflm.safe_text import identifier, plain

COLUMNS = 20
ALIGNMENT = 16
"""Flatbuffers of TFLite are read in place, and their buffers lie on multiples of 16 bytes."""

_HEADER = Template("""\
/* The model '$title' as an array. Written by embact $version: do not edit. */
#ifndef EMBACT_MODEL_${guard}_H
#define EMBACT_MODEL_${guard}_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Aligned to $alignment bytes, as TFLite's interpreters need it. */
extern const unsigned char $array[];
extern const size_t ${array}_size;

#ifdef __cplusplus
}
#endif

#endif /* EMBACT_MODEL_${guard}_H */
""")

_SOURCE = Template("""\
// The model '$title' as an array. Written by embact $version: do not edit.
#include "model.h"

// Where the model lies, for instance __attribute__((section(".external_flash"))).
#ifndef EMBACT_MODEL_SECTION
#define EMBACT_MODEL_SECTION
#endif

const size_t ${array}_size = $size;
alignas($alignment) EMBACT_MODEL_SECTION const unsigned char $array[$size] = {
$rows
};
""")


def array_name(stem: str) -> str:
    """Return the name of the array; that of its size has ``_size`` appended."""
    return f"embact_model_{identifier(stem)}"


def model_header(stem: str) -> str:
    """Return ``model.h``, for C and C++."""
    return _HEADER.substitute(
        title=plain(stem),
        version=__version__,
        guard=identifier(stem).upper(),
        array=array_name(stem),
        alignment=ALIGNMENT,
    )


def model_array(stem: str, content: bytes) -> str:
    """Return ``model.cc``: the bytes of a model, at least one, in lines of 20."""
    words = [f"{byte}" for byte in range(256)]
    rows = [
        ",".join([words[byte] for byte in content[start : start + COLUMNS]])
        for start in range(0, len(content), COLUMNS)
    ]
    return _SOURCE.substitute(
        title=plain(stem),
        version=__version__,
        array=array_name(stem),
        alignment=ALIGNMENT,
        size=len(content),
        rows=",\n".join(rows),
    )
