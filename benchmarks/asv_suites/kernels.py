"""Closed-form and quadrature kernels, and empirical ones."""

import jax
import numpy as np

import ntk_shortcuts as ns


class Kernels:
    """NNGP and NTK of 1000 x 1000 points, float64."""

    params = (["relu, depth 1", "relu, depth 3, biases", "erf, depth 3, biases", "tanh, depth 2"], [2, 100])
    param_names = ("network", "input_dim")
    timeout = 600

    def setup(self, name, input_dim):
        activation, depth, *biases = name.split(", ")
        self.network = ns.MLP(int(depth.removeprefix("depth ")), activation, bias_variance=0.1 if biases else 0.0)
        rng = np.random.default_rng(0)
        self.x, self.y = rng.normal(size=(2, 1000, input_dim))
        self.between(self.x, self.y)

    def between(self, *points):
        return jax.block_until_ready(self.network.kernels(*points))

    def time_two_sets(self, name, input_dim):
        self.between(self.x, self.y)

    def time_one_set(self, name, input_dim):
        self.between(self.x)

    time_one_set.warmup_time = 5  # compiles

    def peakmem_two_sets(self, name, input_dim):
        self.between(self.x, self.y)


class EmpiricalKernels:
    """NTK of a finite network at its parameters, 200 x 200 points in R^100, float32."""

    params = ([(1, 1024), (3, 512)],)
    param_names = ("depth, width",)
    timeout = 600

    def setup(self, size):
        depth, width = size
        self.network = ns.MLP(depth, width=width)
        self.parameters = self.network.init(jax.random.key(0), 100, "float32")
        self.x = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
        self.time_ntk(size)

    def time_ntk(self, size):
        jax.block_until_ready(ns.empirical_ntk(self.network, self.parameters, self.x))

    def peakmem_ntk(self, size):
        self.time_ntk(size)
