"""What is written beside a converted model so that a firmware can be built from the folder.

This module must not know graphs, fits or folders: it returns texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.errors import EmbactError, unknown_name
from embact.tflite.tflm.deployment_text import cmake_lists, readme
from embact.tflite.tflm.glue import missing_in_tflm, unknown_customs
from embact.tflite.tflm.header import tflm_header
from embact.tflite.tflm.model_array import model_array, model_header
from embact.tflite.tflm.safe_text import plain
from embact.tflite.tflm.source import tflm_source

if TYPE_CHECKING:
    from embact.tflite.routine import Routine

FORMS = ("custom", "builtin", "override")

_FILE = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Deployment:
    """All that the files beside a model depend on.

    stem: the file name of the model without its suffix, any text. model: the file that is written;
    for form override, the original. form: custom, builtin or override. routines: the C functions
    in ``embact_ops.h``; none for form builtin. stock: the builtin operators that the written model
    has, by their name in the schema, sorted, each once. foreign: the custom operators in it that
    are not ours, sorted. c_sources: the names of the C files that lie beside the headers and have
    to be compiled, as those of the C library. notes: sentences for the README, of embact's own
    words, without a full stop. Raises EmbactError for another form, and for a C
    file whose name has other characters than letters, digits, ``_``, ``.`` and ``-``.
    """

    stem: str
    model: bytes
    form: str
    routines: tuple[Routine, ...]
    stock: tuple[str, ...]
    foreign: tuple[str, ...]
    c_sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise unknown_name("form", self.form, FORMS)
        for name in self.c_sources:
            if not _FILE.fullmatch(name):
                raise EmbactError("name of a C file", got=repr(name), allowed="[A-Za-z0-9_.-]+")


def obstacles(asked: Deployment) -> tuple[str, ...]:
    """Return why TFLM does not run the written model by these files alone, in a sentence each."""
    said = []
    if missing := missing_in_tflm(asked):
        names = ", ".join(plain(op) for op in missing)
        said.append(
            f"TFLM has no {names}: the model does not run there; --form custom, without --like, "
            "replaces what of this is an activation"
        )
    if foreign := unknown_customs(asked):
        names = ", ".join(plain(op) for op in foreign)
        said.append(f"TFLM needs kernels of yours for the custom operators {names}")
    return tuple(said)


def deployment_files(asked: Deployment) -> dict[str, str]:
    """Return the texts to write beside the model, by file name.

    embact_tflm.h and .cc (no .cc for form builtin) for TFLM, model.h and .cc with the model as an
    array, CMakeLists.txt and README.md. They depend on the argument alone, and hold no character of
    the stem or of an operator's name that could end a comment or a string. Raises EmbactError if a
    routine lacks what the glue needs.
    """
    files = {
        "embact_tflm.h": tflm_header(asked),
        "embact_tflm.cc": tflm_source(asked),
        "model.h": model_header(asked.stem),
        "model.cc": model_array(asked.stem, asked.model),
        "CMakeLists.txt": cmake_lists(asked),
        "README.md": readme(asked),
    }
    return {name: text for name, text in files.items() if text}
