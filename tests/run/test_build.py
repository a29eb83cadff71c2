import os
import stat
import subprocess
import sys

import pytest

from embact.run.build import cache_folder, extension
from embact.run.toolchain import find_compiler

CDEF = "int32_t answer(void);"


def sources(value, extra=""):
    prototype = f"#include <stdint.h>\n{CDEF}\n"
    return {"answer.c": f"{prototype}int32_t answer(void)\n{{\n    return {value};\n}}\n{extra}"}


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Make $CC a wrapper of the real compiler that logs each call; return the calls so far."""
    real, log = find_compiler().command, tmp_path / "calls.txt"
    wrapper = tmp_path / "wrapper"
    quoted = " ".join(f"'{word}'" for word in real)
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {quoted} "$@"\n')
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CC", str(wrapper))
    monkeypatch.setenv("EMBACT_CACHE_DIR", str(tmp_path / "cache"))

    def calls():
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line != "--version"]

    return calls


@pytest.fixture
def cached(tmp_path):
    """Return the names of all files and folders in the fresh cache of ``logged``."""
    return lambda: sorted(str(p.relative_to(tmp_path)) for p in (tmp_path / "cache").rglob("*"))


def again_in_a_new_process(name, value):
    """Build the same extension elsewhere; return what its function gives."""
    program = (
        "from embact.run.build import extension\n"
        f"print(extension({name!r}, {CDEF!r}, {sources(value)!r}).lib.answer())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    line = [sys.executable, "-c", program]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_an_extension_runs_the_c_that_was_given():
    assert extension("answer", CDEF, sources(41)).lib.answer() == 41
    assert extension("answer", CDEF, sources(42)).lib.answer() == 42


def test_the_second_use_compiles_nothing(logged, cached):
    first = extension("once", CDEF, sources(1))
    calls, files = logged(), cached()
    assert len(calls) == 3  # the source, cffi's glue, the link
    assert len([name for name in files if name.startswith("cache/host/_embact_once_")]) == 2
    assert extension("once", CDEF, sources(1)) is first
    assert again_in_a_new_process("once", 1) == "1\n"
    assert (logged(), cached()) == (calls, files)


@pytest.mark.parametrize(
    "changed",
    [
        {"sources": sources(3, "/* other */")},
        {"sources": {**sources(3), "more.h": ""}},
        {"flags": ["-DOTHER"]},
        {"cdef": CDEF + " "},
        {"name": "other"},
    ],
)
def test_whatever_could_change_the_result_compiles_anew(logged, changed):
    same = {"name": "key", "cdef": CDEF, "sources": sources(3), "flags": []}
    first = extension(**same)
    second = extension(**(same | changed))
    assert second is not first
    assert len(logged()) == 6
    assert second.lib.answer() == 3


def test_another_compiler_compiles_anew(logged, tmp_path, monkeypatch):
    extension("compiler", CDEF, sources(4))
    wrapper = tmp_path / "wrapper"
    other = tmp_path / "other"
    other.write_text(wrapper.read_text())
    other.chmod(0o755)
    monkeypatch.setenv("CC", str(other))
    extension("compiler", CDEF, sources(4))
    assert len(logged()) == 6


@pytest.mark.parametrize(
    ("bad", "parts"),
    [
        (sources("unknown_name"), ["C compiler failed", "unknown_name"]),
        (sources("1 +"), ["C compiler failed", "expected"]),
        (sources(5, "int32_t helper(int64_t x);\nint32_t helper(int64_t x)\n{ return x; }\n"),
         ["C compiler failed", "conversion"]),
        ({"answer.c": '#include "missing.h"\n'}, ["missing.h"]),
    ],
)  # fmt: skip
def test_a_failing_compiler_leaves_nothing_and_is_quoted(logged, cached, refuses, bad, parts):
    with refuses("-c answer.c -o answer.o", *parts):
        extension("bad", CDEF, bad)
    assert logged()
    assert cached() == ["cache/host"]


def test_a_failing_link_leaves_nothing(logged, cached, refuses):
    extern = "extern int32_t elsewhere(void);\nint32_t answer(void);\nint32_t answer(void)\n"
    text = "#include <stdint.h>\n" + extern + "{\n    return elsewhere();\n}\n"
    with refuses("C linker failed", "-o _embact_link_"):
        extension("link", CDEF, {"answer.c": text}, flags=["-Wl,-z,defs,-lc"])
    assert cached() == ["cache/host"]


def test_after_a_failure_the_corrected_source_works(logged, refuses):
    with refuses("C compiler failed"):
        extension("again", CDEF, sources("oops"))
    assert extension("again", CDEF, sources(6)).lib.answer() == 6


@pytest.mark.parametrize("damage", ["", "truncated", None])
def test_a_damaged_extension_in_the_cache_is_built_anew(logged, tmp_path, damage):
    again_in_a_new_process("damaged", 8)
    (built,) = (tmp_path / "cache").rglob("_embact_damaged_*.so")
    if damage is None:
        built.unlink()
    else:
        built.write_text(damage)
    assert again_in_a_new_process("damaged", 8) == "8\n"
    assert len(logged()) == 6


def test_a_cache_that_cannot_be_written_is_refused(monkeypatch, tmp_path, refuses):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EMBACT_CACHE_DIR", str(tmp_path / "file"))
    with refuses("cannot be built", "$EMBACT_CACHE_DIR", str(tmp_path / "file")):
        extension("nowhere", CDEF, sources(9))


def test_the_user_may_choose_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("EMBACT_CACHE_DIR", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("EMBACT_CACHE_DIR")
    assert "embact" in cache_folder().parts


def test_nothing_is_printed(capfd):
    extension("quiet", CDEF, sources(7))
    assert capfd.readouterr() == ("", "")


def test_these_tests_do_not_use_the_users_cache(cache):
    assert cache_folder() == cache
