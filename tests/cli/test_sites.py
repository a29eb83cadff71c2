"""The command sites, run as a user runs it: what it costs today, how exact it is, what is left."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

from embact.sources import data_file

CNN = data_file("digits_cnn_int8.tflite")
CORPUS = Path(__file__).parent.parent / "tflite" / "corpus"


@pytest.fixture(scope="module")
def sites(embact_in, tmp_path_factory):
    """Run ``embact sites``, each command line once for all tests here, as it changes nothing."""
    folder = tmp_path_factory.mktemp("sites")

    @functools.cache
    def run(*words, **variables):
        return embact_in(folder, "sites", *words, **variables)

    return run


def document(sites, *words):
    done = sites(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_json_has_all_that_is_known_of_each_site(sites):
    found = document(sites, CNN)
    silu, *_, gelu = found["sites"]
    assert silu["activation"] == "silu"
    assert silu["quantisation"]["input"]["bits"] == 8
    assert silu["elements"] == 1024
    assert silu["tflm"] == {"answer": "yes", "why": ""}
    assert [one["operator"] for one in silu["today"]["operators"]] == ["LOGISTIC", "MUL"]
    assert silu["embact"]["at_most"]
    assert silu["today"]["instructions_per_element"] > 20 * silu["embact"]["instructions"]
    assert silu["stock_error"]["points"] == 256
    assert silu["stock_error"]["resolver"] == "reference"
    assert gelu["tflm"]["answer"] == "no"
    assert gelu["today"]["instructions_per_inference"] is None
    assert gelu["today"]["unknown"] == ["GELU int8: TFLM has no GELU"]
    counted = [one["today"]["instructions_per_inference"] for one in found["sites"]]
    assert found["totals"]["sites"] == 4
    assert found["totals"]["counted"] == 3
    assert found["totals"]["today"] == pytest.approx(sum(one for one in counted if one))


def test_the_core_decides_the_cost(sites):
    costs = [
        document(sites, CNN, "--core", core, "--no-accuracy")["totals"]["today"]
        for core in ("cortex-m0plus", "cortex-m4")
    ]
    assert costs[0] > 2 * costs[1]
    done = sites(CNN, "--core", "cortex-m99")
    assert done.returncode == 2
    assert "cortex-m55" in done.stderr


def test_without_accuracy_nothing_is_run(sites):
    found = document(sites, CNN, "--no-accuracy")
    assert [one["stock_error"] for one in found["sites"]] == [None] * 4
    assert "error today" not in sites(CNN, "--no-accuracy").stdout
    assert "error today" in sites(CNN).stdout


def test_the_error_of_todays_chains_is_shown(sites):
    found = document(sites, CORPUS / "softplus__int8.tflite")["sites"]
    codes = found[0]["stock_error"]["max_error_codes"]
    assert codes >= 20
    assert f"{codes} codes (" in sites(CORPUS / "softplus__int8.tflite").stdout


def test_layers_are_listed_with_the_reason_why_they_have_no_error(sites):
    found = document(sites, CORPUS / "softmax__int8.tflite")
    assert found["sites"] == []
    (layer,) = found["layers"]
    assert layer["layer"] == "softmax"
    assert "more than one code" in layer["stock_error"]["reason"]
    assert "softmax: SOFTMAX" in sites(CORPUS / "softmax__int8.tflite").stdout


def test_a_table_of_facts_folds_where_the_terminal_ends(sites):
    text = sites(CNN, "--no-accuracy", COLUMNS="80").stdout
    listed = [line for line in text.splitlines() if not line.startswith(("next:", "its C"))]
    assert max(map(len, listed)) <= 80
    for words in ("LOGISTIC + MUL", "in TFLM", "today", "embact", "next: embact convert"):
        assert words in text
    wide = sites(CNN, "--no-accuracy").stdout
    assert max(map(len, wide.splitlines())) > 80, "the check can fail"


def test_what_is_left_alone_is_listed_once_for_each_reason(sites):
    path = CORPUS / "relu__int8.tflite"
    found = document(sites, path, "--no-accuracy")
    text = sites(path, "--no-accuracy").stdout
    assert found["nothing_to_do"] or found["skipped"]
    for skip in found["skipped"]:
        assert text.count(" ".join(skip["reason"].split()[:4])) == 1


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*__int8.tflite"))[::12], ids=lambda p: p.stem)
def test_every_model_of_the_corpus_is_shown(sites, path):
    found = document(sites, path, "--no-accuracy")
    done = sites(path, "--no-accuracy")
    assert done.returncode == 0, done.stderr
    for one in (*found["sites"], *found["layers"]):
        assert " + ".join(one["ops"]) in done.stdout
        assert one["tflm"]["answer"] in {"yes", "in float", "no", "wrong"}
        known = one["today"]["instructions_per_inference"] is not None
        assert known != bool(one["today"]["unknown"])


def test_sums_that_lack_a_site_say_so(sites):
    """GELU has no cost today: the sums are over three sites, and all four are counted for us."""
    text = sites(CNN, "--no-accuracy").stdout
    totals = document(sites, CNN, "--no-accuracy")["totals"]
    assert (totals["counted"], totals["own_counted"], totals["sites"]) == (3, 4, 4)
    assert totals["own"] > totals["embact"]
    assert "of the 3 sites of 4 whose cost is known: " in text
    assert f"with embact ({totals['own']:,.0f} for all 4)" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("swiglu__int16x8", ": 3,288 today, not known with embact."),
        ("mish__int8", ": not known today, about 200 with embact."),
    ],
)
def test_a_sum_of_one_side_alone_is_told(sites, name, said):
    assert said in sites(CORPUS / f"{name}.tflite", "--no-accuracy").stdout


def test_a_formula_is_computed_and_a_hint_is_a_note(sites):
    chain = sites(CORPUS / "softplus_beta__int8.tflite", "--no-accuracy").stdout
    assert "  computes      softplus(x)*0.5" in chain
    hint = sites(CORPUS / "softmax__int8.tflite", "--no-accuracy").stdout
    assert "  note          if only the class" in hint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("softmax__int8", "in rows of 4 elements"),
        ("softmax_dense__int8", "in rows of 8 elements"),
        ("swiglu__int8", "in rows of 2 channels"),
        ("prelu_channel__int8", "in rows of 4 channels"),
    ],
)
def test_layers_are_counted_in_rows_of_their_own_length(sites, name, said):
    text = sites(CORPUS / f"{name}.tflite", "--no-accuracy").stdout
    assert f"instructions for an element, {said}" in text
    assert "not known" not in text
