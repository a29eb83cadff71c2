"""Deliberate replacement of activations, under a budget of a metric on data."""
