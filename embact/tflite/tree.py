"""The object tree of a TFLite file as LiteRT's generated schema has it: how its parts are read.

This module must not know files, or what operators compute.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from embact.errors import EmbactError

if TYPE_CHECKING:
    from types import ModuleType

Tree: TypeAlias = Any
"""A node of the generated object API (ModelT, TensorT, ...), which has no type information."""


def schema() -> ModuleType:
    """Return LiteRT's generated schema module; EmbactError says how to install it."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise EmbactError(
            "reading TFLite models needs the package ai-edge-litert",
            got=error,
            allowed='pip install "embact[tflite]"',
        ) from error
    module: ModuleType = schema_py_generated
    return module


def items(vector: Tree) -> list[Tree]:
    """Return a vector of the tree, which may be absent, a list or an array, as a list."""
    if vector is None:
        return []
    return vector.tolist() if isinstance(vector, np.ndarray) else list(vector)


def text(name: bytes | str | None) -> str:
    """Return a name of the tree as text, on one line: what cannot be printed is escaped."""
    found = name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""
    if found.isprintable():
        return found
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in found)


def builtin_code(code: Tree) -> int:
    """Return the builtin operator of an OperatorCode: old files have it in the deprecated field."""
    return max(int(code.deprecatedBuiltinCode), int(code.builtinCode))


@functools.cache
def names_of(enumeration: str) -> dict[int, str]:
    """Return the names of one of the schema's enumerations by value."""
    members = vars(getattr(schema(), enumeration))
    return {value: name for name, value in members.items() if isinstance(value, int)}


def shape_of(tensor: Tree) -> tuple[int, ...]:
    """Return the shape stored for a tensor; () for a scalar."""
    return tuple(int(size) for size in items(tensor.shape))


def elements_of(tensor: Tree) -> int:
    """Return how many elements a tensor of its stored shape has."""
    return math.prod(shape_of(tensor))
