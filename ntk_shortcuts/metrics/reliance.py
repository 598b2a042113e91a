"""One metric for theory and for trained networks: reliance on the shortcut, and the bias beyond the optimum."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.numerics import in_float64, safe_divide
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import as_points, require


@in_float64
def reliance(outputs: Float[Array, "*batch probes"], probes: Latents) -> Float[Array, "*batch"]:
    r"""\(\mathrm{mean}_z\,\mathrm{sign}f(z)\,(\mathrm{sign}\,z_s-\mathrm{sign}\,z_c)\), in [-1, 1] on the probe grid.

    -1: the classifier reads only the core feature; +1: only the shortcut.

    Args:
        outputs: f at the probes, (..., probes); only its sign matters.
        probes: latents (probes, 2).

    Source: Hermann et al. (2024), section 3.
    """
    return _mean_disagreement(jnp.sign(jnp.asarray(outputs)), probes)


@in_float64
def expected_reliance(
    mean: Float[Array, "*batch probes"], std: Float[Array, "*batch probes"] | float, probes: Latents
) -> Float[Array, "*batch"]:
    r"""Expectation of the reliance for Gaussian outputs: sign f has mean \(2\Phi(m/s)-1=\mathrm{erf}(m/(s\sqrt2))\).

    Where the standard deviation is 0 this is sign m.
    """
    return _mean_disagreement(expected_sign(jnp.asarray(mean), jnp.asarray(std)), probes)


def expected_sign(mean: jax.Array, std: jax.Array) -> jax.Array:
    """E[sign f] for f ~ N(mean, std^2); sign(mean) where std is 0."""
    std = jnp.broadcast_to(std, mean.shape).astype(mean.dtype)
    return jnp.where(
        std > 0,
        jax.scipy.special.erf(safe_divide(mean, std * jnp.sqrt(2.0).astype(mean.dtype))),
        jnp.sign(mean),
    )


def mean_sign_slope(mean: jax.Array, std: jax.Array, probes: Latents) -> jax.Array:
    r"""Derivative of the expected reliance in the mean output at each probe, \(2\varphi(m/s)/s\) times its weight."""
    weights = _mean_disagreement(jnp.eye(mean.shape[-1]), probes)
    return weights * 2 * jax.scipy.stats.norm.pdf(safe_divide(mean, std)) * safe_divide(jnp.ones_like(std), std)


@in_float64
def reliance_between_probes(outputs: Float[Array, "*batch probes"], probes: Latents) -> Float[Array, "*batch"]:
    r"""Reliance with the sign at each probe averaged over its cell of the (square) grid: differentiable where sign is a step.

    In a cell the output is taken as linear, \(f+ax+by\) with x, y uniform in [-1, 1] and a, b half the differences from cell to
    cell. With \(S(v)=v|v|/2\),

    \[E\,\mathrm{sign}=\frac{S(f+a+b)-S(f+a-b)-S(f-a+b)+S(f-a-b)}{4ab}.\]

    Raises:
        ValueError: probes that are not a square grid, shortcut major.

    Example:
        >>> model = GenerativeModel()
        >>> probes = model.probe_grid()
        >>> smooth = reliance_between_probes(probes @ model.bayes_direction, probes)
        >>> bool(abs(smooth - optimal_reliance_limit(model)) < 2e-3)
        True
    """
    probes, outputs = as_points("probes", probes, dimension=2), jnp.asarray(outputs)
    side = round(probes.shape[0] ** 0.5)
    require(side >= 2 and side * side == probes.shape[0], "probes", "a square grid, as model.probe_grid() is", probes)
    f = outputs.reshape(*outputs.shape[:-1], side, side)
    # A slope that vanishes would divide by zero; the floor is a thousandth of the output's size, far below a cell's change.
    floor = 1e-3 * jnp.max(jnp.abs(f), axis=(-2, -1), keepdims=True)
    floor = jnp.where(floor > 0, floor, 1.0)
    a, b = (jnp.maximum(jnp.abs(slope) / 2, floor) for slope in jnp.gradient(f, axis=(-2, -1)))

    def integral(v: jax.Array) -> jax.Array:
        return v * jnp.abs(v) / 2

    signs = (integral(f + a + b) - integral(f + a - b) - integral(f - a + b) + integral(f - a - b)) / (4 * a * b)
    return _mean_disagreement(signs.reshape(outputs.shape), probes)


def _mean_disagreement(signs: jax.Array, probes: Latents) -> jax.Array:
    signed = jnp.sign(as_points("probes", probes, dimension=2)).astype(signs.dtype)
    if signs.ndim == 0 or signs.shape[-1] != signed.shape[0]:
        raise ValueError(f"outputs must be of shape (..., {signed.shape[0]}), one value per probe; got shape {signs.shape}")
    return signs @ (signed[:, 0] - signed[:, 1]) / signed.shape[0]


@in_float64
def optimal_reliance(model: GenerativeModel, probes: Latents | None = None) -> Float[Array, ""]:
    """Reliance of the Bayes-optimal classifier sign(w* . z) on the probes (by default the 30 x 30 grid). Label D1.4.

    Probes on its boundary, to rounding, count as undecided (sign 0).
    """
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    direction = model.bayes_direction.astype(probes.dtype)
    outputs = probes @ direction
    # Equal predictivities put probes on the boundary itself, where only rounding would decide.
    rounding = 8 * jnp.finfo(probes.dtype).eps * (jnp.abs(probes) @ jnp.abs(direction))
    return reliance(jnp.where(jnp.abs(outputs) <= rounding, 0, outputs), probes)


@in_float64
def direction_reliance(model: GenerativeModel, direction: Float[Array, "*batch 2"]) -> Float[Array, "*batch"]:
    r"""Reliance of the linear classifier sign(v . z) on an infinitely fine probe grid, a smooth function of v. Label D1.5.

    With \((p,q)=(v_s\mu_s,v_c\mu_c)/\max(|v_s\mu_s|,|v_c\mu_c|)\):

    \[R=p\left(1-|q|/2\right)-q\left(1-|p|/2\right),\]

    which is p - q for p, q >= 0, -1 where p < 0 < q, and 1 where q < 0 < p. On n x n probes, n even, the reliance moves in
    steps and is within 2/n of it. 0 for v = 0.

    Args:
        direction: v in latent coordinates, (..., 2).

    Example:
        >>> round(float(direction_reliance(GenerativeModel(predictivity=(0.9, 0.9)), [1.0, 2.0])), 12)
        -0.5
    """
    direction = jnp.asarray(direction, jnp.result_type(float))
    if direction.ndim == 0 or direction.shape[-1] != 2:
        raise ValueError(f"direction must be of shape (..., 2); got shape {direction.shape}")
    projected = direction * model.means
    scaled = safe_divide(projected, jnp.max(jnp.abs(projected), axis=-1, keepdims=True))
    p, q = scaled[..., 0], scaled[..., 1]
    return p * (1 - jnp.abs(q) / 2) - q * (1 - jnp.abs(p) / 2)


@in_float64
def optimal_reliance_limit(model: GenerativeModel) -> Float[Array, ""]:
    r"""Reliance of the Bayes-optimal classifier on an infinitely fine probe grid, a smooth function of the model. Label D1.5.

    With \(q=w^*_s\mu_s/(w^*_c\mu_c)\): q - 1 for q in [0, 1], 1 - 1/q for q > 1, and -1 (w*_s < 0) or 1 (w*_c < 0) beyond. The
    reliance on a finite grid moves in steps, whose derivative is zero.

    Example:
        >>> float(optimal_reliance_limit(GenerativeModel(predictivity=(0.9, 0.9))))
        0.0
    """
    return direction_reliance(model, model.bayes_direction)


@in_float64
def shortcut_bias(
    outputs: Float[Array, "*batch probes"], model: GenerativeModel, probes: Latents | None = None
) -> Float[Array, "*batch"]:
    """Reliance beyond that of the Bayes-optimal classifier, for outputs at the probes (by default the 30 x 30 grid).

    Example:
        >>> model = GenerativeModel(predictivity=(0.85, 0.90))
        >>> probes = model.probe_grid()
        >>> float(shortcut_bias(probes @ model.bayes_direction, model))
        0.0
    """
    probes = model.probe_grid() if probes is None else probes
    return reliance(outputs, probes) - optimal_reliance(model, probes)
