"""The data law: Gaussian clusters, each with a label, and attributes that make them groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Arguments, Axis, declare_axes
from ntk_shortcuts.laws.attributes import named_attributes
from ntk_shortcuts.laws.clusters import presets
from ntk_shortcuts.laws.latents import LatentLaw
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.metrics.groups import Accuracy, GroupAccuracy
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.counts import class_sizes
from ntk_shortcuts.nodes.gaussian import normal_rule, sobol_normal
from ntk_shortcuts.nodes.test_points import Groups, TestPoints
from ntk_shortcuts.numerics import compiled, generator, in_float64, is_traced, real_leaf
from ntk_shortcuts.results.prediction import by_group
from ntk_shortcuts.typing import AnyArray, Array, Float, Int, Key, Num, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer, require_values

_POINTS, _BAYES_POINTS = 512, 2**16

# Per cluster: orders of Hermite rules up to K = 3, and numbers of Sobol points beyond, for a purpose and from coarse to fine.
_ORDERS = {
    "operator": {1: (16, 24, 36), 2: (10, 14, 20, 28), 3: (6, 8, 10, 12)},
    "resolvents": {1: (12, 18, 26), 2: (8, 11, 14), 3: (5, 6, 7)},
}
_SOBOL = {"operator": (64, 128, 256, 512), "resolvents": (64, 128, 256)}
_COARSE = {"spectrum": "resolvents", "influence": "resolvents"}


class Clusters(LatentLaw):
    r"""Gaussian clusters in R^K with proportions \(p_g\), means \(m_g\), covariances \(S_g\) and labels \(y_g\).

    \[z\mid g\sim N(m_g,S_g),\qquad E[y\mid z]=\frac{\sum_gp_gy_g\,N(z;m_g,S_g)}{\sum_gp_g\,N(z;m_g,S_g)}\]

    Inputs are \(x=\sum_i\alpha_iw_iz_i\) with random unit vectors \(w_i\in R^d\). There is no symmetry: a constant is learnt
    too. The class counts of a data set are fixed at the classes' proportions, clusters within a class are drawn. Label D14.2.

    Groups are label x attributes, or without attributes the clusters by number: `Prediction.group_accuracy` has the dims
    (label, attribute) or (cluster,), `worst_group_accuracy` is the least, `optimal_group_accuracy` that of Bayes' rule beside.
    Test points are 512 of a fixed scrambled Sobol sequence for each cluster. At `probes=` of one's own each point counts to its
    most probable cluster.

    Args:
        means: (G, K).
        proportions: (G,), each > 0; normalised to sum 1; equal by default.
        labels: (G,) in {-1, +1}, both present; alternating signs are no default: they must be given.
        attributes: (G,), then called "attribute", or {"name": (G,)}: integers.
        covariance: a number > 0, the variance of every latent; a matrix (K, K); or one for each cluster (G, K, K).
        amplification: alpha (K,), each > 0; 1 by default.
        input_dim: d >= K.

    Raises:
        ValueError: naming the argument, the allowed range and the value got.

    Numerics: nodes are a rule for each cluster, Hermite products up to K = 3 and Sobol points beyond
    (:mod:`ntk_shortcuts.nodes.gaussian`), refined until the accuracy stays.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow, predict
        >>> law = Clusters([[2, 1], [-2, 1], [2, -1], [-2, -1]], (0.45, 0.05, 0.05, 0.45), (1, 1, -1, -1), (1, -1, 1, -1))
        >>> p = predict(law, MLP(1), GradientFlow(10.0), random_init=False, tolerance=0.02)
        >>> p.group_accuracy.dims, p.worst_group_accuracy < float(p.optimal_group_accuracy.min())
        (('label', 'attribute'), True)
    """

    sources: ClassVar[tuple[str, ...]] = ("lim2026shortcut", "sagawa2020distributionally")

    means: Float[Array | np.ndarray, "G K"]
    proportions: Float[Array | np.ndarray, "G"]
    labels: Int[np.ndarray, "G"]
    attributes: dict[str, Int[np.ndarray, "G"]]
    covariance: Float[Array | np.ndarray, "*shape"] | Scalar
    amplification: Float[Array | np.ndarray, "K"]
    input_dim: int = eqx.field(static=True)

    def __init__(
        self,
        means: Num[AnyArray, "G K"] | Sequence[Sequence[float]],
        proportions: Num[AnyArray, "G"] | Sequence[Scalar] | None = None,
        labels: Num[AnyArray, "G"] | Sequence[int] = (),
        attributes: Any = None,
        covariance: Any = 1.0,
        amplification: Num[AnyArray, "K"] | Sequence[Scalar] | None = None,
        input_dim: int = 100,
    ):
        shape = np.shape(means)
        allowed = "an array (G, K), one row for each of two clusters or more"
        require(len(shape) == 2 and shape[0] >= 2 and shape[1] >= 1, "means", allowed, means)
        require_values("means", means, shape, "finite", np.isfinite)
        count, dimension = shape
        proportions = np.full(count, 1 / count) if proportions is None else _together(proportions)
        require_values("proportions", proportions, (count,), "positive and finite", lambda v: (v > 0) & (v < np.inf))
        amplification = np.ones(dimension) if amplification is None else _together(amplification)
        require_values("amplification", amplification, (dimension,), "positive and finite", lambda v: (v > 0) & (v < np.inf))
        _require_covariance(covariance, count, dimension)
        self.means, self.covariance, self.amplification = (real_leaf(value) for value in (means, covariance, amplification))
        shares = real_leaf(proportions)
        self.proportions = shares / shares.sum()
        self.labels = _integers("labels", labels, count)
        require(set(self.labels.tolist()) == {-1, 1}, "labels", "in {-1, +1}, with clusters of either", self.labels)
        self.attributes = named_attributes(attributes, lambda name, values: _integers(name, values, count))
        self.input_dim = require_integer("input_dim", input_dim, dimension, f"an integer >= {dimension}, that of the means")

    @classmethod
    def waterbirds(cls, majority: float = 0.95, **parameters: Any) -> Clusters:
        """Label x background, as in Waterbirds: :func:`ntk_shortcuts.laws.clusters.presets.waterbirds`."""
        return cls(**presets.waterbirds(majority, **parameters))

    @classmethod
    def xor_core(cls, agreement: float = 0.9, **parameters: Any) -> Clusters:
        """A core that is the product of two features' signs: :func:`ntk_shortcuts.laws.clusters.presets.xor_core`."""
        return cls(**presets.xor_core(agreement, **parameters))

    @classmethod
    def imbalanced(cls, majority: float = 0.9, **parameters: Any) -> Clusters:
        """A majority and a minority of either class: :func:`ntk_shortcuts.laws.clusters.presets.imbalanced`."""
        return cls(**presets.imbalanced(majority, **parameters))

    @property
    def clusters(self) -> int:
        """G."""
        return self.means.shape[0]

    @property
    def features(self) -> int:
        """K."""
        return self.means.shape[1]

    @property
    @in_float64
    def covariances(self) -> Float[Array, "G K K"]:
        """Of every cluster."""
        given = jnp.asarray(self.covariance)
        matrix = given * jnp.eye(self.features) if given.ndim == 0 else given
        return jnp.broadcast_to(matrix, (self.clusters, self.features, self.features))

    @property
    @in_float64
    def factors(self) -> Float[Array, "G K K"]:
        """Lower-triangular Cholesky factors of the covariances."""
        return _factors(self)

    @in_float64
    def log_responsibilities(self, latents: Num[AnyArray, "n K"]) -> Float[Array, "n G"]:
        """Log P(cluster | z) at latents (n, K)."""
        return _log_responsibilities(self, as_points("latents", latents, dimension=self.features))

    @in_float64
    def density(self, latents: Num[AnyArray, "n K"]) -> Float[Array, "n"]:
        """Mixture density p(z) at latents (n, K)."""
        return _density(self, as_points("latents", latents, dimension=self.features))

    @in_float64
    def class_expectation(self, latents: Num[AnyArray, "n K"]) -> Float[Array, "n"]:
        r"""\(E[y\mid z]=\tanh(\tfrac12\log\frac{P(+\mid z)}{P(-\mid z)})\) at latents (n, K). Label D14.2."""
        return _class_expectation(self, as_points("latents", latents, dimension=self.features))

    @in_float64
    def group_shares(self, points: Any) -> Float[Array, "n G"]:
        """P(cluster | z) at points."""
        return jnp.exp(self.log_responsibilities(points))

    @property
    def label_groups(self) -> tuple[tuple[int, ...], ...]:
        """Of each cluster (label, attributes); without attributes (label, number of the cluster)."""
        named = self.attributes.values() if self.attributes else [np.arange(self.clusters)]
        return tuple(tuple(map(int, group)) for group in zip(self.labels, *named, strict=True))

    @property
    def positive_share(self) -> Any:
        return jnp.asarray(self.proportions) @ (np.asarray(self.labels) > 0)

    @in_float64
    def bayes_group_accuracy(self) -> Any:
        """Accuracy of the Bayes-optimal classifier in each group, an `xarray.DataArray`, from 65,536 Sobol points a cluster.

        Label D14.2.
        """
        points = self._of_clusters(_BAYES_POINTS)
        return by_group(GroupAccuracy().optimal(points), points)

    @in_float64
    def sample(self, key: Key, num_samples: int, *, balanced: bool = True, embedding: Embedding | None = None) -> Dataset:
        """Draw a data set, in random order.

        Args:
            key: `jax.random` key.
            num_samples: n >= 2.
            balanced: class counts fixed at the classes' proportions, by largest remainders; otherwise independent samples.
            embedding: reuse the embedding of another sample; by default a new one is drawn.

        Raises:
            ValueError: num_samples not an integer >= 2.
        """
        require_integer("num_samples", num_samples, 2)
        sample_key, embedding_key = jax.random.split(key)
        rng, labels, shares = generator(sample_key), np.asarray(self.labels), np.asarray(self.proportions)
        if balanced:
            sides = [np.flatnonzero(labels == side) for side in (-1, 1)]
            sizes = class_sizes(num_samples, [shares[of].sum() for of in sides])
            drawn = [rng.choice(of, size, p=shares[of] / shares[of].sum()) for of, size in zip(sides, sizes, strict=True)]
            cluster = rng.permutation(np.concatenate(drawn))
        else:
            cluster = rng.choice(self.clusters, num_samples, p=shares)
        noise = rng.normal(size=(num_samples, self.features))
        latents = np.asarray(self.means)[cluster] + np.einsum("nij,nj->ni", np.asarray(self.factors)[cluster], noise)
        embedding = self.embedding(embedding_key) if embedding is None else embedding
        latents = jnp.asarray(latents)
        return Dataset(embedding(latents), jnp.asarray(labels[cluster], latents.dtype), latents, embedding)

    # What a data law says of itself (ntk_shortcuts.laws.base).

    @property
    def metric(self) -> Accuracy:
        return Accuracy()

    def levels(self, facts: KernelFacts, purpose: str) -> int:
        return len(self._ladder(purpose))

    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        """A rule for each cluster."""
        return _nodes(self, self._ladder(purpose)[level])

    def _ladder(self, purpose: str) -> tuple[int, ...]:
        purpose = _COARSE.get(purpose, purpose)
        return _ORDERS[purpose].get(self.features, _SOBOL[purpose])

    @in_float64
    def test_points(self, points: Any = None) -> TestPoints:
        """Sobol points of each cluster, or latents (n, K), each counted to its most probable cluster."""
        if points is None:
            return self._of_clusters(_POINTS)
        points = as_points("probes", points, dimension=self.features)
        cluster = np.argmax(np.asarray(self.log_responsibilities(points)), axis=1)
        return self._tested(points, cluster, np.full(len(cluster), 1 / len(cluster)))

    def _of_clusters(self, count: int) -> TestPoints:
        points = _of_normal(self, sobol_normal(self.features, count))
        cluster = np.repeat(np.arange(self.clusters), count)
        return self._tested(points, cluster, jnp.asarray(self.proportions)[cluster] / count)

    def _tested(self, points: jax.Array, cluster: np.ndarray, weights: Any) -> TestPoints:
        named = {"label": self.labels, **self.attributes} if self.attributes else {"cluster": np.arange(self.clusters)}
        values = {name: np.unique(found) for name, found in named.items()}
        number = np.zeros(self.clusters, int)
        for name, found in named.items():
            number = number * len(values[name]) + np.searchsorted(values[name], found)
        groups = Groups(number[cluster], tuple(named), tuple(tuple(map(int, found)) for found in values.values()))
        read = {name: jnp.asarray(np.asarray(found)[cluster], float) for name, found in {"label": self.labels, **named}.items()}
        optimal = jnp.sign(self.class_expectation(points))
        return TestPoints(points, read, optimal, jnp.ones(len(cluster)), read["label"], jnp.asarray(weights), groups)

    def require_resolved(self, network: Network) -> None:
        """At the farthest test point."""
        if not is_traced(self, network):
            squares = lambda: np.max(np.sum((np.asarray(self.amplification) * self.test_points().points) ** 2, axis=1))  # noqa: E731
            network.require_resolved(squares, self.input_dim)

    @property
    @in_float64
    def flattest(self) -> Any:
        """Of the inputs' second moment, the smallest eigenvalue over the largest."""
        return _flattest(self)


