"""The TFLite interpreters of this machine: which, what version, which kernels, and their refusals.

This module must not know sites or kernels: it opens a model, with a delegate if it is given one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from embact.errors import EmbactError, unknown_name

if TYPE_CHECKING:
    from embact.tflite.delegate import Delegate

Interpreter: TypeAlias = Any
"""An Interpreter object of one of the runtimes."""

PACKAGES = {
    "litert": ("ai-edge-litert", "ai_edge_litert.interpreter", 'pip install "embact[tflite]"'),
    "tflite-runtime": (
        "tflite-runtime",
        "tflite_runtime.interpreter",
        'pip install "embact[tflm-oracle]" (CPython <= 3.11 on Linux, numpy < 2)',
    ),
}
"""Runtimes by name: their distribution, their module, how to get them."""

RESOLVERS = {"reference": "BUILTIN_REF", "default": "AUTO"}
"""reference: TFLite's reference kernels, which are the ones of microcontrollers (no ELU). default:
the optimised kernels and XNNPACK, as an application gets them."""


@dataclass(frozen=True)
class Runtime:
    """An interpreter that can be imported. version: of its distribution."""

    name: str
    version: str
    module: Any


def find_runtime(name: str = "litert") -> Runtime:
    """Return a runtime. Raises EmbactError if it is unknown, or with how to install it."""
    if name not in PACKAGES:
        raise unknown_name("runtime", name, PACKAGES)
    distribution, module, remedy = PACKAGES[name]
    try:
        found = importlib.import_module(module)
        version = importlib.metadata.version(distribution)
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        raise EmbactError(f"runtime {name} is missing", got=error, allowed=remedy) from error
    return Runtime(name, f"{distribution} {version}", found)


def check_resolver(name: str) -> None:
    """Raise EmbactError unless a resolver has that name."""
    if name not in RESOLVERS:
        raise unknown_name("resolver", name, RESOLVERS)


def open_interpreter(
    runtime: Runtime,
    content: bytes,
    *,
    resolver: str = "reference",
    delegate: Delegate | None = None,
    where: str = "model",
) -> Interpreter:
    """Return an interpreter with its tensors allocated, on one thread.

    Raises EmbactError if the runtime refuses the model or the delegate, or does not give the
    delegate every node that it claims.
    """
    check_resolver(resolver)
    kind = getattr(runtime.module.OpResolverType, RESOLVERS[resolver])
    try:
        interpreter = runtime.module.Interpreter(
            model_content=content,
            experimental_delegates=[delegate] if delegate else None,
            experimental_op_resolver_type=kind,
            num_threads=1,
        )
        interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise refusal(runtime, error, resolver=resolver, where=where) from None
    if delegate and delegate.replaced() != len(delegate.claims):
        raise EmbactError(
            f"{runtime.version} did not hand over every claimed operator",
            got=delegate.replaced(),
            allowed=str(len(delegate.claims)),
            where=where,
        )
    return interpreter


def refusal(runtime: Runtime, error: Exception, *, resolver: str, where: str) -> EmbactError:
    """Return a runtime's exception as an error that says what to do."""
    said = " ".join(str(error).split())
    if ours := re.search(r"embact: (.*?)(?:Node number|$)", said):
        return EmbactError("the model does not fit its kernels", got=ours[1].strip(), where=where)
    lacking = re.search(r"builtin opcode '(\w+)'|custom op(?:code)?: ?'?(\w+)", said)
    if not lacking:
        return EmbactError(f"{runtime.version} refuses the model", got=said, where=where)
    op = lacking[1] or lacking[2]
    allowed = "operators of this resolver"
    if op.startswith("embact_"):
        allowed = "a converted model together with the kernels folder written beside it"
    elif lacking[1] and resolver == "reference":
        allowed += "; try the resolver default"
    return EmbactError(
        f"{runtime.version}, resolver {resolver}, lacks operator {op}", allowed=allowed, where=where
    )
