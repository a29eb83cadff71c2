"""Measure what kernels cost on every core, and write embact/data/costs.json.

    python tools/calibrate.py             some minutes
    python tools/calibrate.py --most 2    at most 2 kernels of each family and pair of widths
    python tools/calibrate.py --check     change nothing; exit status 1 if a count differs

A corpus of kernels, families by activations by parameters, is emitted, compiled and counted on
emulated cores, each output checked. The table of structures is what was counted; the prices are a
non-negative least squares fit of relative errors, and their residual is that of kernels left out
of the fit, a fifth at a time. It needs embact[emulate], scipy, and a compiler and an emulator of
every core.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import zlib
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import nnls
from written import json_lines

from embact import __version__
from embact.activations import activation
from embact.bench.measure import OPTIMISE, count, version_of
from embact.bench.subject import Subject, of_fit
from embact.certify import certify
from embact.conventions import output_grid
from embact.cores import CORES
from embact.cost import (
    FILE,
    SCHEMA,
    Costs,
    Prices,
    Structure,
    features_of,
    in_vectors,
    read,
    structure_of,
)
from embact.emit.forms import form_of
from embact.errors import EmbactError
from embact.files import write_text
from embact.fit.classics import CLASSICS
from embact.fit.problem import Candidate, Limits, Problem
from embact.fit.record import Fit
from embact.fit.search import FAMILIES
from embact.grid import Grid, QuantSpec, grid_of_range
from embact.ir import Node, Op, clamp, const, x
from embact.kernel import Kernel
from embact.run.cross import cross_compiler
from embact.run.emulator import emulator
from embact.sources import data_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


ACTIVATIONS = {
    "sigmoid": 8.0,
    "gelu": 4.0,
    "relu6": 8.0,
    "leaky_relu": 6.0,
    "hard_swish": 5.0,
    "softsign": 8.0,
}
"""Name -> the input range is twice this number. Of mixed widths the first three."""

WIDTHS = ((8, 8), (16, 16), (8, 16), (16, 8))
BUDGETS = {8: (1, 8), 16: (2, 16)}
"""Errors in codes, by the input's width."""

MOST = 9
"""Kernels of a family and a pair of widths."""

FEW = 24
"""Kernels of a family for one problem that are looked at."""

BATCH = 24
"""Kernels of a program."""

FOLDS = 5


@dataclass(frozen=True)
class Sample:
    """A kernel of the corpus, not yet certified, and what it is in words."""

    about: str
    problem: Problem
    family: str
    candidate: Candidate

    @property
    def kernel(self) -> Kernel:
        """Its kernel."""
        return self.candidate.kernel


def corpus(most: int) -> list[Sample]:
    """Return kernels of different structures, at most so many of each family and widths."""
    groups: dict[tuple[object, ...], list[Sample]] = defaultdict(list)
    seen = set()
    for one in _candidates():
        structure = structure_of(one.kernel)
        if structure not in seen:
            seen.add(structure)
            groups[one.family, one.kernel.input_bits, one.kernel.output_bits].append(one)
    chosen = [one for group in groups.values() for one in _spread(group, most)]
    known = {structure_of(one.kernel) for one in chosen}
    plain = [*clamps(), *constants()]
    return chosen + [one for one in plain if structure_of(one.kernel) not in known]


def clamps() -> list[Sample]:
    """Return the kernels of the clamping loop: the identity and the limits at either end, or both.

    They are few, and so cheap that a fit would be far off.
    """
    found = []
    for bits in (8, 16):
        grid = Grid(0.0625, 0, bits)
        problem = Problem(activation("relu6"), QuantSpec(grid, grid))
        above, below = Node(Op.MAX, (x(), const(-5))), Node(Op.MIN, (x(), const(96)))
        shapes = {"identity": x(), "above": above, "below": below, "both": clamp(x(), -5, 96)}
        for name, node in shapes.items():
            candidate = Candidate(Kernel(node, bits, bits))
            found.append(Sample(f"clamp {name} s{bits}", problem, "affine", candidate))
    return found


def constants() -> list[Sample]:
    """Return a kernel of each pair of widths that reads nothing."""
    found = []
    for bits, out_bits in WIDTHS:
        spec = QuantSpec(Grid(0.0625, 0, bits), Grid(0.0625, 0, out_bits))
        candidate = Candidate(Kernel(const(5), bits, out_bits))
        problem = Problem(activation("relu6"), spec)
        found.append(Sample(f"constant s{bits} s{out_bits}", problem, "affine", candidate))
    return found


def _candidates() -> Iterator[Sample]:
    families = [name for name in FAMILIES if name not in CLASSICS]
    for bits, out_bits in WIDTHS:
        names = list(ACTIVATIONS)[: None if bits == out_bits else 3]
        for name, budget, family in itertools.product(names, BUDGETS[bits], families):
            act, grid = activation(name), grid_of_range(-ACTIVATIONS[name], ACTIVATIONS[name], bits)
            spec = QuantSpec(grid, output_grid(act, grid, out_bits))
            problem = Problem(act, spec, Limits(budget, 4096))
            for candidate in itertools.islice(FAMILIES[family](problem), FEW):
                chosen = " ".join(f"{key} {value}" for key, value in candidate.parameters.items())
                about = f"{family} {name} s{bits} s{out_bits} {chosen}".rstrip()
                yield Sample(about, problem, family, candidate)


