"""Gaussian clusters with labels: groups of unequal size, cores that no single feature tells, imbalance."""
