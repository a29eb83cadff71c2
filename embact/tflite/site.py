"""What is found in a TFLite graph: sites, layers, and activations that are neither, with reasons.

Types only. This module must not know how anything is found, fitted or replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from embact.activations import Activation
    from embact.grid import QuantSpec
    from embact.nn.glu import Grids
    from embact.nn.prelu_layer import PreluLayer
    from embact.nn.softmax import Softmax


@dataclass(frozen=True)
class Site:
    """An element-wise activation in a graph: one operator, or a pattern of several.

    subgraph: always 0, the one that interpreters run. operators: indices of its operators, in
    order. input, output: tensor indices. ops: the operators' builtin names. tensor: the output's
    name. elements: elements per inference at the stored shapes. activation: the real function of
    its input, a catalogue entry or a formula read from the graph. about: what else there is to
    know of how it was found, one line, or "".
    """

    subgraph: int
    operators: tuple[int, ...]
    input: int
    output: int
    ops: tuple[str, ...]
    tensor: str
    activation: Activation
    spec: QuantSpec
    elements: int
    about: str = ""


@dataclass(frozen=True)
class GluAsked:
    """A gated linear unit, a * activation(b), whose operands are the halves of the last axis.

    swapped: whether a is the second half.
    """

    activation: Activation
    grids: Grids
    swapped: bool = False


Layer: TypeAlias = "Softmax | PreluLayer | GluAsked"
"""What is computed where it is no function of one code."""


@dataclass(frozen=True)
class LayerSite:
    """An activation whose results depend on more than one code: softmax, PReLU by channel, GLU.

    Fields as those of Site. elements: of the output. row_size: elements of one row of the output,
    its last axis; elements is a multiple of it.
    """

    subgraph: int
    operators: tuple[int, ...]
    input: int
    output: int
    ops: tuple[str, ...]
    tensor: str
    layer: Layer
    spec: QuantSpec
    elements: int
    row_size: int
    about: str = ""


@dataclass(frozen=True)
class Skipped:
    """An operator that computes an activation and is no site, with the reason in one line.

    command: the command line that writes its C, empty if there is none. DIR stands for a folder.
    """

    subgraph: int
    operator: int
    op: str
    reason: str
    command: str = ""


@dataclass(frozen=True)
class Findings:
    """The sites and layers of a model in the order they are computed, and what was left out."""

    sites: tuple[Site, ...]
    skipped: tuple[Skipped, ...]
    layers: tuple[LayerSite, ...] = ()