# Each as one program: their operations would be compiled one by one, for every cluster and every number of points.


@compiled
def _factors(law: Clusters) -> jax.Array:
    return jnp.stack([jnp.linalg.cholesky(matrix) for matrix in law.covariances])


def _log_joint(law: Clusters, latents: jax.Array) -> jax.Array:
    """Log of p_g N(z; m_g, S_g), (n, G)."""
    parts = [
        jnp.log(share) + jax.scipy.stats.multivariate_normal.logpdf(latents, mean, matrix)
        for share, mean, matrix in zip(jnp.asarray(law.proportions), jnp.asarray(law.means), law.covariances, strict=True)
    ]
    return jnp.stack(parts, axis=1)


@compiled
def _density(law: Clusters, latents: jax.Array) -> jax.Array:
    return jnp.exp(jax.scipy.special.logsumexp(_log_joint(law, latents), axis=1))


@compiled
def _log_responsibilities(law: Clusters, latents: jax.Array) -> jax.Array:
    joint = _log_joint(law, latents)
    return joint - jax.scipy.special.logsumexp(joint, axis=1, keepdims=True)


@compiled
def _class_expectation(law: Clusters, latents: jax.Array) -> jax.Array:
    logs, labels = _log_responsibilities(law, latents), jnp.asarray(law.labels)
    # Classes' logarithms rather than a sum of signed densities, which far out would be 0 / 0.
    of_class = (jnp.where(labels == side, logs, -jnp.inf) for side in (1, -1))
    positive, negative = (jax.scipy.special.logsumexp(part, axis=1) for part in of_class)
    return jnp.tanh((positive - negative) / 2)


