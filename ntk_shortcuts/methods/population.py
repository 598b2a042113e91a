"""Infinite data: the kernel as an integral operator under the data law."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.nodes.parity import is_angular, own_sector_kernels, sector_kernels, stacked_sector_kernels
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.training.frozen_kernel import OutputLaw, trained_outputs
from ntk_shortcuts.results.output_error import OutputError
from ntk_shortcuts.results.prediction import (
    Prediction,
    UntrustedPredictionWarning,
    describe_spectrum,
    prediction_from_law,
    warn_of_rounding,
    warn_of_unresolved_direction,
)
from ntk_shortcuts.nodes.reflection import half_of, require_symmetric
from ntk_shortcuts.methods.registry import register_method
from ntk_shortcuts.nodes.weights import SampleWeight, require_symmetric_weight, reweighted_rays
from ntk_shortcuts.laws.two_features.polar import LatentRays, refined_rays
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Latents
from ntk_shortcuts.validation import as_points, require, require_values

# Angles are doubled until the bias moves by less than the tolerance. A general network also needs the radius resolved.
_MERGED_ANGLES = (64, 128, 256, 512, 1024)
_TENSOR_NODES = ((24, 10), (36, 14), (54, 18), (80, 24))
_MERGED_RADII = 48


@register_method("population")
@in_float64
def predict_population(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: None = None,
    *,
    probes: Latents | None = None,
    random_init: bool = True,
    tolerance: float = 2e-3,
    sample_weight: SampleWeight | None = None,
) -> Prediction:
    r"""Bias of an infinitely wide network trained on infinitely many samples.

    \[(Tf)(z)=\int\Theta(z,z')f(z')p(z')\,dz',\qquad f_t=f_0+T\,g(T)\,(f^*-f_0),\qquad f^*(z)=E[y\mid z]=\tanh(w^*\cdot z).\]

    The target is f*, not labels at the nodes: those would be noise that the solver fits at large t.

    Args:
        probes: latents (n, 2) at which reliance is measured; the 30 x 30 grid by default.
        random_init: include the random output at initialisation (f_0 Gaussian with the NNGP kernel); else f_0 = 0.
        tolerance: nodes are refined until the bias moves by less than this, or the finest rule is reached.
        sample_weight: a function of latents (n, 2) and labels (n,) to the weights (n,) of samples in the loss,
            (1/(2N)) sum w (f - y)^2, with w(-z, -y) = w(z, y); not normalised, so that their mean sets the clock. The bias
            stays relative to the optimum of the unweighted law.

    Returns:
        A Prediction whose diagnostics hold `discretization_error` (the last move of the bias), `nodes`, `converged` (1 or
        0), `rounding_error` (the largest move of the bias under errors of the arithmetic; Label D4.7), the spectrum's
        condition and dropped mass, and the kernel's own quadrature error.

    Warns:
        UntrustedPredictionWarning: the bias moves by more than the tolerance at the finest rule of nodes, by more than 0.002
            under rounding, or a direction in which the data hardly vary would be learnt and is below the arithmetic.

    Raises:
        ValueError: num_samples given, a tolerance that is not positive, or weights that are not symmetric.

    Numerics: nodes in graded polar coordinates (:func:`ntk_shortcuts.laws.two_features.polar.latent_rays`); bias-free networks of
    homogeneous activations need one node per ray. Without `random_init` the bias counts signs on a grid and moves in steps
    of 0.0022. Under a JAX transformation the second rule is used without refinement.
    """
    require(num_samples is None, "num_samples", 'None for method="population" (infinite data)', num_samples)
    require_values("tolerance", tolerance, (), "positive", lambda v: v > 0)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    homogeneous = is_angular(model, network)
    rules = [(angles, _MERGED_RADII) for angles in _MERGED_ANGLES] if homogeneous else list(_TENSOR_NODES)
    traced = is_traced(model, network, training, probes)
    if traced:
        rules = rules[1:2]
    elif not homogeneous:
        require_symmetric(model, network, probes)

    if sample_weight is not None:
        require_symmetric_weight(sample_weight, model.probe_grid())

    solved, unfold = half_of(probes)
    previous, change = None, float("nan")
    for level in range(len(rules)):
        rays = refined_rays(model, rules, level, homogeneous)
        law, kernel_error = _outputs(model, network, training, solved, rays, random_init, sample_weight)
        if not traced:
            training.check(float(law.spectrum.largest_eigenvalue))
        prediction = prediction_from_law("population", model, probes, *unfold(law.mean, law.variance, law.error))
        if traced:
            return prediction
        if previous is not None:
            change = float(np.max(np.abs(np.asarray(prediction.bias) - previous)))
            if change < tolerance:
                break
        previous = np.asarray(prediction.bias)
    else:
        warnings.warn(
            f"the bias still moved by {change:.2g}, more than tolerance={tolerance:g}, at the finest rule of nodes",
            UntrustedPredictionWarning,
            stacklevel=4,
        )
    warn_of_rounding(prediction)
    resolution = rays.mass.size * float(jnp.finfo(jnp.float64).eps)
    warn_of_unresolved_direction(model, training, law.spectrum.largest_eigenvalue, resolution)
    diagnostics = {
        "discretization_error": change,
        "converged": float(change < tolerance),
        "nodes": float(rules[level][0] if homogeneous else np.prod(rules[level])),
        "kernel_quadrature_error": float(kernel_error),
        **describe_spectrum(law.spectrum),
    }
    return prediction.with_diagnostics(diagnostics)


@eqx.filter_jit
def _outputs(
    model: GenerativeModel,
    network: Any,
    rule: TrainingRule,
    probes: jax.Array,
    rays: LatentRays,
    random_init: bool,
    sample_weight: SampleWeight | None,
) -> tuple[OutputLaw, jax.Array]:
    """Law of the outputs at the probes, and the kernel's own error.

    The law is symmetric under (z, y) -> (-z, -y) and the kernel under (x, x') -> (-x, -x'), so odd and even functions do not
    mix, and each sector is solved on a half-plane: half the matrix. The mean is odd.
    """
    rays = rays if sample_weight is None else reweighted_rays(rays, sample_weight)
    weights, targets = rays.mass, rays.slope
    sectors = sector_kernels(model, network)
    train, cross = stacked_sector_kernels(sectors, rays.directions, probes)
    error = jnp.asarray(cross[0].quadrature_error)
    if not random_init:
        return trained_outputs(train[0], cross[0], None, weights, targets, rule, None), error
    own = own_sector_kernels(sectors, probes)
    # Even functions have no part in the target.
    odd, even = (
        trained_outputs(train[i], cross[i], own[i].nngp, weights, target, rule, None)
        for i, target in enumerate((targets, jnp.zeros_like(targets)))
    )
    errors = OutputError(odd.error.mean, odd.error.variance + even.error.variance)
    return OutputLaw(odd.mean, jax.tree.map(jnp.add, odd.variance, even.variance), odd.spectrum, errors), error
