"""Jobs: what names one, what makes none, and what may be trusted as its answer."""

from __future__ import annotations

import ast
import json
import shutil
from dataclasses import replace

import msgspec
import pytest

from embact import jobs
from embact.certify import Histogram
from embact.fit.problem import Limits, Options
from embact.fit.record import fit_of_json
from embact.fit.search import fit
from embact.grid import Grid, QuantSpec
from embact.jobs import CODE, Job, answer, code_digest, distinct, row_of
from embact.sources import PACKAGE

SPEC = QuantSpec(Grid(1 / 16, 0, 8), Grid(1 / 128, 0, 8))
FEW = Histogram((0,) * 120 + (3, 5, 2, 1) + (0,) * 132)
SEEN = {"limits": Limits(1, None, on_support=True), "histogram": FEW}


def job(name="tanh", **changes):
    limits, options = Limits(1), Options()
    return replace(Job(name, {}, None, SPEC, limits, options, family="lut"), **changes)


# What names a job


def test_equal_jobs_have_one_key():
    assert job().key == job().key == Job(**vars(job())).key
    assert job(**SEEN).key == job(**SEEN | {"histogram": Histogram(FEW.counts)}).key
    assert distinct([job(), job("elu"), job()]) == [job(), job("elu")]


@pytest.mark.parametrize(
    "change",
    [
        {"activation": "sigmoid"},
        {"parameters": {"alpha": 0.1}},
        {"expr": "x"},
        {"quantisation": replace(SPEC, output=Grid(1 / 128, 1, 8))},
        {"limits": Limits(2)},
        {"limits": Limits(1, 256)},
        {"options": Options(fold=True)},
        {"histogram": FEW},
        {"family": "pwl"},
        {"options": Options(objective="bytes")},
        {"options": Options(core="cortex-m0plus")},
    ],
)
def test_whatever_is_asked_otherwise_changes_the_key(change):
    assert job(**change).key != job().key


def test_every_count_and_what_it_is_for_change_the_key():
    more = Histogram((*FEW.counts[:-1], 1))
    changed = [SEEN | {"histogram": more}, SEEN | {"limits": Limits(1)}]
    assert len({job(**change).key for change in (SEEN, *changed)}) == 3


def test_the_key_has_the_histogram_by_its_hash_and_the_text_for_workers_has_its_counts():
    seen = job(**SEEN)
    assert seen.asked["histogram"] == seen.histogram_digest
    assert seen.asked == json.loads(seen.text) | {"histogram": seen.histogram_digest}
    text = seen.text
    assert seen.key == msgspec.json.decode(text, type=Job).key
    assert seen.text == text  # the key that is kept meanwhile is no part of it
    assert msgspec.json.decode(text, type=Job) == seen


def test_another_embact_changes_the_key(monkeypatch):
    before = job().key
    monkeypatch.setattr(jobs, "__version__", "99.0")
    assert job().key != before


def test_another_build_changes_the_key(monkeypatch):
    before = job().key
    monkeypatch.setattr(jobs, "code_digest", lambda: "0")
    assert job().key != before


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package's sources to change."""
    copy = tmp_path / "embact"
    shutil.copytree(PACKAGE, copy)
    monkeypatch.setattr(jobs, "PACKAGE", copy)
    return copy


@pytest.mark.parametrize(
    "name", ["grid.py", "fit/pwl.py", "fit/search.py", "jobs.py", "data/costs.json"]
)
def test_a_change_of_a_source_that_decides_answers_is_another_build(package, name):
    assert code_digest.__wrapped__() == code_digest()
    with (package / name).open("a") as source:
        source.write("\n")
    assert code_digest.__wrapped__() != code_digest()


def test_a_new_family_is_another_build_and_a_change_of_the_command_line_is_not(package):
    (package / "cli" / "show.py").write_text("")
    assert code_digest.__wrapped__() == code_digest()
    (package / "fit" / "newer.py").write_text("")
    assert code_digest.__wrapped__() != code_digest()