@compiled
def _of_normal(law: Clusters, normal: AnyArray) -> jax.Array:
    """Points of every cluster, one after the other, from standard normal ones."""
    points = jnp.asarray(law.means)[:, None] + jnp.einsum("nj,gij->gni", jnp.asarray(normal), _factors(law))
    return points.reshape(-1, law.features)


@compiled
def _flattest(law: Clusters) -> jax.Array:
    means, alpha = jnp.asarray(law.means), jnp.asarray(law.amplification)
    moments = law.covariances + means[:, :, None] * means[:, None, :]
    moment = alpha[:, None] * jnp.einsum("g,gij->ij", jnp.asarray(law.proportions), moments) * alpha
    values = jnp.linalg.eigvalsh(moment)
    return values[0] / values[-1]


@compiled
def _nodes(law: Clusters, size: int) -> Nodes:
    normal, weights = normal_rule(law.features, size, size)
    points = _of_normal(law, normal)
    shares = jnp.concatenate([share * weights for share in jnp.asarray(law.proportions)])
    return Nodes.of(points, shares, law.class_expectation(points))


def _together(value: Any) -> Any:
    """Entries as one array, traced or not."""
    if isinstance(value, tuple | list) and any(isinstance(entry, jax.Array) for entry in value):
        return jnp.stack([jnp.asarray(entry) for entry in value])
    return value


