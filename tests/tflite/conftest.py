"""Small TFLite models made in memory, and fits made from tables, for the tests of this folder."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from embact.certify import certify
from embact.fit.problem import Candidate, Limits, Problem
from embact.fit.record import Fit
from embact.fit.search import fit
from embact.ir import Table, add, const, lookup, x
from embact.kernel import Kernel
from embact.sources import data_file
from embact.tflite.find.sites import find_sites
from embact.tflite.model import pack, parse, read, schema
from embact.tflite.placement import place

DIGITS = ("digits_cnn_int8", "digits_mlp_int8", "digits_mlp_int16x8")


@dataclass(frozen=True)
class Tensor:
    name: str
    dtype: str = "INT8"
    scale: tuple[float, ...] = (0.05,)
    zero_point: int = 0
    shape: tuple[int, ...] = (1, 256)
    data: bytes = b""


@dataclass(frozen=True)
class Node:
    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: object = None


# The output grid of each operator that suits inputs of +-6.4 (int8) and +-6.55 (int16).
OUTPUT_GRIDS = {
    "LOGISTIC": {"INT8": (1 / 256, -128), "INT16": (1 / 32768, 0)},
    "TANH": {"INT8": (1 / 128, 0), "INT16": (1 / 32768, 0)},
}
INPUT_SCALES = {"INT8": 0.05, "INT16": 0.0002}


def options(op: str, **fields):
    """The builtin options of an operator, with the name of their type in the schema's union."""
    made = schema()
    kinds = {
        "ELU": None,
        "LOGISTIC": None,
        "TANH": None,
        "RELU": None,
        "RELU6": None,
        "GELU": "GeluOptions",
        "HARD_SWISH": "HardSwishOptions",
        "LEAKY_RELU": "LeakyReluOptions",
        "MUL": "MulOptions",
        "ADD": "AddOptions",
        "SOFTMAX": "SoftmaxOptions",
        "CONV_2D": "Conv2DOptions",
        "DIV": "DivOptions",
        "SPLIT": "SplitOptions",
        "SUB": "SubOptions",
        "SVDF": "SVDFOptions",
        "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    }
    kind = kinds.get(op)
    return None if kind is None else (kind, getattr(made, f"{kind}T")(**fields))


def graph(description, codes, buffers):
    made = schema()
    tensors, nodes, inputs, outputs = description
    trees = []
    for one in tensors:
        grid = None
        if one.scale:
            grid = made.QuantizationParametersT(
                scale=list(one.scale), zeroPoint=[one.zero_point] * len(one.scale)
            )
        if one.data:
            buffers.append(made.BufferT(data=np.frombuffer(one.data, dtype=np.uint8)))
        trees.append(
            made.TensorT(
                shape=list(one.shape),
                type=getattr(made.TensorType, one.dtype),
                buffer=len(buffers) - 1 if one.data else 0,
                name=one.name.encode(),
                quantization=grid,
                hasRank=True,
            )
        )
    operators = []
    for node in nodes:
        kind, value = node.options or (None, None)
        operators.append(
            made.OperatorT(
                opcodeIndex=codes.setdefault(node.op, len(codes)),
                inputs=list(node.inputs),
                outputs=list(node.outputs),
                builtinOptionsType=getattr(made.BuiltinOptions, kind) if kind else 0,
                builtinOptions=value,
            )
        )
    return made.SubGraphT(
        tensors=trees, inputs=list(inputs), outputs=list(outputs), operators=operators, name=b"main"
    )


VERSIONS = {"LOGISTIC": 2, "TANH": 2, "GELU": 2, "LEAKY_RELU": 2, "RELU": 2, "RELU6": 2, "MUL": 2}


def tree_of(*graphs):
    """A ModelT from (tensors, nodes, inputs, outputs), one for each subgraph."""
    made = schema()
    codes, buffers = {}, [made.BufferT()]
    subgraphs = [graph(one, codes, buffers) for one in graphs]
    operator_codes = []
    for op in codes:
        number = getattr(made.BuiltinOperator, op)
        operator_codes.append(
            made.OperatorCodeT(
                deprecatedBuiltinCode=min(number, 127),
                builtinCode=number,
                version=VERSIONS.get(op, 1),
            )
        )
    return made.ModelT(
        version=3, operatorCodes=operator_codes, subgraphs=subgraphs, buffers=buffers
    )


def model_of(tensors, nodes, inputs, outputs):
    return parse(pack(tree_of((tensors, nodes, inputs, outputs))), "made.tflite")


def one_op(op, dtype="INT8", *, elements=None, fields=None):
    """A model of one operator, on all codes at once unless ``elements`` says otherwise."""
    shape = (1, elements or {"INT8": 256, "INT16": 65536}[dtype])
    scale, zero = OUTPUT_GRIDS.get(op, {}).get(dtype, (INPUT_SCALES[dtype], 0))
    tensors = [
        Tensor("in", dtype, (INPUT_SCALES[dtype],), 0, shape),
        Tensor("out", dtype, (scale,), zero, shape),
    ]
    return model_of(tensors, [Node(op, (0,), (1,), options(op, **(fields or {})))], [0], [1])


def silu_pair(dtype="INT8", *, swapped=False, outputs=(2,), fused=0, shape=(1, 256)):
    """LOGISTIC and MUL, as the converter writes SiLU: tensors x, gate, out."""
    gate = OUTPUT_GRIDS["LOGISTIC"][dtype]
    tensors = [
        Tensor("x", dtype, (INPUT_SCALES[dtype],), 0, shape),
        Tensor("gate", dtype, (gate[0],), gate[1], shape),
        Tensor("out", dtype, (INPUT_SCALES[dtype],), 0, shape),
    ]
    operands = (0, 1) if swapped else (1, 0)
    mul = Node("MUL", operands, (2,), options("MUL", fusedActivationFunction=fused))
    return model_of(tensors, [Node("LOGISTIC", (0,), (1,)), mul], [0], list(outputs))


COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")


def constant(name, value, dtype):
    """A scalar as the converter stores it: the largest code of a grid of its own, or a float32."""
    if dtype == "FLOAT32":
        return Tensor(name, dtype, (), shape=(), data=np.float32(value).tobytes())
    steps = {"INT8": 255, "INT16": 32767}[dtype]
    scale = float(np.float32(abs(value) / steps)) or 1.0
    zero = (-128 if value > 0 else 127) if dtype == "INT8" else 0
    code = np.sign(value) * steps + zero if value else zero
    stored = np.array(code, {"INT8": np.int8, "INT16": np.int16}[dtype]).tobytes()
    return Tensor(name, dtype, (scale,), zero, (), stored)


def pattern(lines, dtype="INT8", *, outputs=("y",), shape=(1, 256), given=()):
    """A model from lines like ``gate = LOGISTIC x; y = MUL x gate``, which reads x.

    Operands are tensors or numbers; ADD+RELU6 is an ADD with a fused RELU6. Tensors whose name
    begins with f_ are float32, the results of comparisons bool, the others of one grid, unless
    they are given.
    """
    grid = {"INT8": (0.05,), "INT16": (0.0002,)}[dtype]
    tensors = {"x": Tensor("x", dtype, grid, 0, shape)} | {one.name: one for one in given}
    nodes = []
    fused = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3, "TANH": 4}
    for line in filter(None, map(str.strip, lines.split(";"))):
        result, _, (op, *operands) = (words := line.split())[0], words[1], words[2:]
        op, _, clamp = op.partition("+")
        kind = "FLOAT32" if any(one.startswith("f_") for one in operands) else dtype
        for one in operands:
            if one not in tensors:
                tensors[one] = constant(one, float(one), kind)
        made = Tensor(result, dtype, grid, 0, shape)
        if op in COMPARISONS or op.startswith("LOGICAL"):
            made = Tensor(result, "BOOL", (), shape=shape)
        elif result.startswith("f_"):
            made = Tensor(result, "FLOAT32", (), shape=shape)
        tensors.setdefault(result, made)
        places = list(tensors)
        chosen = options(op, **({"fusedActivationFunction": fused[clamp]} if clamp else {}))
        inputs = tuple(places.index(one) for one in operands)
        nodes.append(Node(op, inputs, (places.index(result),), chosen))
    ends = [list(tensors).index(one) for one in outputs]
    return model_of(list(tensors.values()), nodes, [0], ends)


