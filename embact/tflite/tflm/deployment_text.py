"""CMakeLists.txt and README.md of a converted model.

This module must not know C++ beyond the names that a user calls.
"""

from __future__ import annotations

import re
import textwrap
from string import Template
from typing import TYPE_CHECKING

from embact import __version__
from embact.tflite.tflm.glue import (
    by_builtin,
    missing_in_tflm,
    namespace_of,
    operator_count,
    unknown_customs,
    used_routines,
)
from embact.tflite.tflm.model_array import array_name
from embact.tflite.tflm.resolver import METHODS
from embact.tflite.tflm.safe_text import identifier, plain

if TYPE_CHECKING:
    from embact.tflite.tflm.deployment import Deployment

_CMAKE = Template("""\
# The model '$title' with its kernels and its registration with TensorFlow Lite Micro.
# Written by embact $version. In your project:
#   set(EMBACT_TFLM tflite-micro)  # TensorFlow Lite Micro: the target, which has to carry its
#                                  # include directories and macros (TF_LITE_STATIC_MEMORY)
#   add_subdirectory(path/to/this/folder)
#   target_link_libraries(your_program PRIVATE $target)
cmake_minimum_required(VERSION 3.13)
project($target LANGUAGES C CXX)

if(NOT EMBACT_TFLM)
  if(TARGET tflite-micro)
    set(EMBACT_TFLM tflite-micro)
  else()
    message(FATAL_ERROR "set EMBACT_TFLM to the target of TensorFlow Lite Micro; "
                        "its include directories and macros have to come with it")
  endif()
endif()

add_library($target STATIC
$sources)
target_compile_features($target PUBLIC cxx_std_17 PRIVATE c_std_99)
target_include_directories($target PUBLIC $${CMAKE_CURRENT_LIST_DIR})
target_link_libraries($target PUBLIC $${EMBACT_TFLM})
if(NOT TARGET embact_model)
  add_library(embact_model ALIAS $target)
endif()
""")

_README = Template("""\
# $title

Written by embact $version, form $form. `report.json` says what was decided, and why.
$lacking
1. **Build.** $build
   With CMake, `set(EMBACT_TFLM <target of TensorFlow Lite Micro>)`, then `add_subdirectory` of
   this folder, and link `$target`. Otherwise compile
$sources
   as C++17 (`.c` files as C99), with this folder and TensorFlow Lite Micro on the include path,
   and with the macros that TensorFlow Lite Micro was built with, above all
   `TF_LITE_STATIC_MEMORY`, which changes its structures.
2. **Register the operators.** `embact::OpResolver` has room for $count, which the model needs.
   `RegisterAll` adds them and returns the first error.

   ```cpp
   #include "embact_tflm.h"
   #include "model.h"
   #include "tensorflow/lite/micro/micro_interpreter.h"

   alignas(16) static uint8_t arena[64 * 1024];

   static embact::OpResolver resolver;
$add_more   if ($call != kTfLiteOk) {
     return 1;
   }
   ```
$own_resolver
3. **Run.**

   ```cpp
   static tflite::MicroInterpreter interpreter(
       tflite::GetModel($array),
       resolver, arena, sizeof(arena));
   if (interpreter.AllocateTensors() != kTfLiteOk) {
     return 2;
   }
   // Write the input to interpreter.input(0)->data.int8 (of 16 bits: data.i16), then:
   if (interpreter.Invoke() != kTfLiteOk) {
     return 3;
   }
   // Read the output from interpreter.output(0)->data.int8 likewise.
   ```

   Once it runs, make the arena as small as `interpreter.arena_used_bytes()` says.

## Good to know
$notes""")

_PLACE = """\
Speed: compile with `-O2`; `-Os` leaves the loops of the kernels rolled. Memory: constants stay in
flash. `-DEMBACT_MODEL_SECTION='__attribute__((section(".name")))'` puts the model elsewhere, and
`EMBACT_TABLE_SECTION` likewise the tables of the kernels.
"""
_PLACE_MODEL = """\
Memory: the model stays in flash. `-DEMBACT_MODEL_SECTION='__attribute__((section(".name")))'` puts
it elsewhere.
"""
_SEVERAL = Template("""\
Several models in one program: the files of all folders have the same names, so include them by
folder, as `#include "folder/embact_tflm.h"`, and write
`embact::$space::` for `embact::`.
Models of one file name clash: rename one, and convert it again.
""")
_SHARED_C = "The `.c` files are alike in all folders: without CMake, compile each name once.\n"


def target_name(stem: str) -> str:
    """Return the name of the CMake target."""
    return f"embact_{identifier(stem)}"


def _sources(asked: Deployment) -> list[str]:
    glue = ["embact_tflm.cc"] if used_routines(asked) else []
    return [*glue, "model.cc", *asked.c_sources]