def _require_covariance(covariance: Any, count: int, dimension: int) -> None:
    shape = np.shape(covariance)
    allowed = f"a number, or of shape ({dimension}, {dimension}) or ({count}, {dimension}, {dimension})"
    require(shape in ((), (dimension, dimension), (count, dimension, dimension)), "covariance", allowed, covariance)
    if not shape:
        require_values("covariance", covariance, (), "positive and finite", lambda v: (v > 0) & (v < np.inf))
        return
    require_values("covariance", covariance, shape, "finite", np.isfinite)
    if not is_traced(covariance):
        matrices = np.asarray(covariance, float).reshape(-1, dimension, dimension)
        proper = np.allclose(matrices, np.swapaxes(matrices, 1, 2)) and np.linalg.eigvalsh(matrices).min() > 0
        require(bool(proper), "covariance", "symmetric and positive definite", covariance)


def _integers(name: str, values: Any, count: int) -> np.ndarray:
    values = np.asarray(values)
    require(values.shape == (count,), name, f"of shape ({count},), one per cluster", values)
    whole = values.dtype.kind in "iuf" and bool(np.all(np.isfinite(values)) and np.all(values == np.round(values)))
    require(whole, name, "integers", values)
    return values.astype(int)


def _proportions_at(arguments: Arguments, agreement: Any) -> np.ndarray:
    """Proportions at which P(attribute = label) is `agreement` in either class, those on one side in their ratios."""
    require_values("agreement", agreement, (), "in (0, 1)", lambda v: (v > 0) & (v < 1))
    labels, named = arguments["labels"], arguments["attributes"]
    require(len(named) == 1, "agreement", "an axis of clusters with one attribute", f"{len(named)} attributes")
    ((name, attribute),) = named.items()
    shares, found = np.asarray(arguments["proportions"], float), np.zeros(len(labels))
    for label in (-1, 1):
        for agrees, share in ((True, agreement), (False, 1 - agreement)):
            of = (labels == label) & ((attribute == label) == agrees)
            where = f"that equals and that differs from the label in either class, as {name} must"
            require(bool(of.any()), "agreement", f"an axis of clusters with an attribute {where}", agreement)
            found[of] = share * shares[labels == label].sum() * shares[of] / shares[of].sum()
    return found


declare_axes(
    Clusters,
    "model",
    "a Clusters",
    {
        "agreement": Axis("agreement of attribute and label", field="proportions", scale=_proportions_at),
        "proportions": Axis("proportion of cluster", each=True),
        "amplification": Axis("amplification of feature", each=True),
    },
)
