"""The self-test: a delegate of ours is tried in a runtime before its results are believed.

It runs a model of one operator with a function that no TFLite kernel computes, on all 256 codes.
This module must not know sites or user models.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from embact.errors import EmbactError
from embact.tflite.host.delegate import Claim, make_delegate, probe_address
from embact.tflite.host.runtime import find_runtime, open_interpreter
from embact.tflite.model import pack, schema

POINTS = 256


def one_logistic() -> bytes:
    """Return a model of one int8 LOGISTIC on 256 elements, with TFLite's fixed output grid."""
    made = schema()
    tensors = []
    for name, scale, zero_point in ((b"input", 1 / 16, 0), (b"output", 1 / 256, -128)):
        grid = made.QuantizationParametersT(scale=[scale], zeroPoint=[zero_point])
        tensors.append(
            made.TensorT(
                shape=[1, POINTS],
                type=made.TensorType.INT8,
                buffer=0,
                name=name,
                quantization=grid,
                hasRank=True,
            )
        )
    logistic = made.BuiltinOperator.LOGISTIC
    code = made.OperatorCodeT(deprecatedBuiltinCode=logistic, builtinCode=logistic, version=2)
    graph = made.SubGraphT(
        tensors=tensors,
        inputs=[0],
        outputs=[1],
        operators=[made.OperatorT(opcodeIndex=0, inputs=[0], outputs=[1])],
        name=b"main",
    )
    return pack(
        made.ModelT(version=3, operatorCodes=[code], subgraphs=[graph], buffers=[made.BufferT()])
    )


@lru_cache
def self_test(runtime_name: str) -> None:
    """Raise EmbactError naming the runtime's version unless our delegate works in it.

    Checked once per process and runtime: the node is handed over, the function runs once, and all
    256 outputs are the function's, not the operator's.
    """
    runtime = find_runtime(runtime_name)
    claim = Claim((0,), 0, 1, 8, 8, POINTS, probe_address())
    delegate = make_delegate([claim])
    codes = np.arange(-128, 128)
    try:
        interpreter = open_interpreter(runtime, one_logistic(), delegate=delegate)
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], codes.astype(np.int8).reshape(1, POINTS)
        )
        interpreter.invoke()
        seen = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).ravel()
    except (EmbactError, RuntimeError, ValueError) as error:
        raise EmbactError(f"kernels cannot run in {runtime.version}", got=error) from None
    expected = (91 * (codes + 128) + 17) % 256 - 128
    wrong = int(np.count_nonzero(seen != expected))
    if wrong or delegate.runs() != (1,):
        raise EmbactError(
            f"kernels cannot run in {runtime.version}",
            got=f"{wrong} of {POINTS} outputs wrong, {delegate.runs()[0]} calls",
            allowed="a runtime with TFLite's C delegate interface",
        )
