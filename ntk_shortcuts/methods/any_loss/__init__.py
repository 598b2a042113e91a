"""Frozen kernels under any loss."""
