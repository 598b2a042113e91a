"""Reliance on the shortcut rather than on the core: of outputs at test points, and of arrays at latents."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.metrics.base import Metric
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.numerics import in_float64, safe_sqrt
from ntk_shortcuts.outputs.signs import cell_signs, decided, expected_sign
from ntk_shortcuts.typing import AnyArray, Array, Float, Latents, Num, Scalar
from ntk_shortcuts.validation import as_floats, as_points


class Reliance(Metric):
    r"""\(\mathrm{mean}_z\,\mathrm{sign}f(z)\,(\mathrm{sign}\,z_s-\mathrm{sign}\,z_c)\), in [-1, 1].

    -1: the classifier reads only the core; +1: only the shortcut. On points where the two conflict, in equal numbers of either
    label, the accuracy is (1 - reliance)/2.

    Args:
        shortcut: name of an attribute of the test points.
        core: likewise.

    Source: Hermann et al. (2024), section 3.
    """

    of_shortcuts: ClassVar[bool] = True

    shortcut: str = eqx.field(default="shortcut", static=True)
    core: str = eqx.field(default="core", static=True)

    def of_signs(self, signs: Float[Array, "*batch n"], points: TestPoints) -> Float[Array, "*batch"]:
        shortcut, core = (jnp.asarray(points.attributes[name]).astype(signs.dtype) for name in (self.shortcut, self.core))
        return signs @ (shortcut - core) / shortcut.shape[0]


@in_float64
def reliance(outputs: Num[AnyArray, "*batch probes"], probes: Latents) -> Float[Array, "*batch"]:
    r"""\(\mathrm{mean}_z\,\mathrm{sign}f(z)\,(\mathrm{sign}\,z_s-\mathrm{sign}\,z_c)\), in [-1, 1] on the probe grid.

    -1: the classifier reads only the core feature; +1: only the shortcut. Outputs on the decision boundary, up to a relative
    1e-6 (:func:`ntk_shortcuts.outputs.signs.decided`), count half, as those of a prediction do.

    Args:
        outputs: f at the probes, (..., probes); only its sign matters.
        probes: latents (probes, 2).

    Source: Hermann et al. (2024), section 3.
    """
    return mean_disagreement(jnp.sign(_decided(as_floats("outputs", outputs), probes)), probes)


@in_float64
def expected_reliance(
    mean: Num[AnyArray, "*batch probes"], std: Num[AnyArray, "*batch probes"] | Scalar, probes: Latents
) -> Float[Array, "*batch"]:
    r"""Expectation of the reliance for Gaussian outputs: sign f has mean \(2\Phi(m/s)-1=\mathrm{erf}(m/(s\sqrt2))\).

    Where the standard deviation is 0 this is sign m. Means on the decision boundary count half, as for :func:`reliance`.
    """
    std = jnp.asarray(as_floats("std", std))
    return mean_disagreement(expected_sign(_decided(as_floats("mean", mean), probes), std), probes)


@in_float64
def reliance_between_probes(outputs: Num[AnyArray, "*batch probes"], probes: Latents) -> Float[Array, "*batch"]:
    r"""Reliance with the sign at each probe averaged over its cell of the (square) grid: differentiable where sign is a step.

    See :func:`ntk_shortcuts.outputs.signs.cell_signs`.

    Raises:
        ValueError: probes that are not a square grid, shortcut major.

    Example:
        >>> from ntk_shortcuts import GenerativeModel
        >>> from ntk_shortcuts.linear import optimal_reliance_limit
        >>> model = GenerativeModel()
        >>> probes = model.probe_grid()
        >>> smooth = reliance_between_probes(probes @ model.bayes_direction, probes)
        >>> bool(abs(smooth - optimal_reliance_limit(model)) < 2e-3)
        True
    """
    return mean_disagreement(cell_signs(jnp.asarray(as_floats("outputs", outputs))), probes)


def mean_disagreement(signs: Float[Array, "*batch probes"], probes: Latents) -> Float[Array, "*batch"]:
    """Mean over the probes of sign f times (sign z_s - sign z_c)."""
    signed = jnp.sign(_latents_of(signs, probes))
    return signs @ (signed[:, 0] - signed[:, 1]) / signed.shape[0]


def _decided(outputs: Any, probes: Latents) -> jax.Array:
    """Outputs with those on the decision boundary as 0; at a latent z an output of the order of |z| decides."""
    outputs = jnp.asarray(outputs)
    latents = _latents_of(outputs, probes)
    return decided(outputs, safe_sqrt(jnp.sum(latents**2, axis=-1)))


def _latents_of(outputs: jax.Array, probes: Latents) -> jax.Array:
    """The probes in the outputs' dtype, refused unless there is one for each output."""
    latents = as_points("probes", probes, dimension=2).astype(outputs.dtype)
    if outputs.ndim == 0 or outputs.shape[-1] != latents.shape[0]:
        raise ValueError(f"outputs must be of shape (..., {latents.shape[0]}), one value per probe; got shape {outputs.shape}")
    return latents
