"""One fit that is wanted, as plain data, and its answer: a text that anything can carry and check.

A job is named by what was asked and by the code that answers, so equal jobs are done once and a
finished one is found again, but never one of another build. This module must not know who runs
jobs, where answers are kept, how a spec file is written, or how any family works.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from embact import __version__
from embact.activations import activation
from embact.certify import Histogram, check_width
from embact.cost import instructions
from embact.errors import EmbactError
from embact.fit.problem import Limits, Options, Problem
from embact.fit.record import fit_json, fit_of_json
from embact.fit.search import AUTO, families_of, fit
from embact.grid import QuantSpec  # noqa: TC001 - msgspec reads the annotations at run time
from embact.sources import PACKAGE

if TYPE_CHECKING:
    from embact.activations import Activation

KEY_DIGITS = 12
"""Of a key in a file's name: two of a million jobs share them with a chance of 1 in 500."""

CODE = (
    "activations.py",
    "catalogue/*.py",
    "certify.py",
    "cores.py",
    "cost.py",
    "data/costs.json",
    "enclosure.py",
    "errors.py",
    "expression.py",
    "float_error.py",
    "fit/*.py",
    "formula.py",
    "grid.py",
    "helium/*.py",
    "ir.py",
    "jobs.py",
    "kernel.py",
    "sources.py",
    "truth.py",
)
"""The sources of this package that decide what the answer to a job is."""


@cache
def code_digest() -> str:
    """Return a hash of the sources that decide answers: another build's is another.

    Raises EmbactError if one cannot be read: without it no answer can be told from another's.
    """
    digest = hashlib.sha256()
    for pattern in CODE:
        paths = sorted(PACKAGE.glob(pattern))
        try:
            sources = [(path.name, path.read_bytes()) for path in paths]
        except OSError as error:
            raise EmbactError(
                "source of embact cannot be read", got=error.strerror, where=str(PACKAGE / pattern)
            ) from None
        if not sources:
            raise EmbactError("source of embact is missing", where=str(PACKAGE / pattern))
        for name, source in sources:
            digest.update(f"{name} {len(source)}\n".encode() + source)
    return digest.hexdigest()


