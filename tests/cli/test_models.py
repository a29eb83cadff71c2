"""The commands about TFLite models, run as a user runs them and judged by what they print."""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from embact.sources import data_file

CNN = data_file("digits_cnn_int8.tflite")
MLP = data_file("digits_mlp_int8.tflite")
WIDE = data_file("digits_mlp_int16x8.tflite")
DIGITS = data_file("digits_test.npz")
TABLES = ("--family", "lut")
"""Where it does not matter which kernels there are: found at once, and exact from int8."""


@pytest.fixture(scope="module")
def mlp_made(embact_in, tmp_path_factory):
    """A folder with the perceptron converted to ``out``."""
    folder = tmp_path_factory.mktemp("mlp")
    done = embact_in(folder, "convert", MLP, "--out", "out", *TABLES)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def mlp(mlp_made, tmp_path):
    """A copy of it in the empty folder."""
    return shutil.copytree(mlp_made / "out", tmp_path / "out")


def test_the_demo_does_the_whole_job_and_says_so(embact, tmp_path):
    done = embact("demo")
    assert done.returncode == 0, done.stderr
    for word in ("silu", "hard_swish", "leaky_relu", "gelu", "max_error_codes", "450", "next:"):
        assert word in done.stdout
    assert (tmp_path / "embact-demo" / "embact_kernels.h").is_file()
    again = embact("demo", *TABLES)
    assert again.returncode == 0, "a second run replaces its own folder"


@pytest.mark.parametrize("name", ["thesis.tex", "report.json"])
def test_the_demo_removes_nothing_that_it_did_not_write(embact, tmp_path, name):
    (tmp_path / "embact-demo").mkdir()
    precious = tmp_path / "embact-demo" / name
    precious.write_text("years of work", "utf-8")
    done = embact("demo")
    assert done.returncode == 2
    assert "exists" in done.stderr
    assert precious.is_file()


def test_exact_kernels_keep_the_demos_accuracy(embact):
    found = json.loads(embact("demo", "--max-error", "0", "--json").stdout)
    assert {site["certificate"]["max_error_codes"] for site in found["report"]["sites"]} == {0}
    assert found["evaluation"]["samples"] == 450
    assert found["evaluation"]["after"] == found["evaluation"]["before"]
    assert found["evaluation"]["before"] > 0.95
    places = {tuple(site["certificate"]["checked_on"]) for site in found["report"]["sites"]}
    assert places == {("definition", "host-c")}


def test_coarse_kernels_change_the_demos_accuracy(embact):
    done = embact("demo", "--family", "pwl", "--max-error", "32", "--json")
    found = json.loads(done.stdout)["evaluation"]
    assert found["after"] < found["before"]
    assert found["changed_decisions"] > 0


def test_where_stock_rounds_correctly_exact_kernels_change_nothing(embact):
    words = ("eval", MLP, "--data", DIGITS, *TABLES, "--max-error", "0", "--json")
    found = json.loads(embact(*words).stdout)
    assert found["sites"] == 2
    assert found["after"] == found["before"]
    assert found["max_difference"] == 0, "reference int8 LOGISTIC and TANH round correctly"


@pytest.mark.parametrize(
    "words", [("--family", "interp", "--max-error", "1"), pytest.param((), marks=pytest.mark.slow)]
)
def test_int16_kernels_within_one_code_keep_the_decisions(embact, words):
    found = json.loads(embact("eval", WIDE, "--data", DIGITS, *words, "--json").stdout)
    assert found["sites"] == 2
    assert found["after"] == found["before"]
    assert found["changed_decisions"] == 0
    assert 0 < found["max_difference"] < 10, "the kernels did run"


def test_sites_lists_what_can_be_replaced(embact):
    found = json.loads(embact("sites", CNN, "--no-accuracy", "--json").stdout)
    listed = [(site["activation"], site["ops"]) for site in found["sites"]]
    assert listed == [
        ("silu", ["LOGISTIC", "MUL"]),
        ("hard_swish", ["HARD_SWISH"]),
        ("leaky_relu", ["LEAKY_RELU"]),
        ("gelu", ["GELU"]),
    ]
    assert found["sites"][2]["parameters"] == {"alpha": pytest.approx(0.1)}


