"""Who means what: every meaning is one of an entry, and what the notes state is true."""

import numpy as np
import pytest

from embact.activations import CATALOGUE, activation
from embact.catalogue.variants import ELSEWHERE, VARIANTS, Variant, elsewhere, meanings, meant

GRID = np.linspace(-40.0, 40.0, 80001)


def of(variant):
    return activation(variant.entry, **dict(variant.settings))


def test_every_meaning_is_an_entry_with_parameters_that_it_takes():
    for variant in VARIANTS:
        assert variant.entry in CATALOGUE
        assert dict(variant.settings).items() <= of(variant).settings().items()


def test_a_meaning_of_an_entry_that_is_not_there_would_be_noticed(refuses):
    with refuses("unknown activation"):
        of(Variant("sqnl", "square_nonlinearity", "nobody"))


def test_no_meaning_is_there_twice():
    said = [(one.name, one.entry, one.settings) for one in VARIANTS]
    assert len(set(said)) == len(said)
    assert all(one.who for one in VARIANTS)


def test_a_row_says_something_that_the_names_alone_do_not():
    for one in VARIANTS:
        assert one.note or one.settings or one.name != one.entry or len(meanings(one.name)) > 1


def test_an_entry_of_that_name_is_the_first_meaning_of_it():
    for name in {one.name for one in VARIANTS} & set(CATALOGUE):
        entries = [one.entry for one in meanings(name)]
        assert entries[0] == name or name not in entries, name


@pytest.mark.parametrize(
    "name", ["hardswish", "HardSwish", "hard-swish", "hard_swish", "Hard Swish"]
)
def test_spelling_does_not_matter(name):
    assert {one.entry for one in meanings(name)} == {"hard_swish"}


def test_what_nobody_calls_anything_has_no_meaning():
    assert meanings("frobnicate") == ()
    assert meanings("") == ()


def test_texts_that_disagree_are_all_there():
    assert [one.entry for one in meanings("sqnl")] == ["sqnl", "softsign"]
    assert {one.entry for one in meanings("gelu")} == {"gelu", "gelu_tanh", "gelu_sigmoid"}
    assert {one.entry for one in meanings("swish")} == {"swish", "silu"}
    assert {one.meant for one in meanings("leaky_relu")} == {
        "leaky_relu",
        "leaky_relu(alpha=0.01)",
        "leaky_relu(alpha=0.3)",
    }


def test_the_meaning_that_is_asked_for_is_found():
    assert meant("sqnl", "softsign").who == "some later texts"
    assert meant("relu1", "clipped_relu").settings == (("max", 1.0),)
    assert meant("leaky_relu", "leaky_relu").settings == ()
    assert meant("leaky_relu", "leaky_relu(alpha=0.3)").settings == (("alpha", 0.3),)
    assert meant("leaky_relu", " leaky_relu( alpha = 3e-1 ) ").settings == (("alpha", 0.3),)


def test_every_meaning_is_found_as_it_is_listed():
    for one in VARIANTS:
        found = meant(one.name, one.meant)
        assert (found.entry, found.settings) == (one.entry, one.settings)


@pytest.mark.parametrize(
    "meaning",
    [
        *("leaky_relu(alpha=0.4)", "leaky_relu(beta=0.3)", "leaky_relu(alpha)", "leaky_relu(0.3)"),
        *("leaky_relu(alpha=0.3", "leaky_relu(alpha=0.3,alpha=0.3)", "(alpha=0.3)", "", "()"),
    ],
)
def test_a_meaning_that_is_not_listed_is_refused_with_the_list(refuses, meaning):
    with refuses("variant of leaky_relu", "leaky_relu, leaky_relu(alpha=0.01), leaky_relu(alpha"):
        meant("leaky_relu", meaning)


def test_an_entry_that_several_rows_share_and_none_has_without_settings_is_refused(
    refuses, monkeypatch
):
    rows = tuple(Variant("r", "clipped_relu", "x", settings=(("max", m),)) for m in (1.0, 2.0))
    monkeypatch.setattr("embact.catalogue.variants.VARIANTS", rows)
    with refuses("variant of r", "allowed: clipped_relu(max=1), clipped_relu(max=2)"):
        meant("r", "clipped_relu")
    assert meant("r", "clipped_relu(max=2)") is rows[1]


def test_what_is_no_function_of_one_number_says_what_writes_its_c(refuses):
    assert not set(ELSEWHERE) & set(CATALOGUE)
    with refuses("softmax is no function of one number", "`embact softmax`"):
        activation("softmax")
    with refuses("SwiGLU is no function of one number", "`embact glu --gate silu`"):
        activation("SwiGLU")
    with refuses("prelu is no", "`embact prelu`; or, as a function, leaky_relu(alpha=0.25)"):
        activation("prelu")
    assert elsewhere("softsign") == ""


def test_a_meaning_that_nobody_has_is_refused_with_those_that_there_are(refuses):
    with refuses("variant of sqnl", "got 'tanh'", "allowed: sqnl, softsign"):
        meant("sqnl", "tanh")
    with refuses("variant of tanh", "got 'sigmoid'", "embact list --variants"):
        meant("tanh", "sigmoid")


def apart(one, other):
    return float(np.abs(activation(one)(GRID) - activation(other)(GRID)).max())


def test_the_distances_in_the_notes_are_true_and_sharp():
    assert 4.7e-4 < apart("gelu", "gelu_tanh") < 4.8e-4
    assert 0.0202 < apart("gelu", "gelu_sigmoid") < 0.0204
    beyond = np.array([20.0])
    assert 2.0e-9 < (activation("softplus")(beyond) - beyond)[0] < 2.1e-9


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (activation("hard_tanh"), activation("relu_n1_to_1")),
        (activation("swish"), activation("silu")),
        (activation("celu"), activation("elu")),
        (activation("threshold", threshold=1.0, value=0.0), activation("thresholded_relu")),
        (activation("squareplus", b=0.0), activation("relu")),
        (activation("clipped_relu", max=6.0), activation("relu6")),
        (activation("apl"), activation("relu")),
        (activation("apl", a1=-0.2), activation("leaky_relu")),
        (activation("rrelu", lower=0.1, upper=0.3), activation("leaky_relu")),
    ],
    ids=lambda act: act.name,
)
def test_entries_that_are_said_to_be_the_same_are(one, other):
    assert np.allclose(one(GRID), other(GRID), rtol=1e-15, atol=0.0)
    assert not np.allclose(one(GRID), other(GRID) + 1e-9, rtol=1e-15, atol=0.0)


def test_squareplus_has_softplus_curvature_at_0():
    step = 1e-4
    around = np.array([-step, 0.0, step])
    bends = [activation(name)(around) @ [1, -2, 1] / step**2 for name in ("squareplus", "softplus")]
    assert bends == pytest.approx([0.25, 0.25], rel=1e-6)