def test_without_its_sources_embact_trusts_nothing(package, refuses):
    (package / "ir.py").unlink()
    with refuses("source of embact is missing", "ir.py"):
        code_digest.__wrapped__()
    (package / "ir.py").mkdir()
    with refuses("source of embact cannot be read", "ir.py"):
        code_digest.__wrapped__()


def imported(path):
    """Return the files of the modules of this package that a module names in its imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    parts = [name.split(".")[1:] for name in names if name.startswith("embact.")]
    paths = {PACKAGE.joinpath(*part).with_suffix(".py") for part in parts}
    return {path for path in paths if path.is_file()}


def test_whatever_a_job_imports_is_part_of_its_key():
    reached, new = set(), {PACKAGE / "jobs.py"}
    while new:
        reached |= new
        new = set().union(*(imported(path) for path in new)) - reached
    assert PACKAGE / "fit" / "line.py" in reached
    assert PACKAGE / "formula.py" in reached
    assert reached <= {path for pattern in CODE for path in PACKAGE.glob(pattern)}


# What makes no job


def test_a_family_that_does_not_exist_makes_no_job(refuses):
    with refuses("unknown family", "'lux'", "nearest: lut"):
        job(family="lux")


def test_options_that_the_family_lacks_make_no_job(refuses):
    assert job(options=Options(slope_bits=8), family="pwl").family == "pwl"
    with refuses("family lut lacks", "slope-bits", "composed, pwl"):
        job(options=Options(slope_bits=8))
    with refuses("no family has", "continuous", "terms"):
        job(options=Options(continuous=True, terms=1), family="auto")


def test_a_histogram_of_another_width_or_none_where_one_is_needed_makes_no_job(refuses):
    with refuses("length of a histogram", "got 65536", "256 (int8)"):
        job(histogram=Histogram((1,) * 65536))
    with refuses("max_error_on_support without a histogram"):
        job(limits=SEEN["limits"])


# What is its answer


def test_the_answer_is_what_fit_finds_for_the_histogram_too():
    seen = job("gelu", family="pwl", **SEEN)
    name, text = answer(seen.text)
    found = fit_of_json(text)
    assert found.problem == seen.problem
    assert found.kernel.digest == fit(seen.problem, "pwl").kernel.digest
    assert found.certificate.max_error_codes > 1 >= found.certificate.max_error_codes_on_support
    assert row_of(seen, name, text).digest == found.kernel.digest


def test_the_answer_for_another_histogram_is_not_taken(refuses):
    seen, other = job(**SEEN), job(**SEEN | {"histogram": Histogram((1,) * 256)})
    name, _ = answer(seen.text)
    with refuses("result of another job", name):
        row_of(seen, name, answer(other.text)[1])


def test_an_answer_under_a_wrong_name_is_not_taken(refuses):
    name, text = answer(job().text)
    assert row_of(job(), name, text).file == name
    with refuses("name of a result", name):
        row_of(job(), f"x{name}", text)


@pytest.mark.parametrize("limits", [Limits(1), Limits(0, 1)])
def test_an_answer_of_another_build_is_not_taken(monkeypatch, refuses, limits):
    wanted = job(limits=limits)
    name, text = answer(wanted.text)
    assert row_of(wanted, name, text).file == name
    monkeypatch.setattr(jobs, "code_digest", lambda: "0")
    with refuses("of another build of embact", name):
        row_of(replace(wanted), name, text)


def test_a_reason_of_another_build_is_not_taken_even_under_the_right_name(monkeypatch, refuses):
    wanted = job(limits=Limits(0, 1))
    before, (_, text) = wanted.key, answer(wanted.text)
    monkeypatch.setattr(jobs, "code_digest", lambda: "0")
    newer = replace(wanted)
    with refuses("result of another job", before):
        row_of(newer, f"no_kernel{newer.suffix}", text)
