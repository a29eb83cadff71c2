"""Sections of bench_fit.py: each yields rows, one for each method on one case."""
