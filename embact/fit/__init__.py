"""Fitting: from an activation and a quantisation to the cheapest kernel within an error budget."""
