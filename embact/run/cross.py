"""Programs for bare Cortex-M cores: find a compiler, link a program with our start-up, cache it.

The cache key covers every source text, the flags and the compiler. This module must not know what
the C computes or who runs it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from embact.errors import EmbactError, unknown_name
from embact.run.build import cache_folder
from embact.run.elf import symbols_of
from embact.run.machine import STACK_BYTES, linker_script, machine_of
from embact.run.toolchain import STRICT, ToolMissing, run_tool
from embact.sources import c_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.cores import Core

KINDS = ("gcc", "clang", "zig")
"""In the order in which they are looked for."""

BARE = ("embact_bare.c", "embact_bare_memory.c", "embact_bare.h")
"""Of ``c_src/bare``: part of every program."""

ENTRY = "embact_bare_reset"

# clang's names of what a core has where its default has less than compilers' for the same core
_ZIG_CPU = {"cortex-m33": "cortex_m33+dsp", "cortex-m55": "cortex_m55+dsp+mve"}


@dataclass(frozen=True)
class CrossCompiler:
    """kind: one of KINDS. command: the words to run. version: what it prints of itself."""

    kind: str
    command: tuple[str, ...]
    version: str

    def target(self, core: Core) -> list[str]:
        """Return the options that choose a core.

        No floating point unit, but for Helium, whose registers are that unit's.
        """
        helium = core.tier == "helium"
        if self.kind == "zig":
            cpu = _ZIG_CPU.get(core.name, core.name.replace("-", "_"))
            abi = "eabihf" if helium else "eabi"
            # -fhosted: without it clang does not see through small memory functions
            hosted = ["-fhosted", "-fno-sanitize=undefined", "-Wno-unused-command-line-argument"]
            return ["-target", f"thumb-freestanding-{abi}", f"-mcpu={cpu}", *hosted]
        words = [f"-mcpu={core.name}", "-mthumb", f"-mfloat-abi={'hard' if helium else 'soft'}"]
        if self.kind == "clang":
            words = ["--target=arm-none-eabi", *words]
        return [*words, "-ffreestanding"]

    def linking(self) -> list[list[str]]:
        """Return the options that link a program, to be tried in turn.

        Last with the compiler's helpers: zig builds them when they are first wanted, for many
        seconds, and clang may come without.
        """
        match self.kind:
            case "gcc":
                return [["-nostdlib", "-lgcc"]]
            case "clang":
                helpers = ["-nostartfiles", "-nolibc", "--rtlib=compiler-rt", "-fuse-ld=lld"]
                return [["-nostdlib", "-fuse-ld=lld"], helpers]
            case _:
                ours = f"-Wl,--gc-sections,-e,{ENTRY}"
                return [["-nostdlib", ours], ["-nostartfiles", ours]]


@dataclass(frozen=True)
class Image:
    """A linked program. elf: the file's bytes. symbols: addresses by name, Thumb bit cleared."""

    core: Core
    compiler: CrossCompiler
    elf: bytes = field(repr=False)
    symbols: Mapping[str, int] = field(repr=False)

    @property
    def digest(self) -> str:
        """sha256 (hex) of the file."""
        return hashlib.sha256(self.elf).hexdigest()


def cross_compiler(core: Core, kind: str | None = None) -> CrossCompiler:
    """Return the compiler for a core: of this kind, else ``$EMBACT_ARM_CC``, else the first found.

    arm-none-eabi-gcc on PATH, then clang if it has the target and PATH has ld.lld, then the ziglang
    wheel. Raises ToolMissing if there is none, EmbactError if the chosen one is not to be found.
    """
    machine_of(core)
    if kind is not None:
        if kind not in KINDS:
            raise unknown_name("kind of compiler", kind, KINDS)
        found = _find(kind)
        if found is None:
            raise ToolMissing(f"no {kind} for {core.name}", allowed=_WANTED[kind])
        return found
    if chosen := os.environ.get("EMBACT_ARM_CC", "").strip():
        return _chosen(chosen)
    for each in KINDS:
        if found := _find(each):
            return found
    raise ToolMissing(
        f"no C compiler for {core.name}", allowed=", ".join((*_WANTED.values(), "$EMBACT_ARM_CC"))
    )


_WANTED = {
    "gcc": "arm-none-eabi-gcc on PATH (Debian: gcc-arm-none-eabi)",
    "clang": "clang with the target arm and ld.lld on PATH",
    "zig": "`pip install ziglang`",
}


def _chosen(text: str) -> CrossCompiler:
    try:
        words = shlex.split(text)
    except ValueError:  # an open quote
        words = []
    program = shutil.which(words[0]) if words else None
    if program is None:
        raise EmbactError("the compiler in $EMBACT_ARM_CC is not on PATH", got=repr(text))
    command = (program, *words[1:])
    if command[-1] == "cc" and "zig" in " ".join(command[-2:]):
        return CrossCompiler("zig", command, _version(command))
    version = _version(command)
    return CrossCompiler("clang" if "clang" in version else "gcc", command, version)


