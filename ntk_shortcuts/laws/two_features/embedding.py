"""From latents to inputs: amplification and nesting, for a sample in R^d and as inner products for large d.

Each feature i of a latent z is amplified along its own random unit vector, e_i = alpha_i w_i z_i, and then passes
through eta_i random tanh layers of width d (none at eta_i = 0). With V and b standard normal, one layer is

    h -> tanh(sqrt(gain) V h + sqrt(bias) b) / sqrt(d),

so that for large d the inner product k of two of its inputs becomes E[tanh(a) tanh(b)] with (a, b) centred normal of
covariance gain k + bias. At gain 1 and bias 0 a small signal keeps its amplitude and a large one saturates.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import roots_hermitenorm

from ntk_shortcuts.kernels.activations.resolve import resolve_activation
from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import compiled, in_float64, is_traced, safe_divide, safe_sqrt, unit_vectors
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Num, Scalar
from ntk_shortcuts.validation import as_points


class Embedding(Record):
    """One draw of the random embedding: unit vectors (K, d) and, per feature, the layers (V, b) of its nesting network."""

    directions: Float[Array, "K d"]
    layers: tuple[tuple[tuple[jax.Array, jax.Array], ...], ...]
    amplification: jax.Array | np.ndarray
    gain: Scalar
    bias: Scalar

    @in_float64
    def __call__(self, latents: Num[AnyArray, "n K"] | Sequence[Sequence[float]]) -> Float[Array, "n d"]:
        """Inputs of latents (n, K)."""
        return _embedded(self, as_points("latents", latents, dimension=len(self.layers)))


# As one program: its operations would be compiled one by one, for every number of latents.
@compiled
def _embedded(embedding: Embedding, latents: jax.Array) -> jax.Array:
    dtype = latents.dtype
    total = jnp.zeros((), dtype)
    for feature, layers in enumerate(embedding.layers):
        hidden = (
            jnp.asarray(embedding.amplification, dtype)[feature]
            * latents[:, feature, None]
            * embedding.directions.astype(dtype)[feature][None, :]
        )
        for weights, offsets in layers:
            field = jnp.sqrt(jnp.asarray(embedding.gain, dtype)) * hidden @ weights.astype(dtype).T
            field = field + jnp.sqrt(jnp.asarray(embedding.bias, dtype)) * offsets.astype(dtype)[None, :]
            hidden = jnp.tanh(field) / np.sqrt(offsets.shape[0])
        total = total + hidden
    return total


def draw_embedding(
    key: Key,
    input_dim: int,
    amplification: jax.Array | np.ndarray,
    nesting: tuple[int, int],
    gain: Scalar,
    bias: Scalar,
    orthogonal: bool = False,
) -> Embedding:
    """Draw the unit vectors (made orthogonal on request) and the nesting networks."""
    direction_key, *feature_keys = jax.random.split(key, 3)
    directions = jax.random.normal(direction_key, (2, input_dim))
    if orthogonal:
        directions = jnp.linalg.qr(directions.T)[0].T
    layers = []
    for feature_key, depth in zip(feature_keys, nesting, strict=True):
        drawn = []
        for layer_key in jax.random.split(feature_key, depth) if depth else ():
            weight_key, offset_key = jax.random.split(layer_key)
            drawn.append(
                (
                    jax.random.normal(weight_key, (input_dim, input_dim)),
                    jax.random.normal(offset_key, (input_dim,)),
                )
            )
        layers.append(tuple(drawn))
    return Embedding(unit_vectors(directions)[1], tuple(layers), amplification, gain, bias)


def latent_moments(
    latents1: jax.Array,
    latents2: jax.Array,
    amplification: jax.Array,
    nesting: tuple[int, int],
    gain: jax.Array,
    bias: jax.Array,
) -> PairMoments:
    r"""Inner products of embedded latents as d -> infinity, (n1, 2) and (n2, 2). Label D8.1.

    Without nesting \(\langle x,x'\rangle=\sum_i\alpha_i^2z_iz_i'\). With it, each feature's own inner product goes through
    its tanh layers, and the two features, whose networks are independent, add up. At finite d the sample's inner
    products differ by O(1/sqrt(d)).

    A layer of gain 1 without bias takes a small \(\alpha^2\) to \(\alpha^2(1-2(3+\mu^2)\alpha^2)\) in the feature's early
    response, and no \(\alpha\) lifts it above \(((2\rho-1)/\mu)^2\). Labels D7.1 and D7.2.
    """
    if nesting == (0, 0):
        return PairMoments.from_scaled_plane(latents1, latents2, amplification)
    biased = is_traced(bias) or bool(bias != 0)
    return _nested_moments(latents1, latents2, amplification, nesting, gain, bias if biased else None)


# As one program: its sixty operations would be compiled one by one, for every number of latents.
@compiled
def _nested_moments(
    latents1: jax.Array,
    latents2: jax.Array,
    amplification: jax.Array,
    nesting: tuple[int, int],
    gain: jax.Array,
    bias: jax.Array | None,
) -> PairMoments:
    features = [_feature_moments(latents1[:, i], latents2[:, i], amplification[i], nesting[i], gain, bias) for i in range(2)]
    return _sum_of_independent(*features)


def _feature_moments(
    z1: jax.Array, z2: jax.Array, amplification: jax.Array, depth: int, gain: jax.Array, bias: jax.Array | None
) -> PairMoments:
    e1, e2 = amplification * z1[:, None], amplification * z2[None, :]
    if depth == 0:
        return PairMoments(e1**2, e2**2, e1 * e2, jnp.zeros_like(e1 * e2), (e1 - e2) ** 2)
    features1, features2 = _tanh_features(e1[:, 0], gain, bias), _tanh_features(e2[0], gain, bias)
    moments = _from_features(features1, features2)
    tanh = resolve_activation("tanh")
    for _ in range(depth - 1):
        moments = tanh.dual(moments.affine(gain, jnp.zeros_like(gain) if bias is None else bias)).moments
    return moments


# The first tanh layer sees pre-activations sqrt(gain) e g + sqrt(bias) b, whose variance grows with the amplification
# without bound. The trapezoidal rule in g resolves them where a Hermite series would not: its relative error is
# exp(-pi^2 / (step * standard deviation)), 1e-16 up to a standard deviation of 13 and 5e-6 at 40.
_STEP, _RANGE, _BIAS_NODES = 0.02, 8.5, 20


def _tanh_features(e: jax.Array, gain: jax.Array, bias: jax.Array | None) -> jax.Array:
    """tanh at every quadrature node, times the root of its weight: (n, nodes). Biases take nodes of their own; None: none."""
    nodes = np.arange(-_RANGE, _RANGE + _STEP / 2, _STEP)
    weights = np.exp(-(nodes**2) / 2)
    bias_nodes, bias_weights = (np.zeros(1), np.ones(1)) if bias is None else roots_hermitenorm(_BIAS_NODES)
    root = jnp.asarray(np.sqrt(np.outer(weights / weights.sum(), bias_weights / bias_weights.sum())).ravel(), e.dtype)
    slope = jnp.asarray(np.repeat(nodes, len(bias_nodes)), e.dtype)
    offset = jnp.asarray(np.tile(bias_nodes, len(nodes)), e.dtype)
    field = safe_sqrt(gain) * e[:, None] * slope[None, :]
    if bias is not None:
        field += safe_sqrt(bias) * offset[None, :]
    return jnp.tanh(field) * root[None, :]


def _from_features(features1: jax.Array, features2: jax.Array) -> PairMoments:
    variance1 = jnp.sum(features1**2, axis=1)[:, None]
    variance2 = jnp.sum(features2**2, axis=1)[None, :]
    covariance = jnp.matmul(features1, features2.T, precision=jax.lax.Precision.HIGHEST)
    return PairMoments(
        variance1,
        variance2,
        covariance,
        area=safe_sqrt(variance1 * variance2 - covariance**2),
        distance=jnp.maximum(variance1 + variance2 - 2 * covariance, 0),
    )


def _sum_of_independent(s: PairMoments, c: PairMoments) -> PairMoments:
    """Moments of a sum of two independent parts; the area by a form in which nothing cancels. Label D7.1."""
    mixed = safe_sqrt(s.variance1 * c.variance2) - safe_sqrt(c.variance1 * s.variance2)
    norms_s = safe_sqrt(s.variance1) * safe_sqrt(s.variance2)
    norms_c = safe_sqrt(c.variance1) * safe_sqrt(c.variance2)
    size_s, size_c = jnp.abs(s.covariance), jnp.abs(c.covariance)
    # norms - |covariance| = area^2 / (norms + |covariance|)
    gap_s = safe_divide(s.area**2, norms_s + size_s)
    gap_c = safe_divide(c.area**2, norms_c + size_c)
    same_sign = s.covariance * c.covariance > 0
    gap = jnp.where(same_sign, gap_s * norms_c + size_s * gap_c, norms_s * norms_c + size_s * size_c)
    return PairMoments(
        variance1=s.variance1 + c.variance1,
        variance2=s.variance2 + c.variance2,
        covariance=s.covariance + c.covariance,
        area=safe_sqrt(s.area**2 + c.area**2 + mixed**2 + 2 * gap),
        distance=s.distance + c.distance,
    )
