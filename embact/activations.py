"""Every activation by name: a real function, with its derivative and an independent oracle.

The float64 function is fast and vectorised; the oracle is written separately over mpmath numbers
and decides where float64 cannot. This module must not know grids, kernels or how a thing is
approximated.

Where texts disagree on a name, each meaning is an entry of its own; ``embact.catalogue.variants``
says who means what.
"""

from __future__ import annotations

from embact.catalogue import adaptive, exponential, gated, hard, rectifiers, shrinks, sigmoids
from embact.catalogue.variants import elsewhere, meanings
from embact.errors import EmbactError, unknown_name
from embact.truth import Activation, Parameter, Symmetry, Tail, Truth

__all__ = ["CATALOGUE", "Activation", "Parameter", "Symmetry", "Tail", "Truth", "activation"]

_KINDS = (rectifiers, adaptive, shrinks, hard, sigmoids, gated, exponential)

CATALOGUE: dict[str, Activation] = {
    entry.name: entry.set({}) for kind in _KINDS for entry in kind.ENTRIES
}
"""Every activation by name, with default parameters."""


def activation(name: str, /, **settings: float) -> Activation:
    """Return a catalogue entry with its parameters set; the others keep their defaults.

    Raises EmbactError for an unknown activation or parameter, with the nearest names or the entry
    that goes by that name elsewhere, and for a value that is not finite or outside the parameter's
    range.

    >>> import numpy as np
    >>> activation("leaky_relu", alpha=0.25)(np.array([-4.0, 4.0]))
    array([-1.,  4.])
    """
    if name not in CATALOGUE:
        raise _unknown(name)
    return CATALOGUE[name].set(settings)


def _unknown(name: str) -> EmbactError:
    error = unknown_name("activation", name, CATALOGUE)
    here = " or ".join(f"{one.meant} ({one.who})" for one in meanings(name))
    if command := elsewhere(name):
        allowed = f"{command}; or, as a function, {here}" if here else command
        return EmbactError(f"{name} is no function of one number", allowed=allowed)
    if here:
        error.allowed = f"{here}; all: {', '.join(sorted(CATALOGUE))}"
    return error
