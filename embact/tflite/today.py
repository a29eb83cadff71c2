"""How well a stock runtime computes a model's activations today, checked on every input code.

The operators of each element-wise site are cut out, run in a child process on all codes of their
input, and judged as a kernel of ours would be. This module must not know kernels' search or cost.
"""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from embact.certify import certify
from embact.errors import EmbactError
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.run.child import ending, run_child
from embact.tflite.extract import excerpts
from embact.tflite.runtime import find_runtime
from embact.tflite.today_worker import Job, Ran

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from embact.activations import Activation
    from embact.grid import QuantSpec
    from embact.tflite.model import Model
    from embact.tflite.site import Findings, Site

TIMEOUT_S = 60.0
"""For all sites of a model together."""


@dataclass(frozen=True)
class StockError:
    """The exhaustive error of a site's operators, as a runtime computes them.

    runtime: its name and version. resolver: of runtime.RESOLVERS: reference, or default where the
    reference lacks an operator. The others are what a Certificate states of a kernel, against the
    same real function on the same grids.
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
    judged: dict[tuple[bytes, Activation, QuantSpec], StockError | NoStockError] = {}
    errors: list[StockError | NoStockError] = []
    for site, one in zip(findings.sites, cut, strict=True):
        if isinstance(one, EmbactError):
            errors.append(NoStockError(str(one)))
            continue
        key = (one, site.activation, site.spec)
        if key not in judged:
            judged[key] = _judged(site, *ran[one])
        errors.append(judged[key])
    return tuple(errors)


def stock_error(
    activation: Activation, spec: QuantSpec, outputs: NDArray[np.integer], ran: Ran
) -> StockError:
    """Return the error of the codes that a runtime gave for all inputs in ascending order.

    They are judged by ``certify``, as the table they are. What a formula computes is known to
    float64 only for int16: its oracle would take minutes for 65536 inputs.
    """
    bits = spec.input.bits
    if bits > 8 and not activation.tested and activation.oracle is not None:
        activation = dataclasses.replace(activation, oracle=None)
    table = Table("stock", tuple(outputs.astype(np.int64).tolist()))
    kernel = Kernel(lookup(table, add(x(), const(1 << (bits - 1)))), bits, spec.output.bits)
    proved = certify(activation, spec, kernel)
    return StockError(
        runtime=ran.runtime,
        resolver=ran.resolver,
        points=proved.points,
        max_error_codes=proved.max_error_codes,
        max_error_lsb=proved.max_error_lsb,
        mean_error_lsb=proved.mean_error_lsb,
        not_correctly_rounded=proved.not_correctly_rounded,
        worst_input=proved.worst_input,
        truth=proved.truth,
    )


def _judged(site: Site, ran: Ran, outputs: NDArray[np.integer] | None) -> StockError | NoStockError:
    if outputs is None:
        return NoStockError(ran.refused)
    if outputs.size != 1 << site.spec.input.bits:
        return NoStockError(f"{ran.runtime} gave {outputs.size} outputs")
    try:
        return stock_error(site.activation, site.spec, outputs, ran)
    except EmbactError as error:
        return NoStockError(str(error))


def _run(
    contents: Sequence[bytes], runtime: str, version: str, timeout_s: float
) -> list[tuple[Ran, NDArray[np.integer] | None]]:
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
            done = run_child("embact.tflite.today_worker", folder / "job.json", timeout_s)
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


def _result(base: Path) -> tuple[Ran, NDArray[np.integer] | None]:
    ran = msgspec.json.decode(base.with_suffix(".json").read_bytes(), type=Ran)
    if ran.refused:
        return ran, None
    return ran, np.load(base.with_suffix(".npy"), allow_pickle=False)
