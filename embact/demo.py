"""The main job from end to end on a packaged model: every step is a call of another module.

This module must not know how its results are shown.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.emit.header import emit_header
from embact.errors import EmbactError
from embact.files import read_text
from embact.sources import data_file
from embact.tflite.compiled import compile_placed
from embact.tflite.data import load_data
from embact.tflite.evaluate import Evaluation, evaluate
from embact.tflite.folder import HEADER, KERNELS, REPORT, Conversion, write_conversion
from embact.tflite.model import read
from embact.tflite.placement import Placement, fit_sites, kernels_of
from embact.tflite.sites import find_sites

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from embact.fit.problem import Limits

MODEL = "digits_cnn_int8.tflite"
DATA = "digits_test.npz"


@dataclass(frozen=True)
class Demo:
    """What the demo found."""

    placements: tuple[Placement, ...]
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
    _, placements = compile_placed(placements, emit_header(kernels_of(placements)))
    say(f"writing C and the converted model into {folder}")
    conversion = write_conversion(folder, model, placements)
    data = load_data(data_file(DATA), model)
    say(f"running {data.samples} images: stock, then with the kernels in {conversion.header}")
    evaluation = evaluate(model, placements, data, header=read_text(conversion.header))
    return Demo(placements, conversion, evaluation)


def _make_room(folder: Path) -> None:
    """Remove what an earlier demo wrote, and nothing else.

    Raises EmbactError if the folder is there and holds anything more.
    """
    if not folder.exists():
        return
    written = {HEADER, KERNELS, MODEL, REPORT}
    kernels = folder / KERNELS
    if (
        folder.is_symlink()
        or not folder.is_dir()
        or {path.name for path in folder.iterdir()} != written
        or not kernels.is_dir()
        or any(path.suffix != ".json" for path in kernels.iterdir())
    ):
        raise EmbactError("output folder", got=f"{folder} exists", allowed="a new folder, --out")
    shutil.rmtree(folder)
