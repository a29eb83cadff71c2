"""Replacements by measurement, on the packaged digits models, against running every set."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from embact.activations import activation
from embact.certify import ideal
from embact.errors import EmbactError
from embact.fit.problem import Limits, Options, Problem
from embact.fit.search import fit
from embact.sources import data_file
from embact.tflite.find.sites import find_sites
from embact.tflite.host.child import run_model
from embact.tflite.host.data import Data, load_data
from embact.tflite.model import read
from embact.tflite.placement import place
from embact.tflite.replace import moves as replacement_moves
from embact.tflite.replace import search as replacement_search
from embact.tflite.replace.metrics import drop, score
from embact.tflite.replace.search import search_replacements
from embact.tflite.replace.stand_ins import stand_ins

CORE = "cortex-m4"
RUNS, LINES = {}, {}


def model_of(name):
    return read(data_file(f"{name}.tflite"))


@pytest.fixture(scope="module")
def cnn():
    return model_of("digits_cnn_int8")


@pytest.fixture(scope="module")
def one_hot(cnn):
    """The digits with targets, whose error every replacement moves, and not in whole samples."""
    data = load_data(data_file("digits_test.npz"), cnn)
    return Data(data.inputs, data.labels, np.eye(10)[data.labels])


def whole_table(build, one, spec):
    """A fit of 256 bytes: of every function the same price."""
    return build.fit_of_table(one, spec, ideal(one, spec).codes)


def lines(one, spec):
    """A fit without a table."""
    if (one, spec) not in LINES:
        LINES[one, spec] = fit(Problem(one, spec), "affine")
    return LINES[one, spec]


def fitting(build, *straight):
    """Tables for all activations but some, which are a gain in bytes wherever they stand in."""

    def made(problem, family):
        one = problem.activation
        return (
            lines(one, problem.spec)
            if one.name in straight
            else whole_table(build, one, problem.spec)
        )

    return made


def cached_run(model, data, placed, *, runner=None):
    """Run what users run; a set that was run for another test is not run again."""
    kernels = tuple((one.site.operators, one.fit.kernel.digest) for one in placed)
    key = model.sha256, data.samples, kernels
    if key not in RUNS:
        RUNS[key] = run_model(model, data, placed, runner=runner)
    return RUNS[key]


@pytest.fixture
def quick(monkeypatch, build):
    """The search with relu as the only gain, at each of the four sites, and runs that are kept."""
    monkeypatch.setattr(replacement_moves, "fit", fitting(build, "relu"))
    monkeypatch.setattr(replacement_search, "run_model", cached_run)


def problem_of(site):
    return Problem(site.activation, site.spec, Limits(1), Options(objective="bytes", core=CORE))


def search(model, data, metric, max_drop, **options):
    return search_replacements(
        model,
        find_sites(model),
        data,
        metric=metric,
        max_drop=max_drop,
        problem_of=options.pop("problem_of", problem_of),
        core=CORE,
        **options,
    )


def every_set(build, model, data, metric):
    """The drop and the bytes of each set of sites that relu replaces, by running them all."""
    sites = find_sites(model).sites
    relu = activation("relu")
    stock = cached_run(model, data, ())
    before = score(metric, model, data, stock, stock)
    found = {}
    for chosen in itertools.product((False, True), repeat=len(sites)):
        fits = [
            lines(relu, site.spec)
            if is_replaced
            else whole_table(build, site.activation, site.spec)
            for site, is_replaced in zip(sites, chosen, strict=True)
        ]
        outputs = cached_run(model, data, place(sites, fits))
        lost = drop(metric, before, score(metric, model, data, outputs, stock))
        found[chosen] = lost, sum(one.kernel.table_bytes for one in fits)
    return found


def replaced_sites(found, model):
    at = {row.operators for row in found.replaced}
    return tuple(site.operators in at for site in find_sites(model).sites)


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["mse", "top1", "agreement"])
def test_the_set_is_the_cheapest_within_the_budget_of_all_sets(quick, build, cnn, one_hot, metric):
    """Every set of the four sites is run, and the budgets are all the drops that there are."""
    sets = every_set(build, cnn, one_hot, metric)
    base = sets[(False,) * 4][0]
    budgets = {0.0, *(lost for lost, _ in sets.values() if lost >= 0)}
    seen = set()
    for budget in sorted(one for one in budgets if one >= base):
        found = search(cnn, one_hot, metric, budget)
        chosen = replaced_sites(found, cnn)
        lost, size = sets[chosen]
        assert found.drop == lost <= budget
        assert size == min(size for lost, size in sets.values() if lost <= budget)
        assert found.table_bytes == sets[(False,) * 4][1] - size
        assert found.unmeasured == 0
        seen.add(sum(chosen))
    assert len(seen) > 1 or metric != "mse"


@pytest.mark.slow
def test_drops_do_not_add_up_so_that_sums_would_choose_wrongly(quick, build, cnn, one_hot):
    """The reason why sets are run: of some set the sum of drops and its own drop differ."""
    sets = every_set(build, cnn, one_hot, "mse")
    base = sets[(False,) * 4][0]
    alone = [sets[tuple(i == j for j in range(4))][0] - base for i in range(4)]
    gaps = [
        lost - base - sum(part for part, there in zip(alone, chosen, strict=True) if there)
        for chosen, (lost, _) in sets.items()
    ]
    assert max(map(abs, gaps)) > 0.5


def test_with_a_budget_of_0_a_harmful_replacement_is_measured_and_not_made(
    quick, monkeypatch, build, cnn, one_hot
):
    """Zero for every input, in place of GELU, leaves the classifier blind."""
    zero = activation("hard_tanh", min=0.0, max=0.0)

    def harmful(original):
        return ((zero, "harm"),) if original.name == "gelu" else ()

    monkeypatch.setattr(replacement_moves, "stand_ins", harmful)
    monkeypatch.setattr(replacement_moves, "fit", fitting(build, "hard_tanh"))
    found = search(cnn, one_hot, "top1", 0.0)
    assert found.replaced == ()
    assert (found.drop, found.after, found.table_bytes) == (0.0, found.unreplaced, 0)
    (alone,) = [step for step in found.trace if step.kind == "alone"]
    assert alone.drop > 50
    assert (alone.accepted, alone.why) == (False, "over the budget of 0")
    assert alone.table_bytes == 256
    allowed = search(cnn, one_hot, "top1", 100.0)
    assert [row.chosen for row in allowed.replaced] == ["hard_tanh(min=0, max=0)"]
    assert allowed.drop == alone.drop


def test_the_trace_has_every_run_and_each_replacement_of_the_result_has_a_row(quick, cnn, one_hot):
    told = []
    found = search(cnn, one_hot, "mse", 30.0, say=told.append)
    kinds = [step.kind for step in found.trace]
    order = ["no gain", "kernels", "alone", "set", "result"]
    assert kinds == sorted(kinds, key=order.index)
    assert kinds.count("kernels") == kinds.count("result") == 1
    assert kinds.count("alone") == 4
    alone = [step for step in found.trace if step.kind == "alone"]
    assert [s.table_bytes for s in alone] == sorted((s.table_bytes for s in alone), reverse=True)
    for step in found.trace:
        assert step.why
        assert (step.score is None) == (step.drop is None) == (step.kind == "no gain")
        if step.score is not None:
            assert step.drop == drop("mse", found.before, step.score)
            words = ", ".join(step.what) or "no replacement"
            assert any(line.startswith(words) for line in told)
    result = found.trace[-1]
    assert (result.drop, result.score, result.why) == (found.drop, found.after, found.summary)
    assert len(result.what) == len(found.replaced) > 0
    accepted = [step for step in found.trace[:-1] if step.accepted]
    assert [step.what for step in accepted] == [result.what]
    for row in found.replaced:
        (one,) = [p for p in found.placements if p.site.operators == row.operators]
        assert one.site.about == f"{row.chosen} in place of {row.original}"
        assert row.max_error_codes > row.own_error_codes
    kept = [p for p in found.placements if not p.site.about]
    assert len(kept) + len(found.replaced) == len(find_sites(cnn).sites)


def test_the_same_search_gives_the_same_result(quick, cnn, one_hot):
    first, second = (search(cnn, one_hot, "mse", 10.0) for _ in range(2))
    assert (first.trace, first.replaced) == (second.trace, second.replaced)
    assert first.replaced
    made = [[(p.function, p.fit.kernel.digest) for p in one.placements] for one in (first, second)]
    assert made[0] == made[1]


def test_where_nothing_is_a_gain_nothing_is_run_or_replaced_and_the_reason_is_told(
    quick, monkeypatch, build, cnn, one_hot
):
    """An int8 table costs the same for every function."""
    monkeypatch.setattr(replacement_moves, "fit", fitting(build))
    found = search(cnn, one_hot, "top1", 100.0)
    assert found.replaced == ()
    assert {step.kind for step in found.trace} == {"no gain", "kernels", "result"}
    none = [step for step in found.trace if step.kind == "no gain"]
    assert all("256 -> 256 table bytes" in step.why and not step.accepted for step in none)
    assert {step.what[0].split(" ->")[0] for step in none} == {
        *("silu", "hard_swish", "leaky_relu(alpha=0.1)", "gelu")
    }
    assert found.summary == "nothing replaced: no stand-in is a gain on cortex-m4"


def test_fits_that_are_known_are_not_made_again(quick, monkeypatch, build, cnn, one_hot):
    made = []

    def counted(problem, family):
        made.append(problem)
        return whole_table(build, problem.activation, problem.spec)

    monkeypatch.setattr(replacement_moves, "fit", counted)
    sites = find_sites(cnn).sites
    known = {problem_of(s): whole_table(build, s.activation, s.spec) for s in sites}
    with_known = search(cnn, one_hot, "top1", 0.0, known=known)
    assert len(made) == sum(len(stand_ins(site.activation)) for site in sites) == 8
    assert not set(made) & set(known)
    made.clear()
    assert search(cnn, one_hot, "top1", 0.0).trace == with_known.trace
    assert set(known) < set(made)
    assert len(made) == 8 + len(sites)


def test_a_stand_in_without_a_kernel_within_the_limits_is_told(
    quick, monkeypatch, build, cnn, one_hot
):
    def none_of_relu(problem, family):
        if problem.activation.name == "relu":
            raise EmbactError("no kernel")
        return whole_table(build, problem.activation, problem.spec)

    monkeypatch.setattr(replacement_moves, "fit", none_of_relu)
    found = search(cnn, one_hot, "top1", 0.0)
    whys = {
        step.why for step in found.trace if step.kind == "no gain" and "relu at" in step.what[0]
    }
    assert whys == {"no kernel of it meets the limits"}


def test_kernels_that_are_over_the_budget_by_themselves_are_an_error(
    quick, monkeypatch, build, cnn, one_hot
):
    def constant(problem, family):
        return build.fit_of_table(problem.activation, problem.spec, [0] * 256)

    monkeypatch.setattr(replacement_moves, "fit", constant)
    with pytest.raises(EmbactError, match=r"drop of top1 without any replacement: got \d"):
        search(cnn, one_hot, "top1", 0.0)


@pytest.mark.parametrize("budget", [-0.1, math.nan, math.inf])
def test_a_budget_that_is_none_is_refused(cnn, one_hot, budget):
    with pytest.raises(EmbactError, match="largest drop"):
        search(cnn, one_hot, "top1", budget)


def test_data_that_cannot_tell_the_metric_is_refused_before_anything_is_fitted(cnn, one_hot):
    with pytest.raises(EmbactError, match="data without labels"):
        search(cnn, Data(one_hot.inputs), "top1", 1.0)


def test_prices_are_of_whole_inferences_and_of_distinct_tables(cnn):
    site = find_sites(cnn).sites[0]
    one, other = (
        fit(Problem(activation(name), site.spec), "lut") for name in ("silu", "hard_swish")
    )
    single, twice = (
        replacement_moves.total([replacement_moves.weigh(site, each, CORE) for each in fits])
        for fits in ((one,), (one, one))
    )
    assert twice == (2 * single[0], single[1])
    assert single[0] == round(site.elements * 3.12, 2)
    both = [replacement_moves.weigh(site, each, CORE) for each in (one, other)]
    assert replacement_moves.total(both)[1] == 512


def test_a_gain_that_is_smaller_than_the_error_of_a_fitted_cost_is_none(monkeypatch, cnn):
    from embact.cost import Cost

    site = find_sites(cnn).sites[0]
    fits = replacement_moves.Fits(lambda s: Problem(s.activation, s.spec), CORE, "lut")
    relu = activation("relu")
    monkeypatch.setattr(replacement_moves, "stand_ins", lambda _: ((relu, "why"),))
    for rms, count in ((0.2, 0), (0.01, 1)):

        def costing(kernel, core, rms=rms):
            is_relu = kernel.digest != fits.of(site).kernel.digest
            return Cost(9.0 if is_relu else 10.0, "fitted", rms)

        monkeypatch.setattr(replacement_moves, "cost", costing)
        moves, none = replacement_moves.moves_at(0, site, fits, lambda _: None)
        assert (len(moves), len(none)) == (count, 1 - count)
        if none:
            assert "beyond the error of a fitted cost" in none[0].why
            assert none[0].instructions == site.elements


@pytest.mark.slow
def test_on_int16_with_small_tables_both_sites_are_replaced_within_half_a_point():
    """The real search, with fits of all families: in 600 bytes exponentials are dear."""
    model = model_of("digits_mlp_int16x8")
    data = load_data(data_file("digits_test.npz"), model)

    def small(site):
        return Problem(site.activation, site.spec, Limits(1, 600), Options(core="cortex-m0plus"))

    found = search_replacements(
        model,
        find_sites(model),
        data,
        metric="top1",
        max_drop=0.5,
        problem_of=small,
        core="cortex-m0plus",
    )
    assert {row.original for row in found.replaced} == {"sigmoid", "tanh"}
    assert 0 <= found.drop <= 0.5
    assert found.instructions > 1000
    over = [step for step in found.trace if step.why == "over the budget of 0.5"]
    assert over
    assert not any(step.accepted for step in over)
