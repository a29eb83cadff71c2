"""embact, the activation compiler for microcontrollers: fit, prove, emit, run, convert."""

__version__ = "0.1.0"
