"""Tolerances shared by the tests, with their reasons, and the number of examples."""

from hypothesis import settings

ROUNDING = 1e-12
"""Two float64 routes of the same formula: some hundred roundings."""

FLOAT32 = 2e-6
"""float32 kernels of points in the plane against float64, relative: seventeen roundings."""

SIGMAS = 4.0
"""Standard errors that a statistical test allows. With some thirty such tests a false alarm comes once in 500 runs."""


def examples(count):
    """Settings of a law: so many examples, or those of the Hypothesis profile where it asks for more."""
    return settings(max_examples=max(count, settings().max_examples))
