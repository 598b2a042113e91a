"""Outputs of an infinitely wide network at inputs of any kind, trained on data of any kind."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import ROUNDING_OF_OUTPUTS, RoundedOutputs, give
from ntk_shortcuts.methods.any_loss.initial import NUM_DRAWS
from ntk_shortcuts.methods.any_loss.outputs import Draws, data_set_outputs
from ntk_shortcuts.methods.exact import exact_outputs, loss_weights
from ntk_shortcuts.methods.krylov import projected_outputs
from ntk_shortcuts.methods.large import DENSE_LIMIT, TOLERANCE, Solved, require_fitting, solved_where_large
from ntk_shortcuts.methods.low_rank import Problem
from ntk_shortcuts.methods.notes import unresolved_labels
from ntk_shortcuts.networks.base import as_network
from ntk_shortcuts.nodes.base import checked_weight
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.outputs import require_finite_outputs
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.training.frozen_kernel import OutputLaw
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Array, Float, Key
from ntk_shortcuts.validation import as_points, as_targets, require


@in_float64
def predict_outputs(
    network: Any,
    training: TrainingRule,
    inputs: Float[Array, "n d"],
    labels: Float[Array, "n *outputs"],
    probe_inputs: Float[Array, "probes d"],
    full_covariance: bool = False,
    *,
    sample_weight: Float[Array, "n"] | None = None,
    loss: str = "squared",
    num_draws: int = NUM_DRAWS,
    key: Key | None = None,
) -> OutputLaw:
    r"""Law of an infinitely wide network's outputs, trained on (inputs, labels), over initialisations. Label D4.4.

    \(m=\Theta(x,X)Fy\) and \(\mathrm{cov}=K(x,x')+AK(X,X)A'^T-AK(X,x')-K(x,X)A'^T\), \(A=\Theta(x,X)F\),
    \(F=g(\Theta/N)/N\); with weights \(w\) of the samples \(F=\sqrt W\,g(\sqrt W\Theta\sqrt W/N)\sqrt W/N\).

    Args:
        network: an infinite MLP, a stax network through `from_stax`, or anything with `kernels(x1, x2)`.
        inputs: (n, d) of any kind, or images (n, h, w, c), which an MLP sees as rows.
        labels: real targets (n,), finite; (n, k) for networks of k outputs, one-hot for instance.
        probe_inputs: where to predict, (probes, d).
        full_covariance: `variance` is then the covariance (probes, probes), symmetric; else its diagonal (probes,). Neither has
            a negative variance.
        sample_weight: weights (n,) >= 0 of the samples in the loss, (1/(2n)) sum w (f - y)^2; not normalised.
        loss: "squared", "logistic", or another that is registered, for labels in [-1, 1], a mean of +1 and -1. Mean and
            variance are then those over `num_draws` random outputs at initialisation, and the law is not Gaussian.
        num_draws: of these, as for :class:`~ntk_shortcuts.methods.dataset.GivenDataset`.
        key: likewise.

    Returns:
        OutputLaw(mean, variance, spectrum, error): mean (*batch, probes), and (*batch, probes, k) for k outputs, which are
            independent of each other. `error` holds draws of the rounding of the mean, and the size of that of the
        variance (label D4.7).

    Raises:
        ValueError: naming the argument: shapes that do not fit, NaN or infinite entries, negative weights; above 100,000
            samples a kernel that landmarks do not hold.

    Warns:
        UntrustedPredictionWarning: labels along eigenvalues that rounding hides and training would reach, rounding of the
            mean above a thousandth of the largest output or label, or the bound of a solution in blocks above 1e-4.

    Numerics: eigenvalues below n eps lambda_max are zero to the arithmetic and are left out, so that rank-deficient
    kernels have a finite limit at t = infinity. Above 6000 samples to 1e-4, as for
    :class:`~ntk_shortcuts.methods.dataset.GivenDataset`; `error` is None where landmarks hold the kernel. Source: Lee et al.
    (2019), section 2.2.
    """
    network = as_network(network)
    if np.ndim(inputs) > 2 and np.shape(inputs)[1:] == np.shape(probe_inputs)[1:]:
        network = network.on_images(np.shape(inputs)[1:])
        inputs, probe_inputs = (jnp.reshape(jnp.asarray(x), (len(x), -1)) for x in (inputs, probe_inputs))
    inputs = as_points("inputs", inputs)
    probe_inputs = as_points("probe_inputs", probe_inputs, dimension=inputs.shape[1]).astype(inputs.dtype)
    labels = as_targets("labels", labels, count=inputs.shape[0], several=True).astype(inputs.dtype)
    weight = None if sample_weight is None else checked_weight(sample_weight, inputs.shape[0])
    problem = Problem(network, training, inputs, labels, probe_inputs, loss_weights(inputs, weight))
    chosen = resolve_loss(loss)
    asked = {"network": network, "training": training}
    origin = origin_of(asked, num_samples=len(inputs), full_covariance=full_covariance, loss=loss)
    if not chosen.spectral:
        require(not full_covariance, "full_covariance", f'False with loss="{loss}"', full_covariance)
        found = data_set_outputs(chosen, problem, Draws(True, num_draws, key))
        give(training.issues(found.problem.largest_curvature))
        return dataclasses.replace(found.law(), origin=origin)
    solved = _solved_in_parts(problem, full_covariance)
    law, _, issues = solved or (exact_outputs(problem, True, full_covariance), {}, ())
    law = dataclasses.replace(law, origin=origin)
    if not is_traced(law):
        require_finite_outputs(law.mean, law.variance)
        issues = (
            *issues,
            *training.issues(law.spectrum.largest_eigenvalue),
            *unresolved_labels(network, training, law, inputs.shape[0]),
            *_rounded_outputs(law, float(np.max(np.abs(labels)))),
        )
        give(issues)
    return law


def _solved_in_parts(problem: Problem, full_covariance: bool) -> Solved | None:
    """Above 6000 samples; the whole covariance, which landmarks do not give, in blocks."""
    if not full_covariance:
        return solved_where_large(problem, True, None)
    if is_traced(problem.points, problem.probes, problem.rule, problem.weights) or len(problem.points) <= DENSE_LIMIT:
        return None
    require_fitting(len(problem.points), "full_covariance=False tries landmarks first")
    return projected_outputs(problem, True, TOLERANCE, full_covariance)


def _rounded_outputs(law: OutputLaw, size: float) -> tuple[RoundedOutputs, ...]:
    if law.error is None:
        return ()  # of several outputs, whose rounding is not estimated
    error = float(np.max(np.sqrt(np.mean(np.asarray(law.error.mean) ** 2, axis=-2))))
    scale = max(float(np.max(np.abs(law.mean))), size)
    return () if error <= ROUNDING_OF_OUTPUTS * scale else (RoundedOutputs(error, scale),)
