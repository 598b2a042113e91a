"""Tolerances shared by the tests, with their reasons."""

ROUNDING = 1e-12
"""Two float64 routes of the same formula: some hundred roundings."""

FLOAT32 = 2e-6
"""float32 kernels of points in the plane against float64, relative: seventeen roundings."""

SIGMAS = 4.0
"""Standard errors that a statistical test allows. With some thirty such tests a false alarm comes once in 500 runs."""
