"""Loops of ours on this machine against a TFLite runtime and numpy, as ratios of times in one run.

Times on a machine that others use, too, mean little; ratios of neighbours in time mean more. The
row "bench" of the architecture is below "tflite" because this module needs its runtimes. This
module must not know how results are shown.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from embact.bench.host_contests import contests
from embact.bench.host_models import one_operator
from embact.bench.host_worker import Answer, Job, Round
from embact.errors import CheckFailed, EmbactError
from embact.run.build import extension
from embact.run.child import ending, run_child
from embact.run.toolchain import find_compiler
from embact.tflite.host.runtime import check_resolver, find_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from embact.bench.host_contests import Contest
    from embact.bench.host_worker import Times
    from embact.grid import Codes

SIZES = (1_000, 64_000, 1_000_000)
"""Elements, about: each is rounded to whole rows or pixels."""

ROUNDS = 21
TIMEOUT_S = 600.0
SEED = 20261121

BUILDS: Mapping[str, tuple[str, ...]] = {"-O2": (), "-O3 -march=native": ("-O3", "-march=native")}
"""How our loops are compiled: names and what stands after -O2."""

CDEF = """
typedef void (*embact_host_loop)(const void *from, void *to, int32_t size);
embact_host_loop embact_host_row(int32_t index);
"""


@dataclass(frozen=True)
class Ratio:
    """How many times as long as ours something takes on this machine.

    row: of ours. build: its compiler's flags. against: the runtime's version, or numpy. operator:
    of the runtime, or take. ratio: their time over ours, the median of all rounds; low, high: the
    tenth and ninetieth percentile. nanoseconds: ours for an element, the median. differing, most:
    how many of their outputs differ from ours, and by how many codes at most.
    """

    row: str
    elements: int
    build: str
    against: str
    operator: str
    ratio: float
    low: float
    high: float
    nanoseconds: float
    differing: int
    most: int


@dataclass(frozen=True)
class Comparison:
    """compiler: of our loops. resolver: which kernels the runtimes used."""

    compiler: str
    resolver: str
    ratios: tuple[Ratio, ...]


def compare_host(
    runtimes: Sequence[str] = ("litert",),
    *,
    resolver: str = "default",
    sizes: Sequence[int] = SIZES,
    rounds: int = ROUNDS,
    chosen: Sequence[Contest] | None = None,
) -> Comparison:
    """Return the ratios of every loop at every size against each runtime, one thread each.

    Each runtime has a child process of its own, in which all contenders take turns. Raises
    EmbactError if a runtime or a compiler is missing; CheckFailed if an output of ours is wrong.
    """
    check_resolver(resolver)
    for runtime in runtimes:
        find_runtime(runtime)
    if not 3 <= rounds <= 1000:
        raise EmbactError("rounds", got=rounds, allowed="3..1000")
    chosen = contests() if chosen is None else chosen
    builds = {name: _built(chosen, flags) for name, flags in BUILDS.items()}
    found: list[Ratio] = []
    with tempfile.TemporaryDirectory(prefix="embact-") as name:
        rows = [
            _prepared(Path(name), number, contest, size)
            for number, contest in enumerate(chosen)
            for size in sizes
        ]
        for runtime in runtimes:
            job = Job(
                runtime, resolver, builds, tuple(rows), rounds, str(Path(name, "answer.json"))
            )
            answer = _answer(job, Path(name, "job.json"))
            operators = {one.name: one.operator.name for one in chosen}
            for times in answer.times:
                found += _ratios(times, runtime, answer.runtime, operators[times.name])
    compiler = find_compiler().version.splitlines()[0]
    return Comparison(compiler, resolver, tuple(found))


def _built(chosen: Sequence[Contest], flags: tuple[str, ...]) -> tuple[str, str]:
    """Return the module and the path of our loops, compiled with these flags."""
    module = extension("host_bench", CDEF, loop_sources(chosen), flags=flags)
    return module.__name__, str(Path(module.__file__).absolute())


def loop_sources(chosen: Sequence[Contest]) -> dict[str, str]:
    """Return the C of some loops: a file for each, and one with their addresses.

    Raises EmbactError where two have files of one name and other texts.
    """
    files: dict[str, str] = {}
    signature = "void embact_host_row_{}(const void *from, void *to, int32_t size)"
    for number, one in enumerate(chosen):
        for name, text in one.files.items():
            if files.setdefault(name, text) != text:
                raise EmbactError("two files of one name", got=name, where=one.name)
        bits = one.spec.input.bits, one.spec.output.bits
        own = signature.format(number)
        files[f"embact_host_row_{number}.c"] = (
            f'#include "{one.include}"\n{own};\n{own} {{\n'
            f"    const int{bits[0]}_t *const input = (const int{bits[0]}_t *)from;\n"
            f"    int{bits[1]}_t *const output = (int{bits[1]}_t *)to;\n"
            f"    (void){one.call};\n}}\n"
        )
    declared = "".join(f"{signature.format(number)};\n" for number in range(len(chosen)))
    names = ", ".join(f"embact_host_row_{number}" for number in range(len(chosen)))
    files["embact_host_rows.c"] = (
        f"#include <stdint.h>\n{declared}{CDEF.strip()}\n"
        "embact_host_loop embact_host_row(int32_t index) {\n"
        f"    static const embact_host_loop all[] = {{{names}}};\n    return all[index];\n}}\n"
    )
    return files


def _prepared(folder: Path, number: int, contest: Contest, size: int) -> Round:
    """Write the files of one round: the model, pseudo-random codes, and what must come of them."""
    elements = max(size // contest.step, 1) * contest.step
    spec, half = contest.spec, 1 << (contest.spec.input.bits - 1)
    codes: Codes = np.random.default_rng(SEED).integers(-half, half, elements)
    stem = folder / f"{number}_{elements}"
    paths = {kind: f"{stem}.{kind}.npy" for kind in ("codes", "expected", "taken")}
    np.save(paths["codes"], codes.astype(spec.input.dtype))
    np.save(paths["expected"], contest.definition(codes).astype(spec.output.dtype))
    if contest.taken is not None:
        # take is given the codes as bytes, so that the entry for -128 is in the middle
        np.save(paths["taken"], np.roll(contest.taken, 128).astype(spec.output.dtype))
    model = Path(f"{stem}.tflite")
    model.write_bytes(one_operator(contest.operator, spec, contest.shape(elements)))
    return Round(
        contest.name,
        number,
        str(model),
        paths["codes"],
        paths["expected"],
        paths["taken"] if contest.taken is not None else "",
        elements,
    )


def _answer(job: Job, job_file: Path) -> Answer:
    """Run a job in a new process and return its answer."""
    job_file.write_bytes(msgspec.json.encode(job))
    done = run_child("embact.bench.host_worker", job_file, TIMEOUT_S)
    if done is None:
        raise EmbactError(f"{job.runtime} took too long", got=f"over {TIMEOUT_S:g} s")
    if done.returncode:
        raise EmbactError(f"{job.runtime} ended early", got=ending(done))
    answer = msgspec.json.decode(Path(job.answer).read_bytes(), type=Answer)
    if answer.error:
        what, got, allowed, where = answer.error
        raise EmbactError(what, got=got, allowed=allowed, where=where)
    return answer


def _ratios(times: Times, runtime: str, version: str, operator: str) -> list[Ratio]:
    """Return the ratios of one contest. Raises CheckFailed if outputs of ours are wrong."""
    for build in BUILDS:
        if times.differing[build]:
            raise CheckFailed(
                f"{times.name} differs from its definition on this machine",
                got=f"{times.differing[build]} of {times.elements} outputs",
                where=build,
            )
    found = []
    others = {"numpy take": (f"numpy {np.__version__}", "take"), runtime: (version, operator)}
    for build in BUILDS:
        ours = times.seconds[build]
        for name, (against, what) in others.items():
            if name not in times.seconds:
                continue
            ratios = [b / a for a, b in zip(ours, times.seconds[name], strict=True)]
            tenths = statistics.quantiles(ratios, n=10, method="inclusive")
            found.append(
                Ratio(
                    times.name,
                    times.elements,
                    build,
                    against,
                    what,
                    statistics.median(ratios),
                    tenths[0],
                    tenths[-1],
                    statistics.median(ours) * 1e9,
                    times.differing[name],
                    times.most[name],
                )
            )
    return found


def document(compared: Comparison, skipped: Sequence[str] = ()) -> dict[str, Any]:
    """Return a comparison as plain values for JSON. skipped: missing runtimes, in words."""
    return {
        "unit": "times as long as ours, median of rounds; low and high: 10th, 90th percentile",
        "skipped": list(skipped),
        **dataclasses.asdict(compared),
    }


def as_csv(compared: Comparison) -> str:
    """Return a comparison as CSV, a line for each ratio."""
    text = io.StringIO()
    names = [field.name for field in dataclasses.fields(Ratio)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "compiler", "resolver"])
    for one in compared.ratios:
        writer.writerow([*dataclasses.astuple(one), compared.compiler, compared.resolver])
    return text.getvalue()
