"""The TFLite interpreters of this machine: which, what version, which kernels, and their refusals.

This module must not know sites or kernels: it opens a model, with a delegate if it is given one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from embact.errors import EmbactError, unknown_name

if TYPE_CHECKING:
    from embact.tflite.host.delegate import Delegate

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

RESOLVERS = {"reference": "BUILTIN_REF", "default": "AUTO", "tflm-oracle": "BUILTIN_REF"}
"""reference: TFLite's reference kernels, which are nearly those of microcontrollers (no ELU).
default: the optimised kernels and XNNPACK, as an application gets them. tflm-oracle: the reference
kernels of ORACLE, which have TFLM's bits."""

ORACLE = "tflite-runtime"
ORACLE_VERSION = "2.14."
"""The runtime, and the start of its version, whose reference kernels were compared with TFLM's: no
operator's output differed but one code of int8 LOGISTIC."""


@dataclass(frozen=True)
class Runtime:
    """An interpreter that can be imported. version: of its distribution."""

    name: str
    version: str
    module: Any


def find_runtime(name: str = "litert") -> Runtime:
    """Return a runtime.

    Raises EmbactError if it is unknown, with how to install it if it is missing, and where it would
    crash: tflite-runtime was built against numpy 1.
    """
    if name not in PACKAGES:
        raise unknown_name("runtime", name, PACKAGES)
    distribution, module, remedy = PACKAGES[name]
    try:
        version = importlib.metadata.version(distribution)
        if name == ORACLE and int(np.__version__.split(".")[0]) > 1:
            raise EmbactError(f"runtime {name}", got=f"numpy {np.__version__}", allowed=remedy)
        found = importlib.import_module(module)
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        raise EmbactError(f"runtime {name} is missing", got=error, allowed=remedy) from error
    return Runtime(name, f"{distribution} {version}", found)


def check_resolver(name: str) -> None:
    """Raise EmbactError unless a resolver has that name."""
    if name not in RESOLVERS:
        raise unknown_name("resolver", name, RESOLVERS)


def runtime_of(resolver: str, asked: str | None = None) -> str:
    """Return the name of the runtime for a resolver: the one that is asked for, or the usual one.

    Raises EmbactError for an unknown resolver, and for tflm-oracle in any runtime but ORACLE.
    """
    check_resolver(resolver)
    if resolver != "tflm-oracle":
        return asked or "litert"
    if asked not in {None, ORACLE}:
        raise EmbactError("runtime for the resolver tflm-oracle", got=asked, allowed=ORACLE)
    return ORACLE


def resolved_runtime(resolver: str, asked: str | None = None) -> Runtime:
    """Return the runtime for a resolver, as ``runtime_of`` and ``find_runtime`` do.

    Raises EmbactError also if it is not the version that a resolver stands for.
    """
    found = find_runtime(runtime_of(resolver, asked))
    version = found.version.split(" ")[-1]
    if resolver == "tflm-oracle" and not version.startswith(ORACLE_VERSION):
        raise EmbactError(
            "version for the resolver tflm-oracle",
            got=found.version,
            allowed=f"{ORACLE_VERSION}x, which was compared with TFLM",
        )
    return found


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
    runtime_of(resolver, runtime.name)
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
        got = said or "no reason, perhaps too little memory"
        return EmbactError(f"{runtime.version} refuses the model", got=got, where=where)
    op = lacking[1] or lacking[2]
    allowed = "operators of this resolver"
    if op.startswith("embact_"):
        allowed = "a converted model together with the kernels folder written beside it"
    elif lacking[1] and resolver != "default":
        allowed += "; try the resolver default"
    return EmbactError(
        f"{runtime.version}, resolver {resolver}, lacks operator {op}", allowed=allowed, where=where
    )
