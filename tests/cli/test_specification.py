"""Spec files of sweeps: what a table stands for, and which mistakes stop everything."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embact.certify import Histogram
from embact.cli.specification import read_jobs
from embact.fit.problem import Options


@pytest.fixture
def jobs_of(tmp_path):
    """Read the jobs of a spec given as text."""

    def read(text):
        path = tmp_path / "spec.toml"
        path.write_text(text, "utf-8")
        return read_jobs(path)

    return read


def test_a_table_stands_for_every_combination_in_a_fixed_order(jobs_of):
    jobs = jobs_of("""
        [[sweep]]
        max_error = [0, 2]
        range = ["-8:8", "-4:4"]
        activation = ["sigmoid", "silu"]
        dtype = ["int8", "int16"]
        """)
    grids = {(8, "wide"): 16 / 255, (8, "slim"): 8 / 255}
    grids |= {(16, "wide"): 8 / 32767, (16, "slim"): 4 / 32767}
    assert [
        (one.activation, one.quantisation.input.bits, one.limits.max_error) for one in jobs
    ] == [
        (name, bits, e) for name in ("sigmoid", "silu") for bits in (8, 8, 16, 16) for e in (0, 2)
    ]
    scales = [one.quantisation.input.scale for one in jobs]
    wanted = [grids[bits, side] for bits in (8, 16) for side in ("wide", "slim") for _ in range(2)]
    assert scales == [float(np.float32(scale)) for scale in wanted * 2]


def test_every_option_of_fit_can_be_listed(jobs_of, tmp_path):
    np.savez(tmp_path / "codes.npz", codes=np.array([-32768, 7, 7]))
    job, with_terms = jobs_of("""
        [[sweep]]
        activation = {name = "leaky_relu", alpha = 0.5}
        in_dtype = "int16"
        out_dtype = "int8"
        in_scale = 0.5
        in_zero_point = 3
        out_scale = 1
        out_zero_point = -128
        family = "pwl"
        objective = "bytes"
        core = "cortex-m0plus"
        max_error = 3
        max_bytes = 64
        histogram = "codes.npz"
        max_error_on_support = true
        slope_bits = 8
        segments = 5
        minimize = "mse"
        shifts = "common"
        continuous = false
        fold = false
        lookup = "compare"
        clamp = "codes"
        [[sweep]]
        activation = "tanh"
        range = "-4:4"
        family = "shift_pwl"
        terms = 1
        """)
    assert with_terms.options == Options(terms=1, fold=False, clamp="codes", objective="segments")
    assert json.loads(job.text) == {
        "activation": "leaky_relu",
        "parameters": {"alpha": 0.5},
        "expr": None,
        "quantisation": {
            "input": {"scale": 0.5, "zero_point": 3, "bits": 16},
            "output": {"scale": 1.0, "zero_point": -128, "bits": 8},
        },
        "limits": {"max_error": 3, "max_bytes": 64, "on_support": True},
        "options": json.loads(job.text)["options"]
        | {
            "slope_bits": 8,
            "segments": 5,
            "minimize": "mse",
            "shifts": "common",
            "continuous": False,
            "fold": False,
            "lookup": "compare",
            "clamp": "codes",
            "objective": "bytes",
            "core": "cortex-m0plus",
        },
        "family": "pwl",
        "histogram": {"counts": [1, *[0] * 32774, 2, *[0] * 32760]},
    }


def test_what_a_spec_leaves_open_is_decided_as_fit_does_it(jobs_of):
    jobs = jobs_of("""
        [defaults]
        activation = "tanh"
        range = "-4:4"
        [[sweep]]
        dtype = ["int8", "int16"]
        [[sweep]]
        in_dtype = "int16"
        max_error = 1
        [[sweep]]
        dtype = ["int8", "int16"]
        max_bytes = 512
        """)
    assert [(one.limits.max_error, one.limits.max_bytes) for one in jobs] == [
        (1, None),
        (1, 2048),
        (1, None),
        (1 << 16, 512),
        (1 << 16, 512),
    ]
    assert [one.options.objective for one in jobs] == [*["instructions"] * 3, "error", "error"]


def test_a_key_of_a_table_replaces_the_default_and_what_contradicts_it(jobs_of):
    first, second, third = jobs_of("""
        [defaults]
        activation = "tanh"
        in_dtype = "int16"
        range = "-4:4"
        max_error = [5]
        [[sweep]]
        [[sweep]]
        in_scale = 0.5
        dtype = "int8"
        [[sweep]]
        expr = "x*x"
        max_error = 6
        """)
    assert (first.quantisation.input.bits, first.limits.max_error) == (16, 5)
    assert (second.quantisation.input.bits, second.quantisation.input.scale) == (8, 0.5)
    assert (third.activation, third.expr, third.limits.max_error) == ("expr", "x*x", 6)


def test_formulas_are_jobs_and_spaces_in_them_mean_nothing(jobs_of):
    one, other, named = jobs_of("""
        [[sweep]]
        expr = ["x * tanh(x)", "x*tanh(x)", {name = "mine", formula = "x*tanh(x)"}]
        range = "-4:4"
        """)
    assert one.key == other.key != named.key
    assert (named.activation, named.expr) == ("mine", "x*tanh(x)")


def test_one_quantisation_said_in_two_ways_is_one_job(jobs_of):
    first, second = jobs_of("""
        [[sweep]]
        activation = "tanh"
        range = "-127.5:127.5"
        [[sweep]]
        activation = {name = "tanh"}
        in_scale = 1
        in_zero_point = -1
        """)
    assert first.key == second.key


def test_histograms_are_found_from_the_spec_and_are_one_more_key_to_combine(jobs_of, tmp_path):
    (tmp_path / "seen").mkdir()
    few, all_of_them = np.arange(4), np.ones(256, dtype=np.int64)
    np.savez(tmp_path / "seen" / "few.npz", codes=few)
    np.savez_compressed(tmp_path / "all.npz", counts=all_of_them)
    jobs = jobs_of(f"""
        [defaults]
        range = "-4:4"
        histogram = ["seen/few.npz", "{tmp_path}/all.npz"]
        [[sweep]]
        activation = ["tanh", "gelu"]
        family = ["lut", "pwl"]
        [[sweep]]
        activation = "tanh"
        dtype = "int16"
        histogram = "seen/few.npz"
        """)
    first, second = (0,) * 128 + (1,) * 4 + (0,) * 124, (1,) * 256
    assert [(one.activation, one.histogram.counts, one.family) for one in jobs[:8]] == [
        (name, counts, family)
        for name in ("tanh", "gelu")
        for counts in (first, second)
        for family in ("lut", "pwl")
    ]
    assert jobs[8].histogram == Histogram((0,) * 32768 + (1,) * 4 + (0,) * 32764)
    assert len({one.key for one in jobs}) == 9


def test_the_name_of_a_histogram_file_means_nothing(jobs_of, tmp_path):
    for name in ("a", "b"):
        np.savez(tmp_path / f"{name}.npz", codes=np.arange(4))
    first, second = jobs_of(GOOD + "histogram = ['a.npz', 'b.npz']")
    assert first.key == second.key


GOOD = '[[sweep]]\nactivation = "tanh"\nrange = "-4:4"\n'

MISTAKES = {
    "": ("no [[sweep]]",),
    "sweep = []": ("no [[sweep]]",),
    "[sweep]\nactivation = 'tanh'": ("[[sweep]] tables", "Expected `array`"),
    "[[sweep]": ("not a spec file", "TOML"),
    "[" * 9999: ("not a spec file",),
    "[[sweeps]]": ("unknown key", "'sweeps'", "nearest: sweep"),
    "[default]\n" + GOOD: ("unknown key", "'default'", "nearest: defaults"),
    "[defaults]\nmax_eror = 1\n" + GOOD: ("[defaults]: unknown key", "nearest: max_error"),
    "[defaults]\nmax_error = 'a'\n" + GOOD: ("[defaults]: max_error: got 'a'", "an integer"),
    "[[sweep]]\nrange = '-4:4'": ("[[sweep]] 1: no activation", "activation or expr"),
    GOOD + GOOD + "dtpye = 'int8'": ("[[sweep]] 2: unknown key", "'dtpye'", "nearest: dtype"),
    GOOD + "on_support = true": ("unknown key", "'on_support'", "nearest: max_error_on_support"),
    GOOD + "max_error_on_support = true": ("1: max_error_on_support without a histogram",),
    GOOD + "max_error_on_support = 1": ("max_error_on_support: got 1", "true, false"),
    GOOD + "histogram = 1": ("histogram: got 1", "a string"),
    GOOD + "histogram = 'gone.npz'": ("1: ", "gone.npz: histogram cannot be read", "No such file"),
    GOOD + "histogram = ''": ("histogram cannot be read", "Is a directory"),
    GOOD + "histogram = 'spec.toml'": ("[[sweep]] 1: ", "spec.toml: not a histogram", ".npz"),
    GOOD + "histogram = 'codes.npz'\ndtype = ['int16', 'int8']": ("codes of a histogram", "300"),
    GOOD + "histogram = 'counts.npz'\nin_dtype = 'int16'": ("shape of counts", "(65536,)"),
    GOOD + "slope_bits = 8\nfamily = ['pwl', 'lut']": (
        "[[sweep]] 1: options about the form that family lut lacks: got slope_bits",
        "composed, pwl",
    ),
    GOOD + "continuous = true\nterms = 1": ("no family has: got continuous, terms",),
    GOOD + "max_error = [0, 1.5]": ("[[sweep]] 1: max_error: got 1.5", "an integer"),
    GOOD + "max_error = [0, true]": ("max_error: got True", "an integer"),
    GOOD + "max_error = [[0]]": ("max_error: got [0]", "an integer"),
    GOOD + "max_error = []": ("max_error: got []", "a value"),
    GOOD + "max_error = -1": ("[[sweep]] 1: error budget", "got -1", "0..65536"),
    GOOD + "max_error = 2024-01-01": ("max_error: got datetime", "an integer"),
    GOOD + "dtype = ['int8', 'int9']": ("dtype: got 'int9'", "int8, int16"),
    GOOD + "objective = 'size'": ("objective: got 'size'", "instructions, bytes, error"),
    GOOD + "family = 'lux'": ("[[sweep]] 1: unknown family", "'lux'", "nearest: lut"),
    GOOD + "core = 'm4'": ("unknown core", "'m4'"),
    GOOD + "terms = 4": ("[[sweep]] 1: terms: got 4", "1, 2, 3"),
    GOOD + "lookup = 'x'": ("lookup: got 'x'", "compare, index"),
    GOOD + "fold = 1": ("fold: got 1", "true, false"),
    GOOD + "in_scale = 1": ("quantisation given twice", "range, or in_scale and in_zero_point"),
    GOOD + "out_scale = inf": ("[[sweep]] 1: output: scale", "got inf"),
    GOOD + f"out_scale = 1{'0' * 400}": ("out_scale", "a number"),
    GOOD + "out_scale = 1\nout_zero_point = 128": ("output: zero point outside int8", "got 128"),
    GOOD + "out_zero_point = 1": ("out_zero_point without out_scale",),
    "[[sweep]]\nactivation = 'tanh'": ("no input quantisation", "range LOW:HIGH, or in_scale"),
    "[[sweep]]\nactivation = 'tanh'\nrange = '4'": ("range: got '4'", "LOW:HIGH"),
    "[[sweep]]\nactivation = 'tanh'\nrange = '4:a'": ("range: got 'a'", "a number"),
    "[[sweep]]\nactivation = 'tanh'\nrange = 4": ("range: got 4", "a string"),
    "[[sweep]]\nactivation = ['tan']": ("unknown activation", "nearest: tanh"),
    "[[sweep]]\nactivation = '--tanh'": ("unknown activation: got '--tanh'",),
    "[[sweep]]\nactivation = 1": ("activation: got 1", "a string, or a table"),
    "[[sweep]]\nactivation = {alpha = 1}": ("activation", '{name = "NAME", PARAMETER = number}'),
    "[[sweep]]\nactivation = {name = 'elu', alpha = 'a'}": ("activation", "'alpha': 'a'"),
    "[[sweep]]\nactivation = {name = 'elu', beta = 1}": ("1: elu: unknown parameter", "'beta'"),
    "[[sweep]]\nactivation = {name = 'elu', alpha = nan}": ("parameter alpha", "got nan"),
    "[[sweep]]\nexpr = 'x*'": ("[[sweep]] 1: formula, character 3", "got the end"),
    "[[sweep]]\nexpr = {formula = 'x'}": ("expr", '{name = "NAME", formula = "FORMULA"}'),
    "[[sweep]]\nactivation = 'relu'\nrange = '-4:-1e-30'": ("relu is 0", "explicit out_scale"),
}


@pytest.fixture
def histograms(tmp_path):
    """Histograms in the spec's folder: of int16 codes, and of int8 counts."""
    np.savez(tmp_path / "codes.npz", codes=np.array([300]))
    np.savez_compressed(tmp_path / "counts.npz", counts=np.ones(256, dtype=np.int64))


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_in_a_spec_is_named_with_its_place(jobs_of, histograms, refuses, text):
    with refuses("spec.toml: ", *MISTAKES[text]):
        jobs_of(text)


def test_what_the_mistakes_were_made_in_is_a_spec_without_them(jobs_of, histograms):
    assert len(jobs_of(GOOD)) == 1
    assert len(jobs_of(GOOD + "histogram = 'counts.npz'\nmax_error_on_support = true")) == 1
    assert len(jobs_of(GOOD + "histogram = 'codes.npz'\ndtype = 'int16'")) == 1
    assert len(jobs_of(GOOD + "slope_bits = 8\nfamily = ['pwl', 'composed']")) == 2
