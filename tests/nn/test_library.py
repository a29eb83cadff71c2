"""The library's list of files, its header's words, and the numbers they promise."""

from __future__ import annotations

import re

import pytest

from embact.nn import library
from embact.sources import PACKAGE, c_source

FOLDERS = [PACKAGE.parent / "c_src" / name for name in ("nn", "loops")]
HEADER = c_source(f"nn/{library.HEADER}")
DOCUMENTED = re.findall(r"/\*\*\n(.*?)\*/\nint32_t (\w+)\(([^;]*)\);", HEADER, flags=re.DOTALL)


@pytest.mark.skipif(not FOLDERS[0].exists(), reason="not a checkout")
def test_every_file_of_the_library_is_needed_by_a_function():
    files = library.library_files()
    assert [path.name for path in FOLDERS[0].iterdir() if path.name not in files] == []
    loops = {path.name for path in FOLDERS[1].iterdir()}
    assert set(files) <= {path.name for path in FOLDERS[0].iterdir()} | loops | {"embact_tiers.h"}


def test_a_function_needs_its_file_and_what_that_includes():
    files = library.library_files(["embact_clamp_s8"])
    headers = ["embact_nn.h", "embact_loop_clamp_s8.h", "embact_tiers.h"]
    assert list(files) == [*headers, "embact_clamp_s8.c"]


def test_a_file_that_is_not_there_is_an_error(refuses, monkeypatch):
    monkeypatch.setattr(library, "FOLDERS", ("nn",))
    with refuses("file of the library", "embact_loop_clamp_s8.h", "one in nn"):
        library.library_files(["embact_clamp_s8"])


def test_an_unknown_function_is_refused(refuses):
    with refuses("function of the library", "embact_clamp_s9", "embact_clamp_s8"):
        library.library_files(["embact_clamp_s9"])


def test_every_function_is_declared_documented_and_defined_in_a_file_of_its_name():
    assert sorted(name for _, name, _ in DOCUMENTED) == sorted(library.FUNCTIONS)
    assert len(library.declarations().splitlines()) == len(library.FUNCTIONS)
    for name in library.FUNCTIONS:
        defined = re.findall(r"^\w[\w ]*?\b(embact_\w+)\(", c_source(f"nn/{name}.c"), re.MULTILINE)
        assert [one for one in defined if one == name] == [name]


@pytest.mark.parametrize("name", library.FUNCTIONS)
def test_the_words_about_a_function_cover_its_parameters_in_order(name):
    ((comment, _, parameters),) = [one for one in DOCUMENTED if one[1] == name]
    declared = [re.findall(r"\w+", one)[-1] for one in parameters.split(",")]
    assert re.findall(r"@param (\w+)", comment) == declared
    assert "@return EMBACT_SUCCESS or EMBACT_ARG_ERROR" in comment


def test_files_are_short_lines_of_ascii():
    for name, text in library.library_files().items():
        assert text.isascii(), name
        assert max(map(len, text.splitlines())) <= 100, name
        includes = set(re.findall(r"#include <(.*)>", text))
        assert includes <= {"stdint.h", "stddef.h", "arm_acle.h", "arm_mve.h"}, name
        assert not re.search(r"\b(float|double|malloc|free)\b(?! rounding)", bare(text)), name


def bare(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
