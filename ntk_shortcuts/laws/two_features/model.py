"""The data law: two latent features of given predictivity, correlation and availability."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import ndtri

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.issues import give
from ntk_shortcuts.kernels.angular import AngularKernels
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.laws.base import DataLaw, SectorKernels
from ntk_shortcuts.laws.two_features import mixture, polar
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.embedding import Embedding, draw_embedding, latent_moments
from ntk_shortcuts.laws.two_features.fit import fitted_features
from ntk_shortcuts.metrics.reliance import Reliance
from ntk_shortcuts.networks.base import KernelFacts, Network
from ntk_shortcuts.networks.inputs import Inputs
from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.nodes.parity import OddEven, Sectors
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import compiled, in_float64, is_traced, real_leaf, safe_sqrt
from ntk_shortcuts.typing import Array, Float, Key, Latents, Pair, Scalar
from ntk_shortcuts.validation import as_points, require, require_integer, require_values

# As one program: step by step its twenty operations would be compiled one by one.
_ndtri = jax.jit(ndtri)


class GenerativeModel(DataLaw):
    r"""Two-feature data of Hermann, Mobahi, Fel & Mozer (ICLR 2024), section 3; index 0 is the shortcut, 1 the core.

    \[P(y=\pm1)=\tfrac12,\quad z\mid y\sim N(y\mu,\Sigma),\quad \Sigma=\begin{pmatrix}1&\sigma\\\sigma&1\end{pmatrix},\quad
      \mu_i=\sqrt2\,\mathrm{erf}^{-1}(2\rho_i-1)\]

    so that \(\rho_i=P(\mathrm{sign}\,z_i=y)\). Inputs are \(x=f_{\eta_s}(\alpha_sw_sz_s)+f_{\eta_c}(\alpha_cw_cz_c)\) with
    random unit vectors \(w_i\in R^d\) and random tanh networks \(f_\eta\) of \(\eta\) layers (identity at 0); see
    :mod:`ntk_shortcuts.laws.two_features.embedding`.

    Args:
        predictivity: rho, each in [0.5, 1).
        amplification: alpha, each > 0.
        correlation: sigma, |sigma| < 1, of the latents within a class.
        nesting: eta, integers >= 0.
        input_dim: d >= 2.
        nesting_gain: weight variance > 0 of the nesting networks' layers.
        nesting_bias: bias variance >= 0 of the nesting networks' layers.

    The real parameters are leaves of the pytree, so that predictions can be differentiated in them.

    Raises:
        ValueError: naming the argument, the allowed range and the value got.

    Example:
        >>> model = GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))
        >>> print(*(round(float(mean), 4) for mean in model.means))
        1.0364 1.2816
    """

    sources: ClassVar[tuple[str, ...]] = ("hermann2024foundations",)

    predictivity: Float[Array | np.ndarray, "2"]
    amplification: Float[Array | np.ndarray, "2"]
    correlation: Scalar
    nesting_gain: Scalar
    nesting_bias: Scalar
    nesting: tuple[int, int] = eqx.field(static=True)
    input_dim: int = eqx.field(static=True)

    def __init__(
        self,
        predictivity: Pair = (0.85, 0.90),
        amplification: Pair = (1.0, 1.0),
        correlation: Scalar = 0.6,
        nesting: tuple[int, int] = (0, 0),
        input_dim: int = 100,
        *,
        nesting_gain: Scalar = 1.0,
        nesting_bias: Scalar = 0.0,
    ):
        predictivity, amplification = _pair(predictivity), _pair(amplification)
        require_values("predictivity", predictivity, (2,), "in [0.5, 1)", lambda v: (v >= 0.5) & (v < 1))
        require_values("amplification", amplification, (2,), "positive and finite", lambda v: (v > 0) & (v < np.inf))
        require_values("correlation", correlation, (), "in (-1, 1)", lambda v: np.abs(v) < 1)
        require_values("nesting_gain", nesting_gain, (), "positive and finite", lambda v: (v > 0) & (v < np.inf))
        require_values("nesting_bias", nesting_bias, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        layers = tuple(nesting) if isinstance(nesting, tuple | list | np.ndarray) else (nesting,)
        require(len(layers) == 2, "nesting", "two integers >= 0, for (shortcut, core)", nesting)
        self.nesting = tuple(require_integer("nesting", eta, 0) for eta in layers)  # type: ignore[assignment]
        self.input_dim = require_integer("input_dim", input_dim, 2)
        self.predictivity = real_leaf(predictivity)
        self.amplification = real_leaf(amplification)
        self.correlation = real_leaf(correlation)
        self.nesting_gain = real_leaf(nesting_gain)
        self.nesting_bias = real_leaf(nesting_bias)

    @classmethod
    def from_latents(cls, latents: Any, labels: Any, **parameters: Any) -> GenerativeModel:
        r"""Fit predictivities, correlation and amplifications to two-feature data of your own.

        With class means \(m_\pm\) and pooled within-class standard deviations s: \(\mu=(m_+-m_-)/(2s)\),
        \(\rho=\Phi(\mu)\), \(\sigma\) the pooled within-class correlation, and alpha = s, because a feature that varies
        more is a more available one. Offsets \((m_++m_-)/2\) are dropped: centre your inputs.

        Args:
            latents: (n, 2), the (shortcut, core) feature of each point, in any units.
            labels: (n,) in {-1, +1}, both present, at least two of each.
            **parameters: passed on to the constructor; `amplification=` overrides the estimate.

        Raises:
            ValueError: wrong shapes or labels; a feature that is constant within a class, or lower on average in
                class +1 (flip its sign), or so separated that its predictivity rounds to 1.

        Warns:
            UntrustedPredictionWarning: a feature that is not Gaussian within a class, such as an attribute of two values.
        """
        estimates, issues = fitted_features(latents, labels)
        give(issues)
        return cls(**{**estimates, **parameters})

    def with_shortcut(
        self, predictivity: Scalar | None = None, amplification_ratio: Scalar | None = None, correlation: Scalar | None = None
    ) -> GenerativeModel:
        r"""The same core with another shortcut: its \(\rho_s\), \(\alpha_s/\alpha_c\) or \(\sigma\); None keeps what is there.

        Raises:
            ValueError: a value out of range, as in the constructor.

        Example:
            >>> GenerativeModel(amplification=(1.0, 0.5)).with_shortcut(amplification_ratio=4.0).amplification.tolist()
            [2.0, 0.5]
        """
        core_predictivity, core_amplification = self.predictivity[1], self.amplification[1]
        rho = self.predictivity[0] if predictivity is None else predictivity
        alpha = self.amplification[0] if amplification_ratio is None else amplification_ratio * core_amplification
        return GenerativeModel(
            (rho, core_predictivity),
            (alpha, core_amplification),
            self.correlation if correlation is None else correlation,
            self.nesting,
            self.input_dim,
            nesting_gain=self.nesting_gain,
            nesting_bias=self.nesting_bias,
        )

    @property
    @in_float64
    def means(self) -> Float[Array, "2"]:
        """Mean mu of class +1; class -1 has -mu. Label D1.1."""
        return _ndtri(jnp.asarray(self.predictivity))

    @property
    @in_float64
    def covariance(self) -> Float[Array, "2 2"]:
        """Within-class covariance Sigma."""
        sigma = jnp.asarray(self.correlation)
        one = jnp.ones_like(sigma)
        return jnp.stack([jnp.stack([one, sigma]), jnp.stack([sigma, one])])

    @property
    @in_float64
    def bayes_direction(self) -> Float[Array, "2"]:
        r"""\(w^*=\Sigma^{-1}\mu\): the Bayes-optimal classifier is sign(w* . z). Label D1.2."""
        return _bayes_direction(self.means, self.correlation)

    @property
    @in_float64
    def second_moment_eigenvalues(self) -> Float[Array, "2"]:
        r"""Eigenvalues of \(E[uu^\top]=A(\Sigma+\mu\mu^\top)A\), u = A z, the larger one first. Label D6.2.

        Both to full relative accuracy, also where the smaller one is below the rounding of the matrix: it is
        \(\alpha_s^2\alpha_c^2\det(\Sigma+\mu\mu^\top)\) over the larger one.
        """
        return _second_moment_eigenvalues(self.amplification, self.means, self.correlation)

    @in_float64
    def class_expectation(self, latents: Latents) -> Float[Array, "n"]:
        r"""\(E[y\mid z]=\tanh(w^*\cdot z)\) at latents (n, 2). Label D1.3."""
        latents = as_points("latents", latents, dimension=2)
        return jnp.tanh(latents @ self.bayes_direction.astype(latents.dtype))

    @in_float64
    def log_density(self, latents: Latents) -> Float[Array, "n"]:
        """Log of the mixture density p(z) = (N(z; mu, Sigma) + N(z; -mu, Sigma)) / 2 at latents (n, 2)."""
        latents = as_points("latents", latents, dimension=2)
        dtype = latents.dtype
        parts = [
            jax.scipy.stats.multivariate_normal.logpdf(latents, sign * self.means.astype(dtype), self.covariance.astype(dtype))
            for sign in (1, -1)
        ]
        return jnp.logaddexp(*parts) - np.log(2)

    @in_float64
    def density(self, latents: Latents) -> Float[Array, "n"]:
        """Mixture density p(z) at latents (n, 2)."""
        return jnp.exp(self.log_density(latents))

    @in_float64
    def embedding(self, key: Key, orthogonal: bool = False) -> Embedding:
        """Draw one embedding of latents into R^d; `orthogonal` makes the two directions exactly orthogonal."""
        return draw_embedding(
            key,
            self.input_dim,
            self.amplification,
            self.nesting,
            self.nesting_gain,
            self.nesting_bias,
            orthogonal,
        )

    @in_float64
    def sample(self, key: Key, num_samples: int, *, balanced: bool = True, embedding: Embedding | None = None) -> Dataset:
        """Draw a data set.

        Args:
            key: `jax.random` key. The same key gives the same data whatever JAX's precision setting.
            num_samples: n >= 1; even when balanced.
            balanced: exactly n/2 of each class, in random order; otherwise each label is a fair coin.
            embedding: reuse the embedding of another sample (for validation data, say); by default a new one is drawn.

        Raises:
            ValueError: num_samples not a positive integer, or odd when balanced.
        """
        count = require_integer("num_samples", num_samples, 1)
        require(
            not balanced or count % 2 == 0, "num_samples", "even for balanced classes (or pass balanced=False)", num_samples
        )
        return _drawn(self, key, count, bool(balanced), embedding)

    @property
    @in_float64
    def whitening(self) -> Float[Array, "2 2"]:
        """Lower-triangular Cholesky factor of Sigma."""
        sigma = jnp.asarray(self.correlation)
        one, zero = jnp.ones_like(sigma), jnp.zeros_like(sigma)
        return jnp.stack([jnp.stack([one, zero]), jnp.stack([sigma, jnp.sqrt((1 - sigma) * (1 + sigma))])])

    @property
    @in_float64
    def whitened_mean(self) -> Float[Array, "2"]:
        r"""\(L^{-1}\mu\) for the Cholesky factor L of :attr:`whitening`: in \(L^{-1}z\) each class has the unit covariance."""
        sigma, means = jnp.asarray(self.correlation), self.means
        # mu_c - sigma mu_s, accurate also where both are equal and sigma is nearly 1.
        across = (means[1] - means[0]) + (1 - sigma) * means[0]
        return jnp.stack([means[0], across / jnp.sqrt((1 - sigma) * (1 + sigma))])

    @in_float64
    def probe_grid(self, points: int = 30) -> Float[Array, "probes 2"]:
        """Latents on an even grid over [-3 mu_s, 3 mu_s] x [-3 mu_c, 3 mu_c], ends included; (points^2, 2), shortcut major."""
        require_integer("points", points, 2)
        axis = np.linspace(-3, 3, points)
        # Symmetrise: the probes z and -z must be exact opposites, whatever linspace rounds to.
        axis = (axis - axis[::-1]) / 2
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        return jnp.asarray(grid) * self.means[None, :]

    @in_float64
    def latent_moments(self, latents1: Latents, latents2: Latents | None = None) -> PairMoments:
        """Inner products of the embedded latents for large d, with the stable companions that kernels need."""
        latents1 = as_points("latents1", latents1, dimension=2)
        latents2 = latents1 if latents2 is None else as_points("latents2", latents2, dimension=2)
        dtype = latents1.dtype
        return latent_moments(
            latents1,
            latents2.astype(dtype),
            jnp.asarray(self.amplification, dtype),
            self.nesting,
            jnp.asarray(self.nesting_gain, dtype),
            jnp.asarray(self.nesting_bias, dtype),
        )

    @in_float64
    def gram(self, latents1: Latents, latents2: Latents | None = None) -> Float[Array, "n1 n2"]:
        """Inner products <x, x'> of the embedded latents as d -> infinity, (n1, n2); not divided by d. Label D8.1.

        An image that paints object i, of A_i pixels, with the grey level z_i has this Gram matrix at amplifications sqrt(A_i).
        A sampled embedding in R^d differs from it by O(1/sqrt(d)).
        """
        return self.latent_moments(latents1, latents2).covariance

    # What a data law says of itself (ntk_shortcuts.laws.base).

    @property
    def metric(self) -> Reliance:
        """The reliance on the shortcut: the bias is it less a constant."""
        return Reliance()

    @property
    def parity(self) -> OddEven:
        r"""\(p(-z,-y)=p(z,y)\)."""
        return OddEven()

    def merges_rays(self, facts: KernelFacts) -> bool:
        """For homogeneous and scale-free kernels, where the features are not nested."""
        return (facts.homogeneous or facts.scale_free) and self.nesting == (0, 0)

    def levels(self, facts: KernelFacts, purpose: str) -> int:
        """Rules of nodes (:mod:`ntk_shortcuts.laws.two_features.polar`)."""
        return len(polar.ladder(purpose, self.merges_rays(facts)))

    def nodes(self, level: int, facts: KernelFacts, purpose: str) -> Nodes:
        """Nodes in graded polar coordinates, one of each pair z, -z; rays are merged where the kernel allows it."""
        return polar.refined_nodes(self, level, purpose, self.merges_rays(facts), facts.scale_free)

    @property
    def latent_dim(self) -> int | None:
        return None if any(self.nesting) else 2

    @property
    def flow_orders(self) -> tuple[int, ...]:
        """Nodes across, with 4/3 as many along the mean; of samples at nodes, Hermite nodes per axis and class.

        With 8 of these the modes in which noise is fitted late are missing.
        """
        return 10, 16, 24, 36

    @property
    def quick_flow_order(self) -> int:
        return 6

    def flow_nodes(self, order: int, sampled: bool) -> Nodes:
        """Rules of the density itself; around each class where samples are drawn: the density's targets are projections."""
        if not sampled:
            return Nodes.of(*mixture.density_nodes(self, -(-4 * order // 3), order))
        nodes, weights = mixture.mixture_nodes(self, order)
        return Nodes.of(nodes, weights, self.class_expectation(nodes))

    def sector_kernels(self, network: Network) -> SectorKernels:
        """Odd and even parts; for homogeneous and scale-free networks in the plane from the polynomial in the angle.

        The polynomial's error is the result's `quadrature_error`.
        """
        profile = network.angular_kernels(self.input_dim) if self.merges_rays(network.facts) else None
        if profile is None:
            return super().sector_kernels(network)
        return AngularSectors(profile, jnp.asarray(self.amplification))

    def inputs(self, points: Any) -> Inputs:
        """Embedded latents as d -> infinity, or as one draw of the embedding where a network needs vectors."""
        return EmbeddedLatents(self, as_points("latents", points, dimension=2))

    @in_float64
    def test_points(self, points: Any = None) -> TestPoints:
        """The 30 x 30 probe grid, or latents (n, 2), with the sides of both features and the signs of the Bayes classifier."""
        return _probed(self) if points is None else _test_points(self, as_points("probes", points, dimension=2))

    def require_resolved(self, network: Network) -> None:
        """At the corner of the probe grid, the largest of inputs."""
        if not is_traced(self, network):
            network.require_resolved(lambda: _largest_square(self), self.input_dim)

    @property
    @in_float64
    def flattest(self) -> Any:
        """The ratio of the eigenvalues of the inputs' second moment; None with nesting."""
        if self.nesting != (0, 0):
            return None
        return _flattest(self.amplification, self.means, self.correlation)

    @property
    def two_features(self) -> GenerativeModel:
        """Itself."""
        return self


@compiled
def _largest_square(model: GenerativeModel) -> jax.Array:
    return model.latent_moments(model.probe_grid(2)).variance1[0]


@compiled
def _bayes_direction(means: Any, sigma: Any) -> jax.Array:
    # mu_s - sigma mu_c, accurate also where both are equal and sigma is nearly 1.
    return ((means - means[::-1]) + (1 - sigma) * means[::-1]) / ((1 - sigma) * (1 + sigma))


@compiled
def _flattest(*features: Any) -> jax.Array:
    large, small = _second_moment_eigenvalues(*features)
    return small / large


@compiled
def _second_moment_eigenvalues(alpha: Any, means: Any, sigma: Any) -> jax.Array:
    # No term of the determinant cancels another as sigma -> 1 with equal means.
    determinant = (1 - sigma) * (1 + sigma) + (means[0] - means[1]) ** 2 + 2 * (1 - sigma) * means[0] * means[1]
    diagonal = alpha**2 * (1 + means**2)
    cross = alpha[0] * alpha[1] * (sigma + means[0] * means[1])
    large = (jnp.sum(diagonal) + jnp.hypot(diagonal[0] - diagonal[1], 2 * cross)) / 2
    return jnp.stack([large, (alpha[0] * alpha[1]) ** 2 * determinant / large])


# As one program: step by step its fifty operations would be compiled one by one.
@compiled
def _drawn(model: GenerativeModel, key: Key, num_samples: int, balanced: bool, embedding: Embedding | None) -> Dataset:
    label_key, latent_key, embedding_key = jax.random.split(key, 3)
    if balanced:
        labels = jax.random.permutation(label_key, jnp.repeat(jnp.array([1.0, -1.0]), num_samples // 2))
    else:
        labels = jax.random.rademacher(label_key, (num_samples,), dtype=jnp.result_type(float))
    noise = jax.random.normal(latent_key, (num_samples, 2))
    latents = labels[:, None] * model.means[None, :] + noise @ model.whitening.T
    embedding = model.embedding(embedding_key) if embedding is None else embedding
    return Dataset(embedding(latents), labels, latents, embedding)


class AngularSectors(SectorKernels):
    """Those of a network whose kernel in the plane is a polynomial in the angle, whatever network it is."""

    profile: AngularKernels
    amplification: Float[Array, "2"]

    def __call__(self, points1: jax.Array, points2: jax.Array) -> Sectors:
        return self.profile.sectors(points1 * self.amplification, points2 * self.amplification)


class EmbeddedLatents(Inputs):
    """Latents (n, 2) of a model, as networks see them."""

    model: GenerativeModel
    latents: Latents

    @property
    def input_dim(self) -> int:
        return self.model.input_dim

    def scaled(self) -> tuple[jax.Array, jax.Array] | None:
        """Latents and amplifications. Angles come from the latents themselves, so that nearly parallel and antiparallel points
        keep full accuracy."""
        if self.model.nesting != (0, 0):
            return None
        latents = jnp.asarray(self.latents)
        return latents, jnp.asarray(self.model.amplification, latents.dtype)

    def moments(self, other: EmbeddedLatents) -> PairMoments:
        return self.model.latent_moments(self.latents, other.latents)

    def vectors(self, key: Key) -> jax.Array:
        """One draw of the embedding, the two features' directions orthogonal."""
        return self.model.embedding(key, orthogonal=True)(self.latents)


@compiled
def _test_points(model: GenerativeModel, probes: jax.Array) -> TestPoints:
    direction = model.bayes_direction.astype(probes.dtype)
    outputs = probes @ direction
    # Equal predictivities put probes on the boundary itself, where only rounding would decide.
    rounding = 8 * jnp.finfo(probes.dtype).eps * (jnp.abs(probes) @ jnp.abs(direction))
    optimal = jnp.sign(jnp.where(jnp.abs(outputs) <= rounding, 0, outputs))
    sides = jnp.sign(probes)
    attributes = {"shortcut": sides[:, 0], "core": sides[:, 1]}
    return TestPoints(probes, attributes, optimal, safe_sqrt(jnp.sum(probes**2, axis=-1)))


@compiled
def _probed(model: GenerativeModel) -> TestPoints:
    return _test_points(model, model.probe_grid())


def _pair(value: Any) -> Any:
    """Two entries as one array, traced or not."""
    if isinstance(value, tuple | list) and any(isinstance(entry, Tracer | jax.Array) for entry in value):
        return jnp.stack([jnp.asarray(entry) for entry in value])
    return value


declare_axes(
    GenerativeModel,
    "model",
    "a GenerativeModel",
    {
        "shortcut_predictivity": Axis("shortcut predictivity", field="predictivity", entry=0),
        "core_predictivity": Axis("core predictivity", field="predictivity", entry=1),
        "shortcut_amplification": Axis("amplification of the shortcut", field="amplification", entry=0),
        "core_amplification": Axis("amplification of the core", field="amplification", entry=1),
        # After the core's amplification, at which the ratio holds.
        "amplification_ratio": Axis(
            "amplification ratio, shortcut over core",
            field="amplification",
            entry=0,
            scale=lambda arguments, ratio: ratio * arguments["amplification"][1],
        ),
        "correlation": Axis("correlation of the features within a class"),
    },
)
