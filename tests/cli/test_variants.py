"""`embact fit NAME --variant ENTRY`: a name as others mean it, and a note that says so."""

from __future__ import annotations

import json

import pytest

from embact.catalogue.variants import VARIANTS
from embact.cli.options import read_activation, read_variant
from embact.listing import variant_rows

RANGE = ("--range", "-4:4", "--json")


def test_sqnl_as_some_texts_mean_it_is_softsign(embact):
    done = embact("fit", "sqnl", "--variant", "softsign", *RANGE)
    assert done.returncode == 0
    assert json.loads(done.stdout)["activation"]["name"] == "softsign"
    (note,) = done.stderr.splitlines()
    assert note.startswith("note: sqnl is taken to mean softsign (some later texts)")
    plain = embact("fit", "softsign", *RANGE)
    assert plain.stdout == done.stdout
    assert plain.stderr == ""
    assert json.loads(embact("fit", "sqnl", *RANGE).stdout)["activation"]["name"] == "sqnl"


@pytest.mark.parametrize(
    ("words", "value"), [((), 1.0), (("--param", "max=2.5"), 2.5)], ids=["meant", "given"]
)
def test_a_meaning_has_parameters_unless_they_are_given(embact, words, value):
    done = embact("fit", "relu1", "--variant", "clipped_relu", *words, *RANGE)
    act = json.loads(done.stdout)["activation"]
    assert (act["name"], act["parameters"]) == ("clipped_relu", {"max": value})
    assert ("clipped_relu(max=1.0)" in done.stderr) == (not words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("sqnl", "--variant", "tanh"), "variant of sqnl: got 'tanh'; allowed: sqnl, softsign"),
        (("tanh", "--variant", "tanh"), "variant of tanh: got 'tanh'; allowed: none"),
        (("--variant", "softsign", "--expr", "x"), "--variant: got 'softsign'; allowed: with an"),
        (("relu1",), "unknown activation: got 'relu1'; allowed: relu_n1_to_1 ("),
    ],
)
def test_a_meaning_that_there_is_not_is_refused_in_one_line(embact, words, message):
    done = embact("fit", *words, *RANGE)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize("row", variant_rows(), ids=lambda row: f"{row[0]} is {row[1]}")
def test_every_row_that_is_listed_is_taken_as_it_is_printed(row):
    name, meaning, *_ = row
    entry, settings, note = read_variant(name, meaning, [])
    one = next(v for v in VARIANTS if (v.name, v.meant) == (name, meaning))
    wanted = read_activation(entry, settings)
    assert wanted.name == one.entry
    assert dict(one.settings).items() <= wanted.settings().items()
    assert note.startswith(f"note: {name} is taken to mean {entry}")


def test_a_row_with_settings_is_taken_by_fit_and_explore(embact):
    words = ("leaky_relu", "--variant", "leaky_relu(alpha=0.3)")
    done = embact("fit", *words, *RANGE)
    assert json.loads(done.stdout)["activation"]["parameters"] == {"alpha": 0.3}
    assert "Keras' layer by default" in done.stderr
    explored = embact("explore", *words, *RANGE)
    assert explored.returncode == 0
    assert "--param alpha=0.3 " in json.loads(explored.stdout)[0]["command"]


def test_what_is_no_function_of_one_number_names_its_command(embact):
    done = embact("fit", "softmax", *RANGE)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "softmax is no function of one number; allowed: `embact softmax`" in done.stderr


def test_real_numbers_have_variants_too(embact):
    done = embact("fit", "sqnl", "--variant", "softsign", "--real", "--segments", "4", *RANGE)
    assert done.returncode == 0
    assert "softsign" in done.stderr
