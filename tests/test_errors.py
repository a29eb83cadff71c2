import pytest

from embact.errors import EmbactError, unknown_name


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "scale"),
        ({"got": 0}, "scale: got 0"),
        ({"got": ""}, "scale: got"),
        ({"allowed": "> 0"}, "scale; allowed: > 0"),
        ({"where": "k.json"}, "k.json: scale"),
        ({"got": -1, "allowed": "> 0", "where": "k.json"}, "k.json: scale: got -1; allowed: > 0"),
    ],
)
def test_text_has_the_parts_that_are_known(parts, text):
    assert str(EmbactError("scale", **parts)) == text


def test_text_is_one_line_whatever_it_reports():
    error = EmbactError("it\nfailed", got="a\tb\r\nc", allowed="d\n\n e", where="f\n")
    assert str(error) == "f : it failed: got a b c; allowed: d e"


def test_parts_stay_readable_by_programs():
    error = EmbactError("scale", got=0, allowed="> 0", where="k.json")
    assert (error.what, error.got, error.allowed, error.where) == ("scale", 0, "> 0", "k.json")


def test_unknown_name_lists_the_nearest_first_and_then_all():
    text = str(unknown_name("activation", "sigmod", ["tanh", "sigmoid", "relu"], where="model"))
    assert text == (
        "model: unknown activation: got 'sigmod'; "
        "allowed: nearest: sigmoid; all: relu, sigmoid, tanh"
    )


def test_unknown_name_far_from_every_name_lists_all_alone():
    assert str(unknown_name("family", "zzz", ["b", "a"])).endswith("got 'zzz'; allowed: a, b")


def test_unknown_name_among_none_says_so():
    assert str(unknown_name("parameter", "beta", [])).endswith("allowed: none")
