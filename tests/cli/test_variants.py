"""`embact fit NAME --variant ENTRY`: a name as others mean it, and a note that says so."""

from __future__ import annotations

import json

import pytest

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


def test_real_numbers_have_variants_too(embact):
    done = embact("fit", "sqnl", "--variant", "softsign", "--real", "--segments", "4", *RANGE)
    assert done.returncode == 0
    assert "softsign" in done.stderr
