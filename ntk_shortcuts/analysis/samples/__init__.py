"""A kernel on the samples of a pool, as an operator: its eigenfunctions, and when it learns a label or an attribute."""
