"""The data law: K latent features of given predictivity, correlation and amplification, any of them the core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.laws.features import rays
from ntk_shortcuts.laws.latents import LatentLaw
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.metrics.reliances import Reliances
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.gaussian import PRODUCT_DIMENSIONS, sobol_box
from ntk_shortcuts.nodes.parity import OddEven
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, in_float64, is_traced, real_leaf, safe_sqrt
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Num, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer, require_values

_MOST = 10
_PROBES, _SIDE = 2048, 30
_ndtri = jax.jit(ndtri)  # one program, not twenty


class GaussianFeatures(LatentLaw):
    r"""K features, Gaussian within a class: one core, K - 1 shortcuts.

    \[\begin{aligned}&P(y=\pm1)=\tfrac12,\quad z\mid y\sim N(y\mu,\Sigma)\ \text{in}\ R^K,\\
      &\mu_i=\sqrt2\,\mathrm{erf}^{-1}(2\rho_i-1),\quad
      E[y\mid z]=\tanh(w^*\cdot z),\ w^*=\Sigma^{-1}\mu\end{aligned}\]

    with \(\Sigma_{ii}=1\), so that \(\rho_i=P(\mathrm{sign}\,z_i=y)\). Inputs are \(x=\sum_i\alpha_iw_iz_i\) with random unit
    vectors \(w_i\in R^d\). For K = 2 with the core last it is :class:`~ntk_shortcuts.GenerativeModel` without nesting.
    Label D14.1.

    `Prediction.bias` is an `xarray.DataArray` over the shortcuts, by their numbers: \(A_i-A_c\) less the same of the optimal
    classifier, \(A_i\) the mean of sign f sign z_i over the probes. These are the 30 x 30 grid of the two-feature law for
    K = 2, and for more features 2048 points of a fixed scrambled Sobol sequence in the box of sides [-3 mu_i, 3 mu_i], z and
    -z alike.

    Args:
        predictivity: rho (K,), K = 2 to 10, each in [0.5, 1).
        amplification: alpha (K,), each > 0; 1 by default.
        correlation: of every pair of latents within a class, a number in (-1/(K - 1), 1), or the matrix (K, K).
        core: the number of the core feature; negative ones count from the end.
        input_dim: d >= K.

    Raises:
        ValueError: naming the argument, the allowed range and the value got; a correlation matrix that is not symmetric with a
            unit diagonal and positive definite.

    Numerics: for homogeneous kernels up to K = 3 nodes are product rules of directions with the radius integrated out, for
    others in the plane of directions and radii; beyond they are scrambled Sobol points of the law's direction
    (:mod:`ntk_shortcuts.laws.features.rays`, label D14.6). Rules are refined until the reliances stay;
    `discretization_error` is the last move.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow, predict
        >>> law = GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0), correlation=0.6)
        >>> p = predict(law, MLP(1), GradientFlow(30.0), random_init=False, tolerance=0.02)
        >>> p.bias.dims, p.bias["shortcut"].values.tolist(), bool((p.bias > 0).all())
        (('shortcut',), [0, 1], True)
    """

    sources: ClassVar[tuple[str, ...]] = ("hermann2024foundations",)

    predictivity: Float[Array | np.ndarray, "K"]
    amplification: Float[Array | np.ndarray, "K"]
    correlation: Float[Array | np.ndarray, "K K"] | Scalar
    core: int = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)

    def __init__(
        self,
        predictivity: Num[AnyArray, "K"] | Sequence[Scalar] = (0.8, 0.85, 0.9),
        amplification: Num[AnyArray, "K"] | Sequence[Scalar] | None = None,
        correlation: Num[AnyArray, "K K"] | Sequence[Sequence[float]] | Scalar = 0.6,
        core: int = -1,
        input_dim: int = 100,
    ):
        predictivity = _together(predictivity)
        shape: tuple[int, ...] = np.shape(predictivity)  # type: ignore[arg-type, call-overload]
        allowed = f"an array (K,) of 2 to {_MOST} numbers in [0.5, 1)"
        require(len(shape) == 1 and 2 <= shape[0] <= _MOST, "predictivity", allowed, predictivity)
        require_values("predictivity", predictivity, shape, "in [0.5, 1)", lambda v: (v >= 0.5) & (v < 1))
        amplification = np.ones(shape) if amplification is None else _together(amplification)
        require_values("amplification", amplification, shape, "positive and finite", lambda v: (v > 0) & (v < np.inf))
        _require_correlation(correlation, shape[0])
        allowed = f"the number of a feature, {-shape[0]} to {shape[0] - 1}"
        require(require_integer("core", core, -shape[0], allowed) < shape[0], "core", allowed, core)
        self.predictivity = real_leaf(predictivity)
        self.amplification = real_leaf(amplification)
        self.correlation = real_leaf(correlation)
        self.core = int(core) % shape[0]
        self.input_dim = require_integer("input_dim", input_dim, shape[0], f"an integer >= {shape[0]}, the number of features")

    @property
    def features(self) -> int:
        """K."""
        return self.predictivity.shape[0]

    @property
    @in_float64
    def means(self) -> Float[Array, "K"]:
        """Mean mu of class +1; class -1 has -mu."""
        return _ndtri(jnp.asarray(self.predictivity))

    @property
    @in_float64
    def covariance(self) -> Float[Array, "K K"]:
        """Within-class covariance Sigma."""
        sigma = jnp.asarray(self.correlation)
        if sigma.ndim == 2:
            return sigma
        return sigma + (1 - sigma) * jnp.eye(self.features, dtype=sigma.dtype)

    @property
    @in_float64
    def whitening(self) -> Float[Array, "K K"]:
        """Lower-triangular Cholesky factor L of Sigma."""
        return jnp.linalg.cholesky(self.covariance)

    @property
    @in_float64
    def whitened_mean(self) -> Float[Array, "K"]:
        r"""\(L^{-1}\mu\): in \(L^{-1}z\) each class has the unit covariance."""
        return jax.scipy.linalg.solve_triangular(self.whitening, self.means, lower=True)

    @property
    @in_float64
    def bayes_direction(self) -> Float[Array, "K"]:
        r"""\(w^*=\Sigma^{-1}\mu\): the Bayes-optimal classifier is sign(w* . z). Label D14.1."""
        return jax.scipy.linalg.solve_triangular(self.whitening.T, self.whitened_mean, lower=False)

    @in_float64
    def class_expectation(self, latents: Num[AnyArray, "n K"]) -> Float[Array, "n"]:
        r"""\(E[y\mid z]=\tanh(w^*\cdot z)\) at latents (n, K). Label D14.1."""
        latents = as_points("latents", latents, dimension=self.features)
        return jnp.tanh(latents @ self.bayes_direction.astype(latents.dtype))

    @in_float64
    def density(self, latents: Num[AnyArray, "n K"]) -> Float[Array, "n"]:
        """Mixture density p(z) at latents (n, K)."""
        latents = as_points("latents", latents, dimension=self.features)
        parts = [
            jax.scipy.stats.multivariate_normal.pdf(latents, sign * self.means.astype(latents.dtype), self.covariance)
            for sign in (1, -1)
        ]
        return (parts[0] + parts[1]) / 2

    @in_float64
    def probe_grid(self) -> Float[Array, "probes K"]:
        """Where biases are read: an even grid for two features, Sobol points in the box of sides [-3 mu_i, 3 mu_i] beyond."""
        if self.features > 2:
            return jnp.asarray(3 * sobol_box(self.features, _PROBES)) * self.means
        axis = np.linspace(-3, 3, _SIDE)
        axis = (axis - axis[::-1]) / 2  # z and -z are exact opposites
        return jnp.asarray(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)) * self.means

    @in_float64
    def sample(self, key: Key, num_samples: int, *, balanced: bool = True, embedding: Embedding | None = None) -> Dataset:
        """Draw a data set.

        Args:
            key: `jax.random` key.
            num_samples: n >= 1; even when balanced.
            balanced: exactly n/2 of each class, in random order; otherwise each label is a fair coin.
            embedding: reuse the embedding of another sample; by default a new one is drawn.

        Raises:
            ValueError: num_samples not a positive integer, or odd when balanced.
        """
        require_integer("num_samples", num_samples, 1)
        allowed = "even for balanced classes (or pass balanced=False)"
        require(not balanced or num_samples % 2 == 0, "num_samples", allowed, num_samples)
        label_key, latent_key, embedding_key = jax.random.split(key, 3)
        if balanced:
            labels = jax.random.permutation(label_key, jnp.repeat(jnp.array([1.0, -1.0]), num_samples // 2))
        else:
            labels = jax.random.rademacher(label_key, (num_samples,), dtype=jnp.result_type(float))
        noise = jax.random.normal(latent_key, (num_samples, self.features))
        latents = labels[:, None] * self.means[None, :] + noise @ self.whitening.T
        embedding = self.embedding(embedding_key) if embedding is None else embedding
        return Dataset(embedding(latents), labels, latents, embedding)

    # What a data law says of itself (ntk_shortcuts.laws.base).

    @property
    def metric(self) -> Reliances:
        """The reliance on each shortcut."""
        return Reliances(self.features, self.core)

    @property
    def parity(self) -> OddEven:
        r"""\(p(-z,-y)=p(z,y)\)."""
        return OddEven()

    def merges_rays(self, facts: KernelFacts) -> bool:
        """For homogeneous kernels, in the plane and in space."""
        return facts.homogeneous and self.features <= PRODUCT_DIMENSIONS

    def levels(self, facts: KernelFacts, purpose: str) -> int:
        return len(rays.ladder(self.features, purpose, self.merges_rays(facts)))

    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        """Rays or points (:mod:`ntk_shortcuts.laws.features.rays`), of z and -z one."""
        return rays.feature_nodes(self, level, purpose, self.merges_rays(facts))

    @in_float64
    def test_points(self, points: Any = None) -> TestPoints:
        """The probes, or latents (n, K), with the sides of all features and the signs of the Bayes classifier."""
        points = self.probe_grid() if points is None else as_points("probes", points, dimension=self.features)
        return _test_points(self, points)

    def require_resolved(self, network: Network) -> None:
        """At the corner of the probes' box, the largest of inputs."""
        if not is_traced(self, network):
            network.require_resolved(lambda: np.sum((3 * np.asarray(self.amplification) * self.means) ** 2), self.input_dim)

    @property
    @in_float64
    def flattest(self) -> Any:
        """Of the inputs' second moment, the smallest eigenvalue over the largest."""
        return _flattest(self)


