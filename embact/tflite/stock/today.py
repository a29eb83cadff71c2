"""How well a stock runtime computes a model's activations today, checked on every input code.

The operators of each element-wise site are cut out, run in a child process on all codes of their
input, and judged as a kernel of ours would be. This module must not know kernels' search or cost.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from embact.certify import DIGITS, DOUBT_CODES, EQUAL_LSB, NOISE, ideal, uncertain
from embact.errors import EmbactError
from embact.run.child import ending, run_child
from embact.tflite.find.meaning import CLAMPS, fused_name
from embact.tflite.graph import graph_of
from embact.tflite.host.runtime import find_runtime
from embact.tflite.stock.extract import excerpts
from embact.tflite.stock.worker import Job, Ran

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embact.activations import Activation
    from embact.grid import QuantSpec
    from embact.tflite.graph import Graph
    from embact.tflite.model import Model
    from embact.tflite.site import Findings, Site

Reach: TypeAlias = tuple[int, int]
"""The least and the largest input code that can occur."""

ORACLE_MOST = 256
"""Inputs that the oracle may decide: all of int8, at a few milliseconds each."""

WORKER = "embact.tflite.stock.worker"

TIMEOUT_S = 60.0
"""For all sites of a model together."""


@dataclass(frozen=True)
class StockError:
    """The exhaustive error of a site's operators, as a runtime computes them.

    runtime: its name and version. resolver: of runtime.RESOLVERS: reference, or default where the
    reference lacks an operator. points: the input codes that can occur: all, or those that an
    activation fused into the operator before leaves. The others are what a Certificate states of a
    kernel, against the same real function on the same grids.
    """

    runtime: str
    resolver: str
    points: int
    max_error_codes: int
    max_error_lsb: float
    mean_error_lsb: float
    not_correctly_rounded: int
    worst_input: int
    truth: str


@dataclass(frozen=True)
class NoStockError:
    """Why there is no error of a site: one line."""

    reason: str


def todays_errors(
    model: Model, findings: Findings, *, runtime: str = "litert", timeout_s: float = TIMEOUT_S
) -> tuple[StockError | NoStockError, ...]:
    """Return for each of ``findings.sites`` the error of its operators today.

    Equal sites are run once. A site that the runtime refuses, or in which it crashes, has the
    reason instead and takes nothing from the others. Raises EmbactError if there is no runtime.
    """
    if not findings.sites:
        return ()
    found = find_runtime(runtime).version
    cut = excerpts(model, findings.sites)
    contents = tuple(dict.fromkeys(one for one in cut if isinstance(one, bytes)))
    ran = dict(zip(contents, _run(contents, runtime, found, timeout_s), strict=True))
    graphs = {number: graph_of(model, number) for number in {s.subgraph for s in findings.sites}}
    judged: dict[tuple[bytes, Activation, QuantSpec, Reach], StockError | NoStockError] = {}
    errors: list[StockError | NoStockError] = []
    for site, one in zip(findings.sites, cut, strict=True):
        if isinstance(one, EmbactError):
            errors.append(NoStockError(str(one)))
            continue
        reach = reach_of(graphs[site.subgraph], site)
        key = (one, site.activation, site.spec, reach)
        if key not in judged:
            judged[key] = _judged(site, reach, *ran[one])
        errors.append(judged[key])
    return tuple(errors)


def reach_of(graph: Graph, site: Site) -> Reach:
    """Return the least and the largest input code of a site that the operator before can give.

    All, unless that operator has a fused activation that clamps.
    """
    grid = site.spec.input
    for position in range(len(graph.ops)):
        if site.input in graph.tensors(position)[1]:
            ends = CLAMPS.get(fused_name(graph.tree.operators[position].builtinOptions))
            if ends is not None:
                low, high = (
                    limit if end is None else grid.clamp(round(end / grid.scale) + grid.zero_point)
                    for end, limit in zip(ends, (grid.code_min, grid.code_max), strict=True)
                )
                return int(low), int(high)
    return grid.code_min, grid.code_max


def stock_error(
    activation: Activation, spec: QuantSpec, outputs: NDArray[Any], ran: Ran, reach: Reach
) -> StockError:
    """Return the error of the codes that a runtime gave for all inputs in ascending order.

    It has the definitions of ``certify``, over the codes of reach. Where the oracle would have to
    decide more than ORACLE_MOST inputs, which takes minutes for int16, the truth is float64 alone,
    and either neighbour of what it cannot tell from a tie is correctly rounded.
    """
    plain = dataclasses.replace(activation, oracle=None)
    truth, codes = ideal(plain, spec), spec.input.codes()
    doubt = np.abs(np.abs(truth.steps - np.floor(truth.steps)) - 0.5) < DOUBT_CODES
    needed = np.count_nonzero(doubt | uncertain(activation, spec))
    if activation.oracle is not None and needed <= ORACLE_MOST:
        truth, plain, doubt = ideal(activation, spec), activation, np.zeros_like(doubt)
    here = (codes >= reach[0]) & (codes <= reach[1])
    seen, steps = outputs.astype(np.int64)[here], truth.steps[here]
    codes_off = np.abs(seen - truth.codes[here])
    lsb_off = np.abs(seen - spec.output.zero_point - steps)
    lsb_off[lsb_off <= NOISE * np.abs(steps)] = 0.0
    codes_off[doubt[here] & (lsb_off < 0.5 + DOUBT_CODES)] = 0
    return StockError(
        runtime=ran.runtime,
        resolver=ran.resolver,
        points=int(seen.size),
        max_error_codes=int(codes_off.max()),
        max_error_lsb=_digits(float(lsb_off.max())),
        mean_error_lsb=_digits(float(lsb_off.mean())),
        not_correctly_rounded=int(np.count_nonzero(codes_off)),
        worst_input=int(codes[here][np.argmax(lsb_off >= lsb_off.max() - EQUAL_LSB)]),
        truth=plain.truth,
    )


def _digits(error: float) -> float:
    """Return an error with as many digits as a Certificate states."""
    return float(f"{error:.{DIGITS}g}") if error < 1 else round(error, DIGITS)


def _judged(
    site: Site, reach: Reach, ran: Ran, outputs: NDArray[Any] | None
) -> StockError | NoStockError:
    if outputs is None:
        return NoStockError(ran.refused)
    if outputs.size != 1 << site.spec.input.bits:
        return NoStockError(f"{ran.runtime} gave {outputs.size} outputs")
    try:
        return stock_error(site.activation, site.spec, outputs, ran, reach)
    except EmbactError as error:
        return NoStockError(str(error))


def _run(
    contents: Sequence[bytes], runtime: str, version: str, timeout_s: float
) -> list[tuple[Ran, NDArray[Any] | None]]:
    """Return what became of each excerpt, in as many processes as excerpts crash, and one more."""
    with tempfile.TemporaryDirectory(prefix="embact-") as name:
        folder = Path(name)
        for number, content in enumerate(contents):
            (folder / f"{number}.tflite").write_bytes(content)
        pending = list(range(len(contents)))
        while pending:
            stage = folder / "stage"
            job = Job(runtime, str(folder), tuple(pending), str(stage))
            (folder / "job.json").write_bytes(msgspec.json.encode(job))
            stage.write_text("", "utf-8")
            done = run_child(WORKER, folder / "job.json", timeout_s)
            if done is not None and done.returncode == 0:
                break
            how = f"{version} took over {timeout_s:g} s"
            if done is not None:
                verb = "crashed" if done.returncode < 0 else "failed"
                how = f"{version} {verb} on this site: {ending(done)}"
            pending = _after(folder, pending, stage.read_text("utf-8"), how, late=done is None)
        return [_result(folder / str(number)) for number in range(len(contents))]


def _after(folder: Path, pending: list[int], at: str, how: str, *, late: bool) -> list[int]:
    """Write what became of the excerpt at work, and return those that are still to be run.

    late: time is over for all of them. Raises EmbactError if the child did not get to the first.
    """
    if not at:
        raise EmbactError("the child process that runs the sites ended at once", got=how)
    position = pending.index(int(at))
    lost, left = [pending[position]], pending[position + 1 :]
    if late:
        lost, left = lost + left, []
    for number in lost:
        (folder / f"{number}.json").write_bytes(msgspec.json.encode(Ran("", refused=how)))
    return left


def _result(base: Path) -> tuple[Ran, NDArray[Any] | None]:
    ran = msgspec.json.decode(base.with_suffix(".json").read_bytes(), type=Ran)
    if ran.refused:
        return ran, None
    return ran, np.load(base.with_suffix(".npy"), allow_pickle=False)