def fit_of_table(activation, spec, values):
    """A fit whose kernel is any table, right or wrong: its certificate says how wrong."""
    bits = spec.input.bits
    index = add(x(), const(1 << (bits - 1)))
    table = Table("table", tuple(int(value) for value in values))
    kernel = Kernel(lookup(table, index), bits, spec.output.bits)
    proved = certify(activation, spec, kernel)
    return Fit(Problem(activation, spec, Limits(1 << 16)), "lut", Candidate(kernel), proved)


@pytest.fixture
def build():
    """The functions above: with importlib-style imports a test cannot import its conftest."""
    return SimpleNamespace(
        Tensor=Tensor,
        Node=Node,
        options=options,
        tree_of=tree_of,
        model_of=model_of,
        one_op=one_op,
        silu_pair=silu_pair,
        pattern=pattern,
        constant=constant,
        fit_of_table=fit_of_table,
    )


def same_tree(a, b) -> bool:
    """Whether two object trees, or parts of them, are equal throughout."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is not None and b is not None and np.array_equal(a, b)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same_tree, a, b))
    if hasattr(a, "__dict__"):
        return type(a) is type(b) and all(same_tree(v, vars(b)[k]) for k, v in vars(a).items())
    return a == b


@pytest.fixture
def same():
    return same_tree


FAMILY = {8: "lut", 16: "interp"}
"""By input width: what serves any function here, and is found at once."""


@functools.lru_cache
def fitted(activation, spec, max_error, family):
    """A fit, once per session."""
    return fit(Problem(activation, spec, Limits(max_error=max_error)), family)


@pytest.fixture
def placed():
    """The function that places a fit at every site of a model, by FAMILY or another family."""

    def place_all(model, max_error=1, family=None):
        sites = find_sites(model).sites
        chosen = [family or FAMILY[one.spec.input.bits] for one in sites]
        fits = zip(sites, chosen, strict=True)
        return place(sites, [fitted(s.activation, s.spec, max_error, by) for s, by in fits])

    return place_all


@pytest.fixture(params=DIGITS)
def digits(request):
    """Each of the packaged models."""
    return read(data_file(f"{request.param}.tflite"))