@dataclass(frozen=True)
class Job:
    """One fit that is wanted, as plain data that any process can read.

    activation: a name of the catalogue, whose parameters are all given, or the name that goes with
    expr, a formula. Raises EmbactError for an unknown family, for options about the form that it
    does not have, and for a histogram that is not over the input's codes, or is missed.
    """

    activation: str
    parameters: dict[str, float]
    expr: str | None
    quantisation: QuantSpec
    limits: Limits
    options: Options
    family: str = AUTO
    histogram: Histogram | None = None

    def __post_init__(self) -> None:
        families_of(self.family, self.options)
        check_width(self.histogram, self.quantisation)
        if self.limits.on_support and self.histogram is None:
            raise EmbactError("max_error_on_support without a histogram", allowed="with one")

    @property
    def text(self) -> str:
        """The job as JSON, which ``answer`` takes."""
        return msgspec.json.encode(self).decode()

    @property
    def asked(self) -> dict[str, Any]:
        """What is asked, as plain data: equal for equal jobs, with the histogram by its hash."""
        fields = {name: vars(self)[name] for name in self.__dataclass_fields__}
        plain: dict[str, Any] = msgspec.to_builtins(fields | {"histogram": self.histogram_digest})
        return plain

    @property
    def histogram_digest(self) -> str | None:
        """A hash of the counts."""
        if self.histogram is None:
            return None
        return hashlib.sha256(msgspec.json.encode(self.histogram.counts)).hexdigest()

    @cached_property
    def key(self) -> str:
        """A hash of what is asked, and of the code that answers."""
        text = json.dumps(self.asked, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(f"{__version__}\n{code_digest()}\n{text}".encode()).hexdigest()

    @property
    def suffix(self) -> str:
        """The end of the name of the file that answers the job."""
        return f"_{self.key[:KEY_DIGITS]}.json"

    @property
    def title(self) -> str:
        """The job in a few words."""
        source, target = self.quantisation.input, self.quantisation.output
        settings = "".join(f" {name}={value:g}" for name, value in self.parameters.items())
        formula = "" if self.expr is None else f" {self.expr}"
        counts = self.histogram_digest
        most = "" if self.limits.max_bytes is None else f", {self.limits.max_bytes} bytes"
        on_support = " on the support" if self.limits.on_support else ""
        return (
            f"{self.activation}{formula}{settings} {source.dtype} {source.scale:.4g} -> "
            f"{target.dtype} {target.scale:.4g} {self.family} <= {self.limits.max_error}"
            f"{on_support}{most}, {self.options.objective}"
            + ("" if counts is None else f", histogram {counts[:KEY_DIGITS]}")
        )

    @property
    def problem(self) -> Problem:
        """What the families are asked."""
        wanted = function_of(self.activation, self.parameters, self.expr)
        return Problem(wanted, self.quantisation, self.limits, self.options, self.histogram)


def function_of(name: str, parameters: dict[str, float], expr: str | None) -> Activation:
    """Return the activation of the catalogue, or the one that a formula means under that name."""
    if expr is not None:
        from embact.expression import parse

        return parse(expr, name)
    return activation(name, **parameters)


def distinct(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs without those that equal an earlier one."""
    return list({job.key: job for job in jobs}.values())


@dataclass(frozen=True)
class Row:
    """What became of a job: the kernel in ``file``, or the error that says why there is none."""

    key: str
    job: Job
    file: str
    family: str | None = None
    max_error_codes: int | None = None
    max_error_codes_on_support: int | None = None
    max_error_lsb: float | None = None
    table_bytes: int | None = None
    instructions: float | None = None
    digest: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class _NoKernel:
    """The JSON document of a job that no kernel answers within its limits."""

    embact: str
    key: str
    job: dict[str, Any]
    error: str


Answer = tuple[str, str]
"""The name and the text of the file that answers a job."""

Answers = Generator[tuple[Job, Answer], None, None]


def answer(text: str) -> Answer:
    """Return the answer to the job that a JSON text holds; the same in every process."""
    job = msgspec.json.decode(text, type=Job)
    try:
        found = fit(job.problem, job.family)
    except EmbactError as error:
        refusal = msgspec.json.encode(_NoKernel(__version__, job.key, job.asked, str(error)))
        return "no_kernel" + job.suffix, msgspec.json.format(refusal, indent=2).decode() + "\n"
    return found.function_name + job.suffix, fit_json(found)


def row_of(job: Job, name: str, text: str) -> Row:
    """Return the row of a job whose answer is in a file.

    Raises EmbactError if the file is damaged, answers another job, or is of another build.
    """
    if not name.endswith(job.suffix):
        raise EmbactError(
            "result of another job, or of another build of embact",
            got=name,
            allowed=f"a name that ends with {job.suffix}",
        )
    if name == "no_kernel" + job.suffix:
        try:
            refusal = msgspec.json.decode(text, type=_NoKernel)
        except (msgspec.DecodeError, RecursionError) as error:
            raise EmbactError("not a result of a sweep", got=error, where=name) from None
        if (refusal.key, refusal.job) != (job.key, job.asked):
            raise EmbactError("result of another job", got=refusal.key, where=name)
        return Row(job.key, job, name, error=refusal.error)
    found = fit_of_json(text, where=name)
    asked = job.problem
    limits = found.limits
    if job.options.objective == "error" and limits.max_error <= asked.limits.max_error:
        limits = replace(limits, max_error=asked.limits.max_error)  # the rung that was enough
    if _identity(replace(found.problem, limits=limits)) != _identity(asked) or (
        job.family not in {AUTO, found.family}
    ):
        raise EmbactError("result of another job", got=found.command, where=name)
    if name != found.function_name + job.suffix:
        raise EmbactError("name of a result", got=name, allowed=found.function_name + job.suffix)
    return Row(
        job.key,
        job,
        name,
        found.family,
        found.certificate.max_error_codes,
        found.certificate.max_error_codes_on_support,
        found.certificate.max_error_lsb,
        found.kernel.table_bytes,
        instructions(found.kernel, job.options.core),
        found.kernel.digest,
    )


def _identity(problem: Problem) -> tuple[object, ...]:
    wanted = problem.activation
    function = wanted.name, wanted.formula, wanted.values
    return (*function, problem.spec, problem.limits, problem.options, problem.histogram)