def test_convert_then_eval_the_converted_model_against_stock(embact, tmp_path):
    done = embact("convert", CNN, "--out", "out", *TABLES, "--json")
    written = json.loads(done.stdout)
    assert all((tmp_path / name).is_file() for name in written["files"])
    assert len(written["report"]["sites"]) == 4
    words = ("eval", written["converted"], "--data", DIGITS, "--json")
    alone = json.loads(embact(*words).stdout)
    against = json.loads(embact(*words, "--stock", CNN).stdout)
    assert alone["before"] is None
    assert against["before"] is not None
    assert against["after"] == alone["after"]
    assert against["resolver"] == "reference"
    direct = json.loads(embact("eval", CNN, "--data", DIGITS, *TABLES, "--json").stdout)
    assert direct["max_difference"] == against["max_difference"]
    assert direct["mean_difference"] == against["mean_difference"]


@pytest.mark.parametrize("form", ["builtin", "override"])
def test_other_forms_are_converted_and_evaluated(embact, tmp_path, form):
    done = embact("convert", MLP, "--out", "out", "--form", form, *TABLES)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "embact_ops.h").exists() == (form == "override")
    stock = () if form == "override" else ("--stock", MLP)
    done = embact("eval", "out/digits_mlp_int8.tflite", "--data", DIGITS, *stock, "--json")
    found = json.loads(done.stdout)
    assert found["max_difference"] == 0, "reference int8 LOGISTIC and TANH round correctly"


def test_a_drop_beyond_the_limit_is_status_1_and_writes_nothing(embact, tmp_path):
    words = ("convert", MLP, "--out", "out", "--data", DIGITS, "--max-drop", "0.5", *TABLES)
    done = embact(*words, "--replace", "sigmoid=relu,tanh=relu")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "top1 fell too far" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_replacement_is_printed_with_its_distance(embact, tmp_path):
    words = ("convert", CNN, "--out", "out", "--replace", "gelu=silu", "--core", "cortex-m55")
    done = embact(*words, *TABLES)
    assert re.search(r"replaced: gelu by silu at operator 9 .* at most \d+ codes from", done.stdout)
    assert re.search(r"replaced: .* instructions for an element on cortex-m55, ", done.stdout)
    assert "instructions (cortex-m55)" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["decisions"]["options"]["replace"] == "gelu=silu"


def test_what_is_left_alone_is_printed_and_in_the_report(embact, tmp_path):
    done = embact("convert", CNN, "--out", "out", "--like", "tflm", "--target", "cortex-m0plus")
    assert "left alone: operator 9, GELU: TFLM has no integer kernel" in done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert report["decisions"]["target"] == "cortex-m0plus"
    assert [skip["op"] for skip in report["decisions"]["skipped"]] == ["GELU"]
    assert "#error" in (tmp_path / "out" / "embact_kernels.h").read_text("utf-8")
    done = embact("eval", "out/digits_cnn_int8.tflite", "--data", DIGITS, "--stock", CNN, "--json")
    assert json.loads(done.stdout)["sites"] == 3


def test_a_converted_model_without_its_kernels_is_refused(embact, mlp):
    shutil.rmtree(mlp / "kernels")
    done = embact("eval", "out/digits_mlp_int8.tflite", "--data", DIGITS)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "kernels" in done.stderr


def test_options_for_fitting_are_refused_where_nothing_is_fitted(embact, mlp):
    done = embact("eval", "out/digits_mlp_int8.tflite", "--random", "2", "--max-error", "5")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "options for fitting" in done.stderr