def _find(kind: str) -> CrossCompiler | None:
    """Return the compiler of a kind, or None if it is not at hand."""
    command: tuple[str, ...] | None
    match kind:
        case "gcc":
            program = shutil.which("arm-none-eabi-gcc")
            command = (program,) if program else None
        case "clang":
            program = shutil.which("clang") if shutil.which("ld.lld") else None
            command = (program,) if program and _has_target(program) else None
        case _:
            wheel = importlib.util.find_spec("ziglang") is not None
            command = (sys.executable, "-m", "ziglang", "cc") if wheel else None
    return None if command is None else CrossCompiler(kind, command, _version(command))


@lru_cache
def _version(command: tuple[str, ...]) -> str:
    return run_tool([*command, "--version"], what="C compiler for Arm")


@lru_cache
def _has_target(clang: str) -> bool:
    done = subprocess.run([clang, "--print-targets"], capture_output=True, text=True, check=False)
    return done.returncode == 0 and "thumb" in done.stdout.split()


def link(
    core: Core,
    sources: Mapping[str, str],
    *,
    optimise: str = "-O2",
    flags: Sequence[str] = (),
    compiler: CrossCompiler | None = None,
) -> Image:
    """Return the program of these sources for a core's emulated machine, from the cache or built.

    sources: file names and texts; each ``.c`` file is compiled with STRICT flags, in this order,
    the others are there to be included, as is ``embact_bare.h``. One defines ``int main(void)``.
    optimise, flags: for these sources; our start-up always has the same.
    Raises EmbactError if there is no compiler, it fails, or the program is larger than the memory.
    """
    compiler = cross_compiler(core) if compiler is None else compiler
    taken = sorted(set(sources) & set(BARE))
    if taken:
        raise EmbactError("name of a source file", got=taken[0], allowed="one that is not ours")
    script = linker_script(machine_of(core))
    bare = {name: c_source(f"bare/{name}") for name in BARE}
    key = json.dumps(
        [
            [core.name, list(sources.items()), optimise, list(flags), STRICT],
            [compiler.kind, compiler.command, compiler.version, bare, script, STACK_BYTES],
            [compiler.target(core), compiler.linking()],
        ]
    )
    digest = hashlib.sha256(key.encode()).hexdigest()
    target = cache_folder() / "cores" / f"{core.name}-{digest[:32]}.elf"
    try:
        elf = _cached(target)
        if elf is None:
            with tempfile.TemporaryDirectory(prefix="embact-") as folder:
                files = {**sources, **bare, "embact_bare.ld": script}
                elf = _build(core, compiler, Path(folder), files, (optimise, *flags))
            _keep(target, elf)
    except OSError as error:
        raise EmbactError(
            "a program for a core cannot be built",
            got=error,
            allowed="a cache folder that can be written, see $EMBACT_CACHE_DIR",
            where=str(target.parent),
        ) from None
    return Image(core, compiler, elf, symbols_of(elf))


def _build(
    core: Core,
    compiler: CrossCompiler,
    work: Path,
    files: Mapping[str, str],
    flags: Sequence[str],
) -> bytes:
    """Compile and link in a folder, and return the program."""
    for name, text in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    common = [*compiler.command, *compiler.target(core)]
    objects = []
    for number, name in enumerate(name for name in files if name.endswith(".c")):
        objects.append(f"embact-{number}.o")  # the linker script keeps what has such a name
        ours = ["-O2", f"-DEMBACT_BARE_STACK={STACK_BYTES}u", *_NOT_ITSELF[compiler.kind]]
        own = ours if name in BARE else [*flags, "-I."]
        words = [*common, *STRICT, *own, "-c", name, "-o", objects[-1]]
        run_tool(words, what=f"C compiler for {core.name}", cwd=work)
    *tried, last = (
        [*common, "-T", "embact_bare.ld", *objects, *options, "-o", "embact.elf"]
        for options in compiler.linking()
    )
    for words in tried:
        with contextlib.suppress(EmbactError):
            run_tool(words, what="linker", cwd=work)
            break
    else:
        run_tool(last, what=f"linker for {core.name}", cwd=work)
    return (work / "embact.elf").read_bytes()


# what keeps the loops of memcpy from becoming calls of memcpy
_NOT_ITSELF = {
    "gcc": ["-fno-tree-loop-distribute-patterns"],
    "clang": ["-fno-builtin"],
    "zig": ["-fno-builtin"],
}


def _cached(target: Path) -> bytes | None:
    """Return a program from the cache if it is there as it was built, else None."""
    digest = target.with_name(target.name + ".sha256")
    if not target.is_file() or not digest.is_file():
        return None
    elf = target.read_bytes()
    return elf if hashlib.sha256(elf).hexdigest() == digest.read_text("utf-8") else None


def _keep(target: Path, elf: bytes) -> None:
    """Put a program into the cache, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as folder:
        digest = target.with_name(target.name + ".sha256")
        for path, content in ((target, elf), (digest, hashlib.sha256(elf).hexdigest().encode())):
            built = Path(folder, path.name)
            built.write_bytes(content)
            built.replace(path)
