"""The main job from end to end on a packaged model: every step is a call of another module.

This module must not know how its results are shown.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embact.certify import also_checked
from embact.errors import EmbactError
from embact.files import read_text
from embact.run.host import PLACE, compile_header, observe
from embact.sources import data_file
from embact.tflite.data import load_data
from embact.tflite.evaluate import Evaluation, evaluate
from embact.tflite.folder import HEADER, KERNELS, REPORT, Conversion, write_conversion
from embact.tflite.model import read
from embact.tflite.placement import Placement, fit_sites, kernels_of
from embact.tflite.sites import find_sites

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from embact.fit.record import Fit, Limits
    from embact.run.host import HostKernels

MODEL = "digits_cnn_int8.tflite"
DATA = "digits_test.npz"


@dataclass(frozen=True)
class Demo:
    """What the demo found. failures: the checks that did not hold, in words; empty if all did."""

    placements: tuple[Placement, ...]
    conversion: Conversion
    evaluation: Evaluation
    failures: tuple[str, ...]


def run_demo(folder: Path, limits: Limits, family: str, say: Callable[[str], None]) -> Demo:
    """Fit, emit, compile, check and run the packaged digits classifier; write into ``folder``.

    say: called before each step with what it is. Raises EmbactError if the folder holds anything
    but an earlier conversion, or a step is impossible.
    """
    model = read(data_file(MODEL))
    sites = find_sites(model).sites
    say(f"fitting {len(sites)} activations of {MODEL} to at most {limits.max_error} code")
    placements = fit_sites(sites, limits, family)
    say(f"writing C and the converted model into {folder}")
    _make_room(folder)
    conversion = write_conversion(folder, model, placements)
    say("compiling the C and comparing it with the definition on every input")
    failures = check_kernels(placements, read_text(conversion.header), limits)
    data = load_data(data_file(DATA), model)
    say(f"running {data.samples} images: stock, then with our kernels")
    evaluation = evaluate(model, placements, data)
    return Demo(placements, conversion, evaluation, tuple(failures))


def check_kernels(placements: Sequence[Placement], header: str, limits: Limits) -> list[str]:
    """Return which kernels miss the budget or are something else than their definition in C."""
    kernels = kernels_of(placements)
    widths = {name: (fit.spec.input.bits, fit.spec.output.bits) for name, fit in kernels.items()}
    compiled = compile_header(header, widths)
    found = (_failure(compiled, name, fit, limits) for name, fit in kernels.items())
    return [failure for failure in found if failure]


def _failure(compiled: HostKernels, name: str, fit: Fit, limits: Limits) -> str:
    try:
        outputs = observe(compiled, name, fit.kernel)
        proved = also_checked(fit.certificate, fit.kernel, outputs, PLACE)
    except EmbactError as error:
        return f"{name}: {error}"
    if proved.max_error_codes > limits.max_error:
        return f"{name}: got {proved.max_error_codes} codes; allowed: {limits.max_error}"
    return ""


def _make_room(folder: Path) -> None:
    """Remove an earlier conversion, and nothing else: a folder with anything more is left."""
    ours = {MODEL, HEADER, REPORT, KERNELS}
    if not folder.is_dir() or {path.name for path in folder.iterdir()} != ours:
        return
    if all(path.suffix == ".json" for path in (folder / KERNELS).iterdir()):
        shutil.rmtree(folder)
