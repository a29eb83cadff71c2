"""The main job from end to end on a packaged model: every step is a call of another module.

This module must not know how its results are shown.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.errors import EmbactError
from embact.sources import data_file
from embact.tflite.beside import report_beside, sources_beside
from embact.tflite.find.sites import find_sites
from embact.tflite.folder import KERNELS, REPORT, Conversion, write_conversion
from embact.tflite.host.compiled import compile_placed
from embact.tflite.host.data import load_data
from embact.tflite.host.evaluate import Evaluation, evaluate
from embact.tflite.model import read
from embact.tflite.placement import fit_sites
from embact.tflite.routines import sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from embact.fit.problem import Limits
    from embact.tflite.placement import Placed

MODEL = "digits_cnn_int8.tflite"
DATA = "digits_test.npz"


@dataclass(frozen=True)
class Demo:
    """What the demo found."""

    placements: tuple[Placed, ...]
    conversion: Conversion
    evaluation: Evaluation


def run_demo(folder: Path, limits: Limits, family: str, say: Callable[[str], None]) -> Demo:
    """Fit, emit, compile, check and run the packaged digits classifier; write into ``folder``.

    say: called before each step with what it is. Raises EmbactError if the folder holds anything
    but an earlier demo or a step is impossible, CheckFailed if compiled C is not its definition.
    """
    _make_room(folder)
    model = read(data_file(MODEL))
    sites = find_sites(model).sites
    say(f"fitting {len(sites)} activations of {MODEL}")
    placements = fit_sites(sites, limits, family)
    say("compiling the C and comparing it with the definition on every input")
    _, checked = compile_placed(placements, sources(placements))
    say(f"writing C and the converted model into {folder}")
    conversion = write_conversion(folder, model, checked)
    data = load_data(data_file(DATA), model)
    say(f"running {data.samples} images: stock, then with the kernels in {conversion.folder}")
    files = sources_beside(read(conversion.model))
    evaluation = evaluate(model, checked, data, header=files)
    return Demo(checked, conversion, evaluation)


def _make_room(folder: Path) -> None:
    """Remove what an earlier demo wrote, and nothing else.

    Raises EmbactError if the folder is there and holds anything more.
    """
    if not folder.exists():
        return
    if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
        raise EmbactError("output folder", got=f"{folder} exists", allowed="a new folder, --out")
    shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder holds a converted model of the demo, and only what its report lists.

    The report is that of this very model, the packaged one converted.
    """
    if not (folder / MODEL).is_file():
        return False
    report = report_beside(read(folder / MODEL))
    if report is None or report.model_sha256 != read(data_file(MODEL)).sha256:
        return False
    every = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return every == {*report.files, REPORT, KERNELS}
