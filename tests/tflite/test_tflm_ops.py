"""The table of TFLM's resolver agrees with the schema and with itself."""

from embact.tflite.model import names_of
from embact.tflite.ops import OPERATORS
from embact.tflite.tflm.resolver import CUSTOM_METHODS, METHODS, OVERRIDES

IRREGULAR = {
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "BATCH_MATMUL": "AddBatchMatMul",
    "CONV_2D": "AddConv2D",
    "CUMSUM": "AddCumSum",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "L2_POOL_2D": "AddL2Pool2D",
    "MAX_POOL_2D": "AddMaxPool2D",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}


def test_every_operator_is_in_the_schema():
    known = set(names_of("BuiltinOperator").values())
    assert METHODS.keys() <= known
    assert "GELUX" not in known  # a control: names_of is not everything


def test_methods_are_named_after_their_operators():
    for op, method in METHODS.items():
        regular = "Add" + "".join(part.capitalize() for part in op.split("_"))
        assert method == IRREGULAR.get(op, regular)


def test_no_method_is_listed_twice():
    methods = [*METHODS.values(), *CUSTOM_METHODS.values()]
    assert len(set(methods)) == len(methods)
    assert sorted(METHODS) == sorted(METHODS, key=lambda name: name)


def test_what_can_be_overridden_can_be_added():
    assert OVERRIDES.keys() <= METHODS.keys()
    assert not {"GELU", "RELU_N1_TO_1", "SELECT", "TOPK_V2"} & METHODS.keys()


def test_operators_that_tflm_runs_can_be_added_and_no_others():
    for op, facts in OPERATORS.items():
        assert (op in METHODS) == bool(facts.tflm), op
