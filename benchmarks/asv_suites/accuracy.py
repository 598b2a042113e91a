"""Errors to follow from commit to commit. All are deterministic: fixed keys and few samples, whose noise is in the value."""

import jax
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.kernels.neural_tangents import load

from .predictions import FINITE, MODEL


class KernelAgreement:
    """Largest difference of our NTK and neural-tangents' over the largest entry: depth 3, biases, 50 x 50 points in R^20."""

    params = (["relu", "erf"],)
    param_names = ("activation",)
    unit = "of the largest entry"

    def setup(self, activation):
        jax.config.update("jax_enable_x64", True)  # neural-tangents computes in the session's precision

    def track_difference_from_neural_tangents(self, activation):
        stax = load().stax
        layer = {"relu": stax.Relu, "erf": stax.Erf}[activation]
        hidden = [part for _ in range(3) for part in (stax.Dense(1, np.sqrt(2.0), np.sqrt(0.1)), layer())]
        x, y = np.random.default_rng(0).normal(size=(2, 50, 20))
        theirs = stax.serial(*hidden, stax.Dense(1, np.sqrt(2.0), np.sqrt(0.1)))[2](x, y, "ntk")
        ours = ns.MLP(3, activation, bias_variance=0.1).kernels(x, y).ntk
        return float(np.max(np.abs(ours - theirs)) / np.max(np.abs(theirs)))


class TheoryAgainstBruteForce:
    """The average over data sets against the mean over 32 sampled ones, N = 100, t = 30."""

    unit = "of the bias"
    timeout = 600

    def setup(self):
        self.training = ns.GradientFlow(30.0)

    def track_error_of_dataset_averaged(self):
        averaged = ns.predict_bias(MODEL, ns.MLP(1), self.training, 100)
        sampled = [
            ns.predict_bias(MODEL, ns.MLP(1), self.training, dataset=MODEL.sample(key, 100)).bias
            for key in jax.random.split(jax.random.key(0), 32)
        ]
        return abs(averaged.bias - float(np.mean(sampled)))


class TheoryAgainstTraining:
    """Predicted bias against 16 trained networks of width 128, N = 1000, full batches, t = 30."""

    params = (["population_flow", "population"],)
    param_names = ("method",)
    unit = "of the bias"
    timeout = 600

    def setup(self, method):
        steps = ns.GradientDescent(0.1, 300)
        self.trained = ns.train_ensemble(MODEL, FINITE, steps, 1000, 8, 2, key=jax.random.key(0)).mean_bias

    def track_error_against_training(self, method):
        training = ns.GradientFlow(30.0)
        options = {"key": jax.random.key(1)} if method == "population_flow" else {"check_laziness": False}
        return abs(ns.predict_bias(MODEL, FINITE, training, method=method, **options).bias - self.trained)