def test_an_edited_header_beside_a_converted_model_is_a_check_that_failed(embact, mlp):
    header = mlp / "embact_kernels.h"
    text = header.read_text("utf-8")
    looked_up = "table[(uint8_t)*input++]"  # in the portable loop, which the host runs
    assert text.count(looked_up) == 1
    header.write_text(text.replace(looked_up, f"(int8_t)({looked_up} / 2)"), "utf-8")
    done = embact("eval", "out/digits_mlp_int8.tflite", "--random", "2")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "differs from its definition" in done.stderr


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="tflite-runtime has no wheel for it")
def test_the_runtime_that_equals_tflm_can_be_chosen(embact):
    words = ("eval", MLP, "--data", DIGITS, *TABLES, "--max-error", "0")
    done = embact(*words, "--runtime", "tflite-runtime")
    assert "tflite-runtime 2.14.0, resolver reference" in done.stdout
    assert "0 at most" in done.stdout


def test_random_samples_are_called_weak_evidence(embact):
    words = ("eval", MLP, "--random", "20", *TABLES)
    assert "weak evidence" in embact(*words).stdout


@pytest.mark.parametrize("resolver", ["reference", "default"])
def test_the_resolver_that_ran_is_printed(embact, resolver):
    done = embact("eval", MLP, "--data", DIGITS, "--resolver", resolver, *TABLES)
    assert f"resolver {resolver}" in done.stdout


MISTAKES = {
    "sites missing.tflite": "missing.tflite",
    "sites text.tflite": "TFLite",
    "sites cut.tflite": "TFLite",
    "sites .": ".",
    "convert missing.tflite --out out": "missing.tflite",
    "convert cut.tflite --out out": "TFLite",
    "convert ok.tflite --out here": "exists",
    "convert ok.tflite --out none/out": "folder",
    "convert ok.tflite --out out --max-bytes 0 --max-error 0 --family lut": "meets the budget",
    "convert ok.tflite --out out --form c": "form",
    "convert ok.tflite --out out --like tflite": "tflm",
    "convert ok.tflite --out out --like tflm --max-error 2": "--like tflm",
    "convert ok.tflite --out out --form builtin --target cortex-m4": "no C",
    "convert ok.tflite --out out --core cortex-m9": "core",
    "convert ok.tflite --out out --target cortex-m9": "core",
    "convert ok.tflite --out out --metric top1": "--data",
    "convert ok.tflite --out out --max-drop 1": "--data",
    "convert ok.tflite --out out --data missing.npz": "missing.npz",
    "convert ok.tflite --out out --replace auto": "--max-drop",
    "convert ok.tflite --out out --replace sigmoid=sigmoidd": "sigmoid",
    "convert ok.tflite --out out --resolver best": "resolver",
    "eval ok.tflite": "--data or --random",
    "eval ok.tflite --data missing.npz": "missing.npz",
    "eval ok.tflite --data text.tflite": ".npz",
    "eval ok.tflite --random 0": "samples",
    "eval ok.tflite --random 5 --resolver best": "reference",
    "eval ok.tflite --random 5 --timeout 0.01": "longer timeout",
    "eval ok.tflite --random 5 --timeout nan": "timeout",
    "eval ok.tflite --random 99999999999": "samples",
    "eval ok.tflite --random 5 --runtime tf": "unknown runtime",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(embact, tmp_path, words):
    content = MLP.read_bytes()
    (tmp_path / "ok.tflite").write_bytes(content)
    (tmp_path / "cut.tflite").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tflite").write_text("not a model", "utf-8")
    (tmp_path / "here").mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = embact(*words.split())
    assert done.returncode == 2
    assert MISTAKES[words] in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(("limit", "most"), [((), 2048), (("--max-bytes", "400"), 400)])
def test_kernels_of_an_int16_model_keep_the_limits_that_fit_keeps(embact, limit, most):
    done = embact("convert", WIDE, "--out", "wide", *limit, "--json")
    assert done.returncode == 0, done.stderr
    sites = json.loads(done.stdout)["report"]["sites"]
    assert sites
    for site in sites:
        assert site["table_bytes"] <= most
        assert limit or site["certificate"]["max_error_codes"] <= 1
