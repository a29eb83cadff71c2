"""Every entry of the catalogue, with its defaults and at the ends of its parameters."""

from embact.activations import CATALOGUE, activation

APL = {"a1": 0.25, "b1": -0.5, "a2": -1.5, "b2": 1.25, "a8": 0.125, "b8": 3.0}
APL_THIRDS = {"a1": 1 / 3, "b1": 0.1, "a2": -0.7, "b2": 2.3, "a3": 1e3, "b3": -1e6}
CASES = [
    *((name, {}) for name in CATALOGUE),
    ("clipped_relu", {"max": 1e-6}),
    ("clipped_relu", {"max": 20.5}),
    ("clipped_relu", {"max": 1e6}),
    ("leaky_relu", {"alpha": 0.0}),
    ("leaky_relu", {"alpha": 0.01}),
    ("leaky_relu", {"alpha": -0.3}),
    ("leaky_relu", {"alpha": 1.0}),
    ("leaky_relu", {"alpha": 1e3}),
    ("rrelu", {"lower": -0.1, "upper": 0.3}),
    ("rrelu", {"lower": 0.2, "upper": 0.2}),
    ("rrelu", {"lower": -1e3, "upper": 1e3}),
    ("sparse_relu", {"threshold": 0.0}),
    ("sparse_relu", {"threshold": 0.1}),
    ("sparse_relu", {"threshold": 1e6}),
    ("thresholded_relu", {"theta": 0.0}),
    ("thresholded_relu", {"theta": 0.1}),
    ("thresholded_relu", {"theta": 1e6}),
    ("threshold", {"threshold": 0.0, "value": 0.0}),
    ("threshold", {"threshold": -2.7, "value": 0.1}),
    ("threshold", {"threshold": 1e6, "value": -1e6}),
    ("apl", APL),
    ("apl", APL_THIRDS),
    ("apl", {"a1": -1.0, "b1": 0.0}),
    ("apl", {"a1": -1.0, "b1": 1.0, "a2": 1.0, "b2": -1.0}),
    ("soft_shrink", {"lambd": 0.0}),
    ("soft_shrink", {"lambd": 0.1}),
    ("soft_shrink", {"lambd": 1e6}),
    ("hard_shrink", {"lambd": 0.0}),
    ("hard_shrink", {"lambd": 0.1}),
    ("hard_shrink", {"lambd": 1e6}),
    ("hard_tanh", {"min": 0.0, "max": 1.0}),
    ("hard_tanh", {"min": -0.1, "max": 0.1}),
    ("hard_tanh", {"min": 1.5, "max": 1.5}),
    ("hard_tanh", {"min": -1e6, "max": 1e6}),
    ("swish", {"beta": 1e-3}),
    ("swish", {"beta": 1.702}),
    ("swish", {"beta": 1e3}),
    ("elu", {"alpha": 1e-3}),
    ("elu", {"alpha": 0.7}),
    ("elu", {"alpha": 1e3}),
    ("celu", {"alpha": 1e-3}),
    ("celu", {"alpha": 0.7}),
    ("celu", {"alpha": 1e3}),
    ("isru", {"alpha": 1e-3}),
    ("isru", {"alpha": 0.3}),
    ("isru", {"alpha": 1e3}),
    ("isrlu", {"alpha": 1e-3}),
    ("isrlu", {"alpha": 0.3}),
    ("isrlu", {"alpha": 1e3}),
    ("softplus", {"beta": 1e-3}),
    ("softplus", {"beta": 0.7}),
    ("softplus", {"beta": 1e3}),
    ("squareplus", {"b": 0.0}),
    ("squareplus", {"b": 1e-9}),
    ("squareplus", {"b": 0.3}),
    ("squareplus", {"b": 1e3}),
]


def pytest_generate_tests(metafunc):
    """Give tests of an ``act`` all of them."""
    if "act" in metafunc.fixturenames:
        acts = [activation(name, **settings) for name, settings in CASES]
        ids = [f"{name}-{'-'.join(map(str, settings.values()))}" for name, settings in CASES]
        metafunc.parametrize("act", acts, ids=ids)
