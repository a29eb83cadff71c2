"""The architecture that DESIGN.md promises: imports go one way, and the program starts quickly."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import embact

PACKAGE = Path(embact.__file__).parent

ROWS = [
    {"embact", "errors"},
    {"sources", "files", "grid", "cores"},
    {"ir"},
    {"kernel"},
    {"helium"},
    {"truth"},
    {"catalogue"},
    {"activations"},
    {"enclosure", "formula"},
    {"float_error"},
    {"expression"},
    {"conventions", "certify", "cost"},
    {"fit"},
    {"emit"},
    {"run"},
    {"nn"},
    {"tflite"},
    {"train"},
    {"bench"},
    {"jobs"},
    {"demo", "listing", "report", "sweep", "workers"},
    {"cli"},
    {"__main__"},
]
"""A module imports from rows above its own, or from its own sub-package."""

HEAVY = {"numpy", "mpmath", "cffi", "msgspec", "ai_edge_litert", "flatbuffers", "tensorflow"}


def part_of(module: str) -> str:
    return [*module.split("."), ""][1] or "embact"


def row_of(part: str) -> int:
    return next(number for number, row in enumerate(ROWS) if part in row)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            if node.module == "embact":
                found |= {f"embact.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "embact"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def violations(path: Path, imported: set[str]) -> list[str]:
    name = ".".join(("embact", *path.relative_to(PACKAGE).with_suffix("").parts))
    own = part_of(name.removesuffix(".__init__"))
    return [
        f"{name} imports {other}"
        for other in sorted(imported)
        if part_of(other) not in {own, "embact", "__version__"}
        and row_of(part_of(other)) >= row_of(own)
    ]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_rows_above(path):
    assert violations(path, imports(path)) == []


def test_an_upward_import_would_be_seen():
    assert violations(PACKAGE / "grid.py", {"embact.fit.search"})
    assert violations(PACKAGE / "fit" / "lut.py", {"embact.emit.header"})


def test_every_part_has_a_row():
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules()}
    assert parts - {"__init__"} <= set().union(*ROWS)


def test_only_the_command_line_prints():
    printing = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]
    assert set(printing) <= {"cli/show.py"}


def test_the_command_line_imports_nothing_heavy_by_itself():
    code = "import sys, embact.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not HEAVY & set(done.stdout.split())
