import os
import shlex
import subprocess
import sys

import pytest

from embact.errors import EmbactError
from embact.run.toolchain import STRICT, find_compiler, run_tool

ZIG = (sys.executable, "-m", "ziglang", "cc")


def program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path):
    """Make a folder with compilers of these names, each telling its own; return its PATH."""

    def make(*names, folder="bin"):
        for name in names:
            program(tmp_path / folder / name, f'echo "{name} of {folder}, version 7"')
        (tmp_path / folder).mkdir(exist_ok=True)
        return str(tmp_path / folder)

    return make


@pytest.mark.parametrize(
    ("installed", "found"),
    [
        (["cc", "gcc", "clang"], "cc"),
        (["gcc", "clang"], "gcc"),
        (["clang"], "clang"),
        (["tcc", "cc"], "cc"),
    ],
)
def test_the_first_of_cc_gcc_and_clang_on_path_is_used(machine, installed, found):
    path = machine(*installed)
    compiler = find_compiler({"PATH": path})
    assert compiler.command == (os.path.join(path, found),)  # noqa: PTH118 - a string, as found
    assert compiler.version == f"{found} of bin, version 7\n"


def test_earlier_folders_of_path_win_only_among_equal_names(machine):
    path = os.pathsep.join([machine("clang", folder="a"), machine("cc", "clang", folder="b")])
    assert find_compiler({"PATH": path}).version == "cc of b, version 7\n"


def test_cc_of_the_environment_comes_first(machine):
    path = machine("cc", "mycc")
    assert find_compiler({"PATH": path, "CC": "mycc"}).version == "mycc of bin, version 7\n"
    assert find_compiler({"PATH": path, "CC": f"{path}/mycc"}).command == (f"{path}/mycc",)


def test_cc_of_the_environment_may_have_arguments(machine):
    path = machine("mycc")
    compiler = find_compiler({"PATH": path, "CC": "mycc -m32 '-DX=a b'"})
    assert compiler.command == (f"{path}/mycc", "-m32", "-DX=a b")


@pytest.mark.parametrize("empty", [{}, {"CC": ""}, {"CC": "  "}])
def test_an_empty_cc_is_no_choice(machine, empty):
    path = machine("gcc")
    assert find_compiler({"PATH": path, **empty}).command == (f"{path}/gcc",)


@pytest.mark.parametrize("chosen", ["no-such-compiler", "/no/such/cc -O2", "'cc", "''"])
def test_a_cc_that_is_not_there_is_refused_and_nothing_else_tried(machine, refuses, chosen):
    with refuses("the compiler in $CC is not on PATH", repr(chosen)):
        find_compiler({"PATH": machine("cc"), "CC": chosen})


def test_a_cc_that_fails_is_refused_with_its_message(machine, refuses, tmp_path):
    broken = program(tmp_path / "broken", "echo 'licence error: expired' >&2; exit 3")
    with refuses("C compiler failed", "licence error: expired", f"{broken} --version"):
        find_compiler({"PATH": machine("cc"), "CC": broken})


def test_a_cc_that_cannot_start_is_refused(machine, refuses, tmp_path):
    odd = tmp_path / "odd"
    odd.write_bytes(b"\x00\x01\x02")
    odd.chmod(0o755)
    with refuses("C compiler did not start", str(odd)):
        find_compiler({"PATH": machine("cc"), "CC": str(odd)})


def test_without_a_system_compiler_ziglang_is_used(machine):
    compiler = find_compiler({"PATH": machine()})
    assert compiler.command == ZIG
    assert "clang" in compiler.version


def test_without_any_compiler_the_error_names_every_way_out(machine, refuses, monkeypatch):
    monkeypatch.setitem(sys.modules, "ziglang", None)  # as if it were not installed
    with refuses("no C compiler", "$CC", "cc, gcc or clang", "pip install ziglang"):
        find_compiler({"PATH": machine()})


def test_the_process_environment_is_the_default(machine, monkeypatch):
    path = machine("cc")
    monkeypatch.setenv("PATH", path)
    monkeypatch.delenv("CC", raising=False)
    assert find_compiler().command == (f"{path}/cc",)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'a.c: note'; echo 'a.c:3: error: bad' >&2; exit 1", "a.c:3: error: bad"),
        ("printf 'In file included\\na.c:3: Error: first\\na.c:4: error: 2\\n' >&2; exit 1",
         "a.c:3: Error: first"),
        ("echo 'only this' >&2; exit 1", "only this"),
        ("echo 'on stdout'; exit 1", "on stdout"),
        ("exit 42", "exit status 42"),
        ("printf 'caf\\351 error\\n' >&2; exit 1", "error"),
    ],
)  # fmt: skip
def test_a_failing_tool_gives_its_first_error_and_the_command(refuses, tmp_path, script, said):
    tool = program(tmp_path / "my tool", script)
    command = [tool, "-c", "a file.c"]
    with refuses(
        f"linker failed: got {said if said != 'error' else ''}",
        f"{said}, from {shlex.join(command)}",
    ):
        run_tool(command, what="linker")


@pytest.mark.parametrize(
    "printed", ['f.h:7:2: error: #error "not this core"', 'f.h:7:2: error: "not this core"']
)
def test_the_text_of_an_error_directive_comes_first(printed, tmp_path):
    tool = program(
        tmp_path / "tool", f"echo 'In file included from a.c:1:'; echo '{printed}'; exit 1"
    )
    with pytest.raises(EmbactError) as caught:
        run_tool([tool, "a.c"], what="C compiler")
    assert str(caught.value) == (
        f"not this core: C compiler failed: got #error in f.h:7:2, from {tool} a.c"
    )


def test_a_working_tool_gives_its_output(tmp_path):
    tool = program(tmp_path / "tool", 'echo "$1 in $PWD"; echo noise >&2')
    assert run_tool([tool, "x"], what="tool", cwd=tmp_path) == f"x in {tmp_path}\n"


def test_every_compiler_at_hand_takes_the_strict_flags(compilers, tmp_path):
    (tmp_path / "clean.c").write_text("int clean(int x);\nint clean(int x)\n{\n    return x;\n}\n")
    (tmp_path / "dirty.c").write_text(
        "int dirty(long x);\nint dirty(long x)\n{\n    return x;\n}\n"
    )
    for compiler in compilers.values():
        for name, fails in (("clean", False), ("dirty", True)):
            line = [*compiler, *STRICT, "-c", f"{name}.c", "-o", f"{name}.o"]
            done = subprocess.run(line, cwd=tmp_path, capture_output=True, check=False)
            assert (done.returncode != 0) == fails, (compiler, name)
