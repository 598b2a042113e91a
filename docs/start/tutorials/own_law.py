# %% [markdown]
# # A new law of my own
#
# The paper's features are Gaussian. Yours may not be: a watermark is there or it is not. This tutorial makes such a
# law, and every method of the toolkit takes it.
#
# The law: a core feature c, Gaussian in each class, and a watermark w, -1 or +1, that agrees with the label for 95 of
# 100 samples. Given the label the two are independent, so that Bayes' rule gives \(E[y\mid w,c]=\tanh(\mu c+\tfrac
# w2\log\frac a{1-a})\).

# %% [markdown]
# ## One class
#
# A law says where its nodes lie, how a network sees its points, where it is tested, and how it is sampled. Numbers
# that it is made with are its fields.

# %%
import jax
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.laws import DataLaw
from ntk_shortcuts.metrics import Agreement
from ntk_shortcuts.networks.inputs import Vectors
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.validation import as_points


class Watermark(DataLaw):
    """Points (w, c): a watermark of two values beside a Gaussian core."""

    agreement: float = 0.95
    core_mean: float = 1.3
    size: float = 3.0  # of the watermark in the input

    @property
    def metric(self):
        return Agreement("watermark")  # the mean of sign f times w

    def levels(self, facts, purpose):
        return 3

    def nodes(self, level, facts, purpose):
        """Gauss-Hermite rules along the core, for both labels and both values of the watermark."""
        steps, weights = np.polynomial.hermite_e.hermegauss(12 * 2**level)
        parts = [(w, y) for w in (-1, 1) for y in (-1, 1)]
        points = np.concatenate([np.stack([np.full(len(steps), w), y * self.core_mean + steps], axis=1) for w, y in parts])
        shares = np.concatenate([self._share(w, y) * weights / weights.sum() for w, y in parts])
        return Nodes.of(points, shares, self._expected_label(points))

    def inputs(self, points):
        return Vectors(as_points("points", points, dimension=2) * np.array([self.size, 1.0]))

    def test_points(self, points=None):
        grid = np.linspace(-3 * self.core_mean, 3 * self.core_mean, 40)
        points = np.array([(w, c) for w in (-1.0, 1.0) for c in grid]) if points is None else points
        optimal = np.sign(self._expected_label(points))
        sides = {"watermark": np.sign(points[:, 0]), "core": np.sign(points[:, 1])}
        return TestPoints(points, sides, optimal=optimal, reach=np.ones(len(points)))

    def sample(self, key, num_samples):
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).tolist())
        labels = np.repeat([-1.0, 1.0], num_samples // 2)
        watermark = np.where(rng.random(len(labels)) < self.agreement, labels, -labels)
        points = np.stack([watermark, labels * self.core_mean + rng.normal(size=len(labels))], axis=1)
        return ns.Dataset(points * np.array([self.size, 1.0]), labels, points)

    def _share(self, watermark, label):
        return (self.agreement if watermark == label else 1 - self.agreement) / 2

    def _expected_label(self, points):
        evidence = np.log(self.agreement / (1 - self.agreement)) / 2
        return np.tanh(self.core_mean * points[:, 1] + evidence * points[:, 0])


# %% [markdown]
# ## First check: the nodes
#
# Weights sum to one, and the mean of \(E[y\mid w,c]\,w\) is \(2a-1\), whatever the rule.

# %%
law = Watermark()
nodes = law.nodes(1, None, "operator")
weights, targets = np.ravel(nodes.weights), np.ravel(nodes.targets)
watermark = np.asarray(nodes.points)[:, 0]
print(weights.sum(), np.sum(weights * targets * watermark), 2 * law.agreement - 1)
assert abs(weights.sum() - 1) < 1e-5 and abs(np.sum(weights * targets * watermark) - 0.9) < 1e-4

# %% [markdown]
# ## Second check: predictions against sampled data sets
#
# The average over data sets of 60 samples, and exact solutions over drawn ones. They use nodes and `sample` each: if
# the two disagree, one of them is wrong.

# %%
network, flow = ns.MLP(1, bias_variance=0.1), ns.GradientFlow(10.0)
average = ns.predict(law, network, flow, num_samples=60)
drawn = ns.predict(law, network, flow, num_samples=60, method="monte_carlo", key=jax.random.key(0), num_datasets=60)
error = drawn.diagnostics["bias_standard_error"]
print(f"agreement with the watermark: {average.value:.3f}, over drawn data sets {drawn.value:.3f} +- {error:.3f}")
assert abs(average.value - drawn.value) < 4 * error + 0.01

# %% [markdown]
# ## Ask it
#
# Fields are axes of sweeps. How does the size of the watermark change what is used?

# %%
grid = ns.sweep({"size": [0.5, 1.0, 3.0], "time": [3.0, 30.0]}, law, network, flow)
print(grid["agreement"].to_pandas().round(2))
core = ns.predict(law, network, flow, num_samples=60).read(Agreement("core"))
print(f"agreement with the core {core:.2f}")

# %% [markdown]
# A larger watermark is used more, and longer training uses it less, as with Gaussian features. Networks, metrics,
# rules, losses and methods of your own are as short: [extending](../../project/extending.md).
