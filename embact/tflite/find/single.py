"""What single operators are: activations, containers of activations, or neither.

This module must not know graphs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from embact.activations import Activation, activation

if TYPE_CHECKING:
    from collections.abc import Callable

    from embact.tflite.model import Tree


def _leaky_relu(options: Tree) -> Activation:
    return activation("leaky_relu", alpha=float(getattr(options, "alpha", 0.0)))


def _gelu(options: Tree) -> Activation:
    return activation("gelu_tanh" if getattr(options, "approximate", False) else "gelu")


SINGLE: dict[str, Callable[[Tree], Activation]] = {
    "ELU": lambda _: activation("elu", alpha=1.0),
    "EXP": lambda _: activation("exp"),
    "GELU": _gelu,
    "HARD_SWISH": lambda _: activation("hard_swish"),
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": lambda _: activation("sigmoid"),
    "RELU": lambda _: activation("relu"),
    "RELU6": lambda _: activation("relu6"),
    "RELU_0_TO_1": lambda _: activation("clipped_relu", max=1.0),
    "RELU_N1_TO_1": lambda _: activation("relu_n1_to_1"),
    "TANH": lambda _: activation("tanh"),
}
"""The builtin operators that are activations, from their options to what they compute."""

LAYERS = ("LOG_SOFTMAX", "PRELU", "SOFTMAX")
"""Those that are activations of more than one number, or with a parameter for each channel."""

_UNROLL = (
    "convert again from Keras with unroll=True in the layer, which makes each gate an operator, or "
    "run the cell in your own code: `embact gates` writes its gates"
)

INSIDE: dict[str, str] = {
    **dict.fromkeys(
        (
            *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM"),
            *("RNN", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
        ),
        f"not reachable: its gates are computed inside the operator; {_UNROLL}",
    ),
    "SVDF": "not reachable: its activation is computed inside the operator; to replace it, train "
    "and convert with no activation in the layer, and with the activation after it",
}
"""Operators with activations inside, and what to do."""

FREE = ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
"""Activations that a kernel fuses as a clamp of codes, which it does anyway."""