@compiled
def _flattest(law: GaussianFeatures) -> jax.Array:
    alpha, means = jnp.asarray(law.amplification), law.means
    moment = alpha[:, None] * (law.covariance + jnp.outer(means, means)) * alpha
    values = jnp.linalg.eigvalsh(moment)
    return values[0] / values[-1]


@compiled
def _test_points(law: GaussianFeatures, probes: jax.Array) -> TestPoints:
    direction = law.bayes_direction.astype(probes.dtype)
    outputs = probes @ direction
    # Equal predictivities put probes on the boundary itself, where only rounding would decide.
    rounding = 8 * jnp.finfo(probes.dtype).eps * (jnp.abs(probes) @ jnp.abs(direction))
    optimal = jnp.sign(jnp.where(jnp.abs(outputs) <= rounding, 0, outputs))
    sides = jnp.sign(probes)
    attributes = {f"feature_{i}": sides[:, i] for i in range(law.features)}
    return TestPoints(probes, attributes, optimal, safe_sqrt(jnp.sum(probes**2, axis=-1)))


def _together(value: Any) -> Any:
    """Entries as one array, traced or not."""
    if isinstance(value, tuple | list) and any(isinstance(entry, jax.Array) for entry in value):
        return jnp.stack([jnp.asarray(entry) for entry in value])
    return value


def _require_correlation(correlation: Any, features: int) -> None:
    if np.ndim(correlation) == 0:
        least = -1 / (features - 1)
        allowed = f"in ({least:.3g}, 1) for {features} features"
        require_values("correlation", correlation, (), allowed, lambda v: (v > least) & (v < 1))
        return
    shape = (features, features)
    require_values("correlation", correlation, shape, "in [-1, 1]", lambda v: np.abs(v) <= 1)
    if not is_traced(correlation):
        matrix = np.asarray(correlation, float)
        proper = np.array_equal(matrix, matrix.T) and np.all(np.diag(matrix) == 1) and np.linalg.eigvalsh(matrix)[0] > 0
        require(bool(proper), "correlation", "symmetric with a unit diagonal and positive definite", matrix)


declare_axes(
    GaussianFeatures,
    "model",
    "a GaussianFeatures",
    {
        "predictivity": Axis("predictivity of feature", each=True),
        "amplification": Axis("amplification of feature", each=True),
    },
)
