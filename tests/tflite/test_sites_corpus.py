"""Every model that a converter wrote is found to compute what its layer was, or for a true reason.

The models and what they are made of are in ``corpus``; see its README.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from embact.nn.prelu_layer import PreluLayer
from embact.nn.softmax import Softmax
from embact.tflite.find.constants import stored_values
from embact.tflite.find.regions import flow_of
from embact.tflite.find.sites import find_sites
from embact.tflite.graph import graph_of
from embact.tflite.model import read
from embact.tflite.site import GluAsked

CORPUS = Path(__file__).parent / "corpus"
INDEX = json.loads((CORPUS / "index.json").read_text("utf-8"))

MEANT = {
    "hard_tanh_bare": "relu_n1_to_1",
    "celu": "elu alpha=1",  # which it is with its default
    "relu_slope_max": "keras_relu",
    "sparse_plus": "sparse_plus",
    "softplus_beta": "chain",  # beta x is in the convolution: softplus(x)/2 is left
    "hard_sigmoid": "relu6_over_6",  # x + 3 is in the convolution, and its clamp
    "hard_sigmoid_02": "clipped_relu max=1",  # 0.2 x + 0.5 is in the convolution
    "hard_sigmoid_05": "clipped_relu max=1",
    "prelu_one": "leaky_relu alpha=-0.25",
}
"""What is found where the converter has moved a part of the activation, or has another name."""

ON_ITS_GRID = ("threshold", "hard_sigmoid_05")
"""Where the converter rounds the constant to a code of the tensor that it is chosen beside."""

GATES = {"glu": "sigmoid", "reglu": "relu", "swiglu": "silu", "geglu": "gelu"}

files = pytest.mark.parametrize("file", INDEX)


def stem(file):
    return file.partition("__")[0]


def wanted(file):
    """The name and the parameters that are expected of an element-wise model."""
    if stem(file) in MEANT:
        name, *settings = MEANT[stem(file)].split()
        return name, {key: float(value) for key, _, value in (s.partition("=") for s in settings)}
    return INDEX[file]["activation"], INDEX[file]["settings"]


def is_fused(file):
    return "+RELU" in INDEX[file]["operators"][-1]


def of_kind(kind):
    return [file for file in INDEX if INDEX[file]["kind"] == kind]


@pytest.mark.parametrize("file", [file for file in of_kind("elementwise") if not is_fused(file)])
def test_an_activation_is_one_site_with_its_parameters(file):
    found = find_sites(read(CORPUS / file))
    (site,) = found.sites
    name, settings = wanted(file)
    assert site.activation.name == name or site.activation.name.startswith(f"{name}_")
    got = site.activation.settings()
    # a value that is chosen between is rounded to the output's grid
    assert {key: got[key] for key in settings} == pytest.approx(
        settings, abs=site.spec.output.scale
    )
    assert all(skip.reason.startswith("already free") for skip in found.skipped)
    last = len(INDEX[file]["operators"]) - 1 - (stem(file).endswith("_reshape"))
    assert site.operators[-1] == last


@pytest.mark.parametrize("file", [file for file in of_kind("elementwise") if is_fused(file)])
def test_a_fused_activation_is_said_to_be_free(file):
    found = find_sites(read(CORPUS / file))
    assert found.sites == found.layers == ()
    (skip,) = found.skipped
    assert f"+{skip.reason.split()[2]}" in INDEX[file]["operators"][-1]
    assert skip.reason.startswith("already free")


@pytest.mark.parametrize("file", of_kind("layer"))
def test_a_layer_is_found_as_what_it_is(file):
    found = find_sites(read(CORPUS / file))
    name = INDEX[file]["activation"]
    if stem(file) == "prelu_element":
        assert "neither one nor one for each" in found.skipped[0].reason
    elif stem(file) in MEANT:
        assert found.sites[0].activation.name == wanted(file)[0]
        assert found.sites[0].activation.settings() == pytest.approx(wanted(file)[1])
    else:
        (layer,) = found.layers
        match layer.layer:
            case Softmax() as unit:
                assert unit.name == name
            case PreluLayer() as unit:
                assert (name, len(unit.codes)) == ("prelu", layer.row_size)
            case GluAsked() as unit:
                assert GATES[name] == unit.activation.name
                assert unit.swapped == stem(file).endswith("gate_first")


@pytest.mark.parametrize("file", of_kind("gates"))
def test_gates_are_found_where_they_are_operators_and_else_not_reachable(file):
    found = find_sites(read(CORPUS / file))
    if any("LSTM" in op for op in INDEX[file]["operators"]):
        assert found.sites == ()
        assert "not reachable" in found.skipped[0].reason
    else:
        names = [site.activation.name for site in found.sites]
        ops = INDEX[file]["operators"]
        assert names.count("tanh") == ops.count("TANH")
        (gate,) = {name for name in names if name.startswith("chain")}
        assert names.count("sigmoid") + names.count(gate) == ops.count("LOGISTIC")
        (about,) = [site.about for site in found.sites if site.activation.name == gate]
        assert about == "sigmoid(-x)"


def changed_constants(file):
    """Models with one of the pattern's constants, none of them 0, one percent larger."""
    model = read(CORPUS / file)
    graph = graph_of(model, 0)
    nodes = flow_of(model, graph).nodes
    held = {i for operator in nodes for i in graph.tensors(operator)[0] if i in graph.constant}
    for i in sorted(held):
        again = read(CORPUS / file)
        tensor = again.tree.subgraphs[0].tensors[i]
        values = stored_values(again, tensor)
        if tensor.quantization is not None and tensor.quantization.scale is not None:
            if (values != tensor.quantization.zeroPoint[0]).any():
                tensor.quantization.scale = [tensor.quantization.scale[0] * 1.01]
                yield again
        elif values.any():
            larger = (values * np.float32(1.01)).astype(np.float32)
            again.tree.buffers[tensor.buffer].data = np.frombuffer(larger.tobytes(), np.uint8)
            yield again


@pytest.mark.parametrize("file", [file for file in of_kind("elementwise") if not is_fused(file)])
def test_with_a_constant_one_percent_off_it_is_something_else(file):
    (before,) = find_sites(read(CORPUS / file)).sites
    for model in changed_constants(file):
        after = [site.activation for site in find_sites(model).sites]
        assert before.activation not in after


def test_constants_are_changed_at_all():
    changed = {stem(file) for file in of_kind("elementwise") if [*changed_constants(file)]}
    assert {"mish", "softplus", "selu", "softsign", "soft_shrink", "squareplus"} <= changed
