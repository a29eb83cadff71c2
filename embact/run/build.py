"""Build C into a cffi extension (out-of-line API mode) once, and keep it in the user's cache.

The cache key covers every source text, the flags, the compiler and the Python that loads the
result. This module must not know what the C computes.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embact.errors import EmbactError
from embact.run.toolchain import STRICT, Compiler, find_compiler, run_tool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTIMISE = ("-O2", "-fPIC")


def cache_folder() -> Path:
    """Return where extensions are kept: ``$EMBACT_CACHE_DIR`` or the user's cache folder."""
    import platformdirs

    chosen = os.environ.get("EMBACT_CACHE_DIR")
    return Path(chosen or platformdirs.user_cache_dir("embact")).absolute()


def extension(
    name: str, cdef: str, sources: Mapping[str, str], *, flags: Sequence[str] = ()
) -> Any:
    """Return the imported extension module (``.ffi`` and ``.lib``), compiling it if need be.

    name: a C identifier, for people who look into the cache.
    cdef: the declarations that Python sees; they must be defined in ``sources``.
    sources: file names and texts; each ``.c`` file is compiled with STRICT flags, the others
    (headers) are there to be included. flags: further compiler flags, for the sources and the link.
    Raises EmbactError if there is no compiler, it fails, or Python's C headers are missing.
    """
    import cffi

    compiler = find_compiler()
    key = json.dumps(
        [
            [name, cdef, dict(sources), list(flags), STRICT, OPTIMISE],
            [compiler.command, compiler.version, cffi.__version__, sys.version, _suffix()],
        ]
    )
    module_name = f"_embact_{name}_{hashlib.sha256(key.encode()).hexdigest()[:24]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    target = cache_folder() / "host" / (module_name + _suffix())
    try:
        if not _is_whole(target):
            _build(compiler, target, cdef, sources, flags)
        return load(module_name, target)
    except (OSError, ImportError) as error:
        raise EmbactError(
            "compiled kernels cannot be built or loaded",
            got=error,
            allowed="a cache folder that can be written, see $EMBACT_CACHE_DIR",
            where=str(target.parent),
        ) from None


def _is_whole(target: Path) -> bool:
    """Return whether an extension is in the cache as it was built: its digest lies beside it."""
    digest = _digest_file(target)
    return (
        target.is_file()
        and digest.is_file()
        and hashlib.sha256(target.read_bytes()).hexdigest() == digest.read_text("utf-8")
    )


def _digest_file(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _suffix() -> str:
    return str(sysconfig.get_config_var("EXT_SUFFIX"))


def load(module_name: str, path: Path) -> Any:
    """Return the extension module at a path, imported once per process."""
    if module_name not in sys.modules:
        loader = importlib.machinery.ExtensionFileLoader(module_name, str(path))
        spec = importlib.util.spec_from_loader(module_name, loader)
        if spec is None:  # pragma: no cover - the loader is ours
            raise EmbactError("extension module cannot be loaded", got=path)
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        sys.modules[module_name] = module
    return sys.modules[module_name]


def _build(
    compiler: Compiler,
    target: Path,
    cdef: str,
    sources: Mapping[str, str],
    flags: Sequence[str],
) -> None:
    """Compile into a folder beside the target and move the result into place in one step."""
    import cffi

    if sys.platform == "win32":
        raise EmbactError("running kernels on this host", got=sys.platform, allowed="Linux, macOS")
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").exists():
        raise EmbactError(
            "Python's C headers are missing", got=include, allowed="install python3-dev (Debian)"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="building-") as folder:
        work = Path(folder)
        for file_name, text in sources.items():
            (work / file_name).write_text(text, "utf-8")
        ffi = cffi.FFI()
        ffi.cdef(cdef)
        ffi.set_source(target.name.removesuffix(_suffix()), cdef)
        with contextlib.redirect_stdout(io.StringIO()):  # cffi announces the file on stdout
            ffi.emit_c_code(str(work / "glue.c"))
        common = [*compiler.command, *OPTIMISE, *flags]
        objects = []
        for file_name in ("glue.c", *(name for name in sources if name.endswith(".c"))):
            own = [f"-I{include}", "-w"] if file_name == "glue.c" else STRICT
            object_name = file_name.removesuffix(".c") + ".o"
            run_tool(
                [*common, *own, "-c", file_name, "-o", object_name], what="C compiler", cwd=work
            )
            objects.append(object_name)
        shared = (
            ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
        )
        run_tool([*common, *shared, *objects, "-o", target.name], what="C linker", cwd=work)
        built = work / target.name
        if not built.is_file():
            raise EmbactError("C linker wrote nothing", got=compiler.command[0])
        _digest_file(built).write_text(hashlib.sha256(built.read_bytes()).hexdigest(), "utf-8")
        built.replace(target)
        _digest_file(built).replace(_digest_file(target))
