"""CMakeLists.txt and README.md of a converted model.

This module must not know C++ beyond the names that a user calls.
"""

from __future__ import annotations

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
#   set(EMBACT_TFLM tflite-micro)  # the target or the library of TensorFlow Lite Micro
#   add_subdirectory(path/to/this/folder)
#   target_link_libraries(your_program PRIVATE $target)
cmake_minimum_required(VERSION 3.13)
project($target LANGUAGES C CXX)

if(NOT EMBACT_TFLM)
  if(TARGET tflite-micro)
    set(EMBACT_TFLM tflite-micro)
  else()
    message(FATAL_ERROR "set EMBACT_TFLM to the target or library of TensorFlow Lite Micro; "
                        "its include directories have to come with it")
  endif()
endif()

add_library($target STATIC
$sources)
target_compile_features($target PUBLIC cxx_std_17)
target_include_directories($target PUBLIC $${CMAKE_CURRENT_LIST_DIR})
target_link_libraries($target PUBLIC $${EMBACT_TFLM})
if(NOT TARGET embact_model)
  add_library(embact_model ALIAS $target)
endif()
""")

_README = Template("""\
# $title

Written by embact $version, form $form. `report.json` says what was decided, and why.

1. **Build.** $build
   With CMake, `set(EMBACT_TFLM <target of TensorFlow Lite Micro>)`, then `add_subdirectory` of
   this folder, and link `$target`. Otherwise compile
   $sources
   with this folder and TensorFlow Lite Micro on the include path, as C++17 (and `.c` files as
   C99). Optimise these files with `-O2`.
2. **Register the operators.** `embact::OpResolver` has room for the $count that the model needs.
   $register

   ```cpp
   #include "embact_tflm.h"
   #include "model.h"
   #include "tensorflow/lite/micro/micro_interpreter.h"

   alignas(16) static uint8_t arena[64 * 1024];

   static embact::OpResolver resolver;
   if ($call != kTfLiteOk) {
     return 1;
   }
   ```

3. **Run.**

   ```cpp
   static tflite::MicroInterpreter interpreter(tflite::GetModel($array),
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

Several models fit into one program: all of this is in the namespace `embact::$space`.
$notes""")


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
    open_ops = [*missing_in_tflm(asked), *unknown_customs(asked)]
    call = (
        "embact::RegisterAll(resolver, add_more)" if open_ops else "embact::RegisterAll(resolver)"
    )
    return _README.substitute(
        title=f"`{plain(asked.stem)}`",
        version=__version__,
        form=asked.form,
        build=_BUILD[asked.form],
        target=target_name(asked.stem),
        sources=", ".join(f"`{name}`" for name in _sources(asked)),
        count=operator_count(asked),
        register=_register(asked),
        call=call,
        array=array_name(asked.stem),
        space=namespace_of(asked.stem),
        notes="".join(f"\n{note}\n" for note in _notes(asked)),
    )


def _register(asked: Deployment) -> str:
    text = "`RegisterAll` adds them and returns the first error."
    groups = by_builtin(asked.form, used_routines(asked))
    if groups:
        calls = ", ".join(f"`resolver.{METHODS[op]}(embact::Register_{op}())`" for op in groups)
        text += (
            f"\n   With a resolver of your own, call {calls}. These need a TensorFlow Lite Micro of"
            "\n   August 2025 or later: before, the methods took no argument (`AddSoftmax` did)."
        )
    return text


def _notes(asked: Deployment) -> list[str]:
    notes = []
    if missing := missing_in_tflm(asked):
        names = ", ".join(f"`{plain(op)}`" for op in missing)
        text = f"**TensorFlow Lite Micro has no {names}.** "
        if asked.form != "custom":
            text += "Where that is an activation, `embact convert --form custom` replaces it. "
        notes.append(text + "The model does not run without a kernel of yours:")
    if foreign := unknown_customs(asked):
        names = ", ".join(f"`{plain(op)}`" for op in foreign)
        notes.append(f"The model has custom operators of others: {names}. Add them:")
    if notes:
        notes.append(
            "```cpp\nstatic TfLiteStatus add_more(embact::OpResolver& resolver) {\n"
            '  return resolver.AddCustom("its name", &its_registration);\n}\n```'
        )
    if asked.form == "override":
        notes += _override_notes(asked)
    return notes


def _override_notes(asked: Deployment) -> list[str]:
    about = (
        "A node is computed by embact if its types, scales and zero points are exactly those of the"
        "\nmodel that was converted (and slopes, alpha or beta), else by the stock kernel."
    )
    notes = [about]
    used = used_routines(asked)
    if left := [one.function for one in asked.routines if one not in used]:
        names = ", ".join(f"`{plain(name)}`" for name in left)
        notes.append(
            f"Not used: {names}. They compute operators that cannot be overridden, or patterns of\n"
            "several; form custom has them."
        )
    return notes
