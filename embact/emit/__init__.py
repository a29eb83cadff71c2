"""Emission: from kernels to C text. Everything here returns ``str``; the caller writes it."""
