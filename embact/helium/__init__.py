"""Helium: a kernel's expression as vector instructions, and how many the loop has.

Nothing here knows how kernels are found, priced or put into headers.
"""
