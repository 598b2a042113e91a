"""What is given for a network and is none: the message names the argument and the way out."""

import types

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns

MODEL, FLOW = ns.GenerativeModel(), ns.GradientFlow(3.0)
INPUTS = np.random.default_rng(0).normal(size=(4, 3))
LABELS = np.array([1.0, -1.0, 1.0, -1.0])


def kernel_fn(x1, x2=None, get=None, **options):
    raise AssertionError("never called")


def init_fn(key, input_shape):
    raise AssertionError("never called")


class Bare:
    """Kernels that are one array."""

    def kernels(self, x1, x2=None):
        return np.asarray(x1) @ np.asarray(x1 if x2 is None else x2).T


class Other:
    """Kernels by other names."""

    def kernels(self, x1, x2=None):
        return types.SimpleNamespace(K=Bare().kernels(x1, x2))


STAX = r"network must be a stax network through interop.from_stax\(kernel_fn\), or anything with kernels\(x1, x2\)"
NONE = r"network must be an MLP, a stax network through from_stax, or anything with kernels\(x1, x2\)"
SHAPE = r"network must be with kernels\(x1, x2\) that returns .nngp and .ntk"
BAD = {
    "a kernel_fn": (kernel_fn, STAX),
    "the triple of stax": ((init_fn, init_fn, kernel_fn), STAX),
    "a name": ("relu", NONE),
    "nothing": (None, NONE),
    "an array": (np.eye(4), NONE),
    "a bare kernel": (Bare(), SHAPE),
    "other names": (Other(), SHAPE),
    "a class of ours": (ns.MLP, r"network must be an object, and no class: construct it, MLP\(...\); got 'MLP'"),
    "a class of one's own": (Bare, r"network must be an object, and no class: construct it, Bare\(...\); got 'Bare'"),
}
CALLS = {
    "predict_bias": lambda network: ns.predict_bias(MODEL, network, FLOW),
    "predict_bias with samples": lambda network: ns.predict_bias(MODEL, network, FLOW, 20),
    "predict_outputs": lambda network: ns.predict_outputs(network, FLOW, INPUTS, LABELS, INPUTS),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("bad", BAD)
def test_the_message_names_the_network_and_the_way_out(bad, call):
    network, match = BAD[bad]
    with pytest.raises(ValueError, match=match):
        CALLS[call](network)


class InNumPy:
    """Kernels that no transformation can trace."""

    def kernels(self, x1, x2=None):
        kernel = Bare().kernels(x1, x2)
        return ns.kernels.Kernels(kernel, kernel)


def test_kernels_in_numpy_are_taken_or_refused_with_the_way_out():
    match = r"network must be one whose kernels\(x1, x2\) JAX can trace.*dataset.*monte_carlo.*TracerArrayConversionError"
    for samples in (None, 20):
        with pytest.raises(ValueError, match=match):
            ns.predict_bias(MODEL, InNumPy(), FLOW, samples)
    options = {"num_datasets": 2, "key": jax.random.key(0), "probes": MODEL.probe_grid(4)}
    assert np.isfinite(ns.predict_bias(MODEL, InNumPy(), FLOW, 8, method="monte_carlo", **options).bias)
