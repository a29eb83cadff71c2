"""Regions: those of random graphs are the ones that the definition gives, found by brute force."""

from __future__ import annotations

import itertools
import random

import pytest

from embact.tflite.find.meaning import OPERANDS
from embact.tflite.find.regions import MOST_OPERATORS, flow_of, meaning_of, regions
from embact.tflite.find.terms import Terms
from embact.tflite.find.terms_text import text_of
from embact.tflite.graph import graph_of

OPS = ("EXP", "ABS", "MUL", "ADD", "SUB", "AVERAGE_POOL_2D")


def random_graph(build, seed, size=9):
    """Operators on earlier tensors, one of which is no element-wise one, with two inputs."""
    rng = random.Random(seed)  # noqa: S311 - nothing is secret here
    tensors = [build.Tensor(f"t{i}", shape=(1, 4)) for i in range(size + 2)]
    nodes = []
    for place in range(size):
        op = rng.choice(OPS)
        count = OPERANDS.get(op, 1)
        ins = tuple(rng.choice((place + 1, rng.randrange(place + 2))) for _ in range(count))
        nodes.append(build.Node(op, ins, (place + 2,), build.options(op)))
    outputs = [size + 1, *rng.sample(range(2, size + 1), rng.randrange(2))]
    return build.model_of(tensors, nodes, [0, 1], outputs)


def by_definition(flow, last):
    """Every region that ends at an operator, by trying every tensor as its entry."""
    found = set()
    for entry in range(len(flow.graph.tree.tensors)):
        inside, stack, whole = set(), [flow.results.get(last, -1)], True
        while stack:
            tensor = stack.pop()
            if tensor == entry:
                continue
            operator = flow.producer.get(tensor, -1)
            if operator not in flow.nodes:
                whole = False
                break
            if operator not in inside:
                inside.add(operator)
                stack.extend(flow.nodes[operator])
        used = {one for operator in inside for one in flow.nodes[operator]}
        if whole and inside and entry in used:
            leak = any(
                flow.results[one] in flow.outputs
                or not {*flow.readers.get(flow.results[one], ())} <= inside
                for one in inside - {last}
            )
            found.add((tuple(sorted(inside)), entry, leak))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_regions_of_a_random_graph_are_those_of_the_definition(build, seed):
    model = random_graph(build, seed)
    flow = flow_of(model, graph_of(model, 0))
    for last in range(len(flow.graph.ops)):
        ours = [(one.operators, one.entry, one.leak is not None) for one in regions(flow, last)]
        assert len(set(ours)) == len(ours)
        assert set(ours) == by_definition(flow, last)
        sizes = [len(operators) for operators, _, _ in ours]
        assert sizes == sorted(sizes)


def test_random_graphs_have_regions_of_many_kinds(build):
    kinds = set()
    for seed in range(60):
        model = random_graph(build, seed)
        flow = flow_of(model, graph_of(model, 0))
        for last in flow.nodes:
            kinds |= {(len(one.operators), one.leak is not None) for one in regions(flow, last)}
    assert {*itertools.product((2, 3, 4), (False, True))} <= kinds


def test_a_region_has_at_most_so_many_operators(build):
    tensors = [build.Tensor(f"t{i}", shape=(1, 4)) for i in range(41)]
    nodes = [build.Node("EXP", (i,), (i + 1,)) for i in range(40)]
    model = build.model_of(tensors, nodes, [0], [40])
    found = list(regions(flow_of(model, graph_of(model, 0)), 39))
    assert [len(one.operators) for one in found] == list(range(1, MOST_OPERATORS + 1))


def test_the_meaning_of_a_region_is_of_its_entry(build):
    model = build.pattern("a = EXP x; b = ADD a 1; c = MUL a b; y = RELU c")
    flow = flow_of(model, graph_of(model, 0))
    found = {}
    for one in regions(flow, 3):
        terms = Terms()
        found[len(one.operators)] = text_of(terms, meaning_of(flow, one, terms))
    assert found == {1: "relu(x)", 3: "relu(x*(x + 1))", 4: "relu(exp(x)*(exp(x) + 1))"}


@pytest.mark.parametrize(
    ("lines", "given", "nodes"),
    [
        ("y = ADD x 1", [], {0}),
        ("p = GREATER x 0; y = SELECT p x 1", [], {0, 1}),
        ("p = GREATER x 0; y = ADD p x", [], {0}),
        ("y = SELECT x x 1", [], set()),
        ("p = GREATER x 0; q = LOGICAL_NOT p; y = SELECT q x 1", [], {0, 1, 2}),
        ("f_a = CAST x; y = QUANTIZE f_a", [], {1}),
        ("y = GREATER x 0", [{"name": "y"}], set()),
        ("y = ADD x 1", [{"name": "y", "shape": (2, 256)}], set()),
        ("y = ADD x 1", [{"name": "x", "scale": (0.1, 0.2), "shape": (1, 2)}], set()),
        ("y = ADD x 1", [{"name": "x", "dtype": "UINT8"}], set()),
        ("y = ADD x 1", [{"name": "x", "dtype": "INT32", "scale": ()}], set()),
        ("y = RELU c", [{"name": "c", "data": bytes(256)}], set()),
        ("y = ADD+TANH x 1", [], {0}),
    ],
)
def test_an_operator_is_a_node_if_it_is_element_wise_on_real_numbers(build, lines, given, nodes):
    model = build.pattern(lines, given=[build.Tensor(**one) for one in given])
    assert set(flow_of(model, graph_of(model, 0)).nodes) == nodes