def cmake_lists(asked: Deployment) -> str:
    """Return CMakeLists.txt: one library target, and its alias ``embact_model``."""
    return _CMAKE.substitute(
        title=plain(asked.stem),
        version=__version__,
        target=target_name(asked.stem),
        sources="".join(f"  {name}\n" for name in _sources(asked)).rstrip("\n"),
    )


_BUILD = {
    "custom": "`embact_ops.h` has the kernels, each of which is a custom operator of the model.",
    "builtin": "The model has builtin operators only: a table for each activation, read by GATHER.",
    "override": "The model is as it was; its stock kernels are replaced where embact has better.",
}


def readme(asked: Deployment) -> str:
    """Return README.md: three steps, and what the model needs that TFLM may not have."""
    more = add_more(asked)
    return _README.substitute(
        title=f"`{plain(asked.stem)}`",
        version=__version__,
        form=asked.form,
        lacking="".join(f"\n{text}\n" for text in _lacking(asked)),
        build=_BUILD[asked.form],
        target=target_name(asked.stem),
        sources="\n".join(_wrapped(", ".join(f"`{name}`" for name in _sources(asked)))),
        count=f"{operator_count(asked)} operator{'s' if operator_count(asked) > 1 else ''}",
        add_more="".join(f"   {line}\n" for line in more),
        call=f"embact::RegisterAll(resolver{', add_more' if more else ''})",
        own_resolver=_own_resolver(asked),
        array=array_name(asked.stem),
        notes="".join(f"\n{note}" for note in _notes(asked)),
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="   ", subsequent_indent="   ")


def _own_resolver(asked: Deployment) -> str:
    groups = by_builtin(asked.form, used_routines(asked))
    if not groups:
        return ""
    calls = "".join(f"   resolver.{METHODS[op]}(embact::Register_{op}());\n" for op in groups)
    return f"""
   With a resolver of your own, call in place of the stock ones:

   ```cpp
{calls}   ```

   Either needs a TensorFlow Lite Micro of August 2025 or later: before, the methods took no
   argument (`AddSoftmax` did).
"""


def _lacking(asked: Deployment) -> list[str]:
    """Return what stands before the steps: why the model does not run by them alone."""
    texts = []
    if missing := missing_in_tflm(asked):
        names = ", ".join(f"`{plain(op)}`" for op in missing)
        texts.append(
            f"**This model does not run on TensorFlow Lite Micro, which has no {names}.**\n"
            "`embact convert --form custom`, without `--like`, replaces what of this is an\n"
            "activation. The resolver of TensorFlow Lite Micro takes no kernel of yours for such\n"
            "an operator, so `RegisterAll` compiles only with a function that adds it by a method\n"
            "of your own copy, as in step 2."
        )
    if foreign := unknown_customs(asked):
        names = ", ".join(f"`{plain(op)}`" for op in foreign)
        texts.append(
            f"**The model has custom operators of others:** {names}. Add them, as in step 2."
        )
    return texts


def add_more(asked: Deployment) -> list[str]:
    """Return the C++ of a function that adds what is not known here; [] if nothing is open."""
    calls = [
        f'more.AddCustom("{plain(op, 40)}", &their_registration)' for op in unknown_customs(asked)
    ]
    calls += [f"more.Add{_camel(op)}()" for op in missing_in_tflm(asked)]
    if not calls:
        return []
    lines = ["const auto add_more = [](embact::OpResolver& more) -> TfLiteStatus {"]
    for call in calls[:-1]:
        lines += [f"  if ({call} != kTfLiteOk) {{", "    return kTfLiteError;", "  }"]
    return [*lines, f"  return {calls[-1]};", "};"]


def _camel(op: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", plain(op, 40).title())


def _notes(asked: Deployment) -> list[str]:
    notes = [f"{note[:1].upper()}{note[1:]}.\n" for note in asked.notes]
    notes += _override_notes(asked) if asked.form == "override" else []
    several = _SEVERAL.substitute(space=namespace_of(asked.stem))
    if any(name.endswith(".c") for name in asked.c_sources):
        several += _SHARED_C
    return [*notes, _PLACE if used_routines(asked) else _PLACE_MODEL, several]


def _override_notes(asked: Deployment) -> list[str]:
    about = (
        "A node is computed by embact if its types, scales and zero points are exactly those of the"
        "\nmodel that was converted (and slopes, alpha or beta), else by the stock kernel.\n"
    )
    notes = [about]
    used = used_routines(asked)
    if left := [one.function for one in asked.routines if one not in used]:
        names = ", ".join(f"`{plain(name)}`" for name in left)
        notes.append(
            f"Not used: {names}. They compute operators that cannot be overridden, or patterns of\n"
            "several; form custom has them.\n"
        )
    return notes