def _spread(group: list[Sample], most: int) -> list[Sample]:
    """Return at most so many, smallest and largest included, evenly by the number of nodes."""
    ordered = sorted(group, key=lambda one: (len(one.kernel.nodes), one.about))
    if len(ordered) <= most:
        return ordered
    places = np.linspace(0, len(ordered) - 1, most).round().astype(int)
    return [ordered[place] for place in places]


def subject_of(number: int, one: Sample) -> Subject:
    """Return what is measured of a kernel, without a check of other inputs than those."""
    proved = certify(one.problem.activation, one.problem.spec, one.kernel)
    whole = of_fit(f"k{number}", Fit(one.problem, one.family, one.candidate, proved))
    return dataclasses.replace(whole, every=whole.counted)


def counts_on(core: str, subjects: Sequence[Subject]) -> dict[str, float]:
    """Return the instructions of each row that can be compiled; the others are told."""
    found: dict[str, float] = {}
    for start in range(0, len(subjects), BATCH):
        found |= _counts(core, subjects[start : start + BATCH])
        print(f"{core}: {len(found)} of {len(subjects)}", file=sys.stderr)
    return found


def _counts(core: str, subjects: Sequence[Subject]) -> dict[str, float]:
    """Return the counts of a batch; where it fails, of its halves."""
    try:
        return count(subjects, CORES[core])
    except EmbactError as error:
        if len(subjects) == 1:
            print(f"left out: {subjects[0].name} on {core}: {error}", file=sys.stderr)
            return {}
        half = len(subjects) // 2
        return _counts(core, subjects[:half]) | _counts(core, subjects[half:])


def fitted(core: str, kernels: Sequence[Kernel], counts: Sequence[float]) -> Prices:
    """Return the prices of the least relative squares, and the residual of kernels left out."""
    features = [features_of(kernel) for kernel in kernels]
    names = sorted({name for one in features for name in one})
    matrix = np.array([[one.get(name, 0.0) for name in names] for one in features])
    wanted = np.array(counts)
    fold = np.array([zlib.crc32(structure_of(one).encode()) % FOLDS for one in kernels])
    guessed = np.zeros(wanted.size)
    for left_out in range(FOLDS):
        rest = fold != left_out
        guessed[~rest] = matrix[~rest] @ _solved(matrix[rest], wanted[rest])
    off = guessed / wanted - 1
    prices = _solved(matrix, wanted)
    return Prices(
        core,
        rms=round(float(np.sqrt(np.mean(off**2))), 3),
        worst=round(float(np.abs(off).max()), 3),
        kernels=len(kernels),
        prices={
            name: round(float(price), 3)
            for name, price in zip(names, prices, strict=True)
            if price >= 0.0005
        },
    )


def _solved(matrix: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    prices: np.ndarray[Any, Any] = nnls(matrix / wanted[:, None], np.ones(wanted.size))[0]
    return prices


def calibrated(most: int) -> Costs:
    """Return the costs of a new calibration. Raises EmbactError without compilers or emulators."""
    samples = corpus(most)
    subjects = [subject_of(number, one) for number, one in enumerate(samples)]
    tools = {(cross_compiler(core), emulator(core)) for core in CORES.values()}
    (compiler,) = {version_of(one.version) for one, _ in tools}
    (where,) = {f"{one.kind} {one.version}" for _, one in tools}
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(counts_on, subjects=subjects), CORES))
    counts = dict(zip(CORES, found, strict=True))
    whole = [i for i, one in enumerate(subjects) if all(one.name in c for c in found)]
    return Costs(
        SCHEMA,
        __version__,
        f"{compiler} {OPTIMISE}",
        where,
        tuple(CORES),
        fitted=tuple(
            fitted(
                core,
                *_pairs(core, samples, subjects, counted),
            )
            for core, counted in counts.items()
        ),
        measured=tuple(
            Structure(
                structure_of(samples[i].kernel),
                samples[i].about,
                form_of(samples[i].kernel) is not None,
                tuple(round(counts[core][subjects[i].name], 2) for core in CORES),
            )
            for i in whole
        ),
    )


def _pairs(
    core: str,
    samples: Sequence[Sample],
    subjects: Sequence[Subject],
    counted: Mapping[str, float],
) -> tuple[list[Kernel], list[float]]:
    """Return the kernels whose loops are generated from C's operations, and their counts.

    Hand-written loops are not alike, and loops of vectors tell their instructions themselves.
    """
    vectors = CORES[core].tier == "helium"
    kernels, counts = [], []
    for one, subject in zip(samples, subjects, strict=True):
        own = form_of(one.kernel) is None and not (vectors and in_vectors(one.kernel))
        if own and subject.name in counted:
            kernels.append(one.kernel)
            counts.append(counted[subject.name])
    return kernels, counts


def text_of(costs: Costs) -> str:
    """Return the file: a line for each structure and for each core's fit."""
    return json_lines(dataclasses.asdict(costs), {"fitted", "measured"})


def main(arguments: Sequence[str]) -> int:
    """Calibrate; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--most", type=int, default=MOST, help="kernels of a family and widths")
    options = parser.parse_args(arguments)
    path = data_file(FILE)
    try:
        found = calibrated(options.most)
        same = not options.check or read(path).measured == found.measured
    except EmbactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for one in found.fitted:
        print(
            f"{one.core}: {one.kernels} kernels, fit of those left out: "
            f"{one.rms:.1%} RMS, {one.worst:.1%} at worst"
        )
    print(f"{len(found.measured)} structures measured, {found.compiler}, {found.emulator}")
    if not options.check:
        write_text(path, text_of(found))
    elif not same:
        print(f"{path} is stale: run python tools/calibrate.py", file=sys.stderr)
    return int(not same)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
