import dataclasses
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embact.activations import activation
from embact.certify import Histogram
from embact.fit import least
from embact.fit.fold import View, fold, plain
from embact.fit.least import RESOLUTION_LSB, least_error, least_squares
from embact.fit.lookup import signed_powers
from embact.fit.line import Intervals, intervals, line_values
from embact.fit.problem import Options, Problem
from embact.grid import Grid, QuantSpec
from embact.ir import x

fixed = settings(derandomize=True, database=None, deadline=None, max_examples=40)
