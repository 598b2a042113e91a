"""A given data set: exact law of the outputs over initialisations, and its average over sampled data sets."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import Dataset, GenerativeModel
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.training.frozen_kernel import OutputLaw, continued_outputs, trained_outputs
from ntk_shortcuts.methods.low_rank import Problem, low_rank_where_asked, require_tolerance
from ntk_shortcuts.results.prediction import (
    Prediction,
    UntrustedPredictionWarning,
    describe_spectrum,
    plain,
    prediction_from_law,
    require_finite_outputs,
    warn_of_rounding,
)
from ntk_shortcuts.methods.registry import register_method
from ntk_shortcuts.nodes.weights import SampleWeight, checked_weight, evaluate_weight
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Array, Float, Key, Latents
from ntk_shortcuts.validation import as_labels, as_points, require, require_finite, require_integer, require_key

# Relative to the largest output or label.
_TRUSTED_ROUNDING = 1e-3


@in_float64
def predict_outputs(
    network: Any,
    training: TrainingRule,
    inputs: Float[Array, "n d"],
    labels: Float[Array, "n"],
    probe_inputs: Float[Array, "probes d"],
    full_covariance: bool = True,
) -> OutputLaw:
    r"""Law of an infinitely wide network's outputs, trained on (inputs, labels), over initialisations. Label D4.4.

    \(m=\Theta(x,X)Fy\) and \(\mathrm{cov}=K(x,x')+AK(X,X)A'^T-AK(X,x')-K(x,X)A'^T\), \(A=\Theta(x,X)F\),
    \(F=g(\Theta/N)/N\).

    Args:
        network: an infinite MLP or a stax network.
        inputs: (n, d) of any kind.
        labels: real targets (n,).
        probe_inputs: where to predict, (probes, d).
        full_covariance: `variance` is then (probes, probes); else its diagonal (probes,).

    Returns:
        OutputLaw(mean, variance, spectrum, error): `error` holds draws of the rounding of the mean, and the size of that of the
        variance (label D4.7).

    Raises:
        ValueError: shapes that do not fit, NaN or infinite entries.

    Warns:
        UntrustedPredictionWarning: labels along eigenvalues that rounding hides and training would reach, or rounding of the
            mean above a thousandth of the largest output or label.

    Numerics: eigenvalues below n eps lambda_max are zero to the arithmetic and are left out, so that rank-deficient
    kernels have a finite limit at t = infinity. Source: Lee et al. (2019), section 2.2.
    """
    inputs = as_points("inputs", inputs)
    probe_inputs = as_points("probe_inputs", probe_inputs, dimension=inputs.shape[1]).astype(inputs.dtype)
    labels = jnp.asarray(labels, inputs.dtype)
    require(labels.shape == inputs.shape[:1], "labels", f"of shape ({inputs.shape[0]},)", labels)
    law = _outputs(network.kernels, training, inputs, labels, probe_inputs, True, full_covariance)
    if not is_traced(law):
        require_finite_outputs(law.mean, law.variance)
        training.check(float(law.spectrum.largest_eigenvalue))
        _warn_of_unresolved(network, training, law, inputs.shape[0])
        _warn_of_rounded_outputs(law, float(jnp.max(jnp.abs(labels))))
    return law


def _warn_of_rounded_outputs(law: OutputLaw, size: float) -> None:
    error = float(jnp.max(jnp.sqrt(jnp.mean(law.error.mean**2, axis=-2))))
    scale = max(float(jnp.max(jnp.abs(law.mean))), size)
    if not error <= _TRUSTED_ROUNDING * scale:
        warnings.warn(
            f"rounding moves the mean output by up to {error:.2g}, where the largest output or label is {scale:.2g}: training "
            "reaches eigenvalues that the arithmetic hardly resolves (a finite time or a ridge decides them)",
            UntrustedPredictionWarning,
            stacklevel=6,
        )


def _warn_of_unresolved(network: Any, training: TrainingRule, law: OutputLaw, num_samples: int) -> None:
    """Warn where training goes on until it reaches eigenvalues below rounding, and labels lie there.

    Linear networks have none: their kernels are zero beyond the dimension of the inputs.
    """
    linear = isinstance(network, MLP) and (network.depth == 0 or network.activation.name == "linear")
    resolution = num_samples * jnp.finfo(law.mean.dtype).eps * law.spectrum.largest_eigenvalue
    learnt = float(jnp.max(training.filter(resolution[None], num_samples) * resolution))
    dropped = float(law.spectrum.mass_dropped)
    if not linear and learnt > 0.01 and dropped > 0.01:
        warnings.warn(
            f"{dropped:.2g} of the labels' square lies along eigenvalues below {float(resolution):.2g}, which rounding hides "
            "and this training would reach: the outputs leave them out (a finite time or a ridge decides them)",
            UntrustedPredictionWarning,
            stacklevel=6,
        )


def _outputs(
    kernels: Callable[..., Any],
    rule: TrainingRule,
    points: jax.Array,
    labels: jax.Array,
    probes: jax.Array,
    random_init: bool,
    full_covariance: bool = False,
    sample_weight: jax.Array | None = None,
) -> OutputLaw:
    prior = None
    if random_init and full_covariance:
        prior = kernels(probes).nngp
    elif random_init:
        prior = jax.vmap(lambda z: kernels(z[None]).nngp[0, 0])(probes)
    weights = _weights(points, sample_weight)
    # Kernels are compiled on their own: what a network's are made from depends on values that a trace would hide.
    return _trained(kernels(points), kernels(probes, points), prior, weights, labels, rule, points.shape[0])


_trained, _continued = eqx.filter_jit(trained_outputs), eqx.filter_jit(continued_outputs)


def _weights(points: jax.Array, sample_weight: jax.Array | None) -> jax.Array:
    count = points.shape[0]
    weights = jnp.full(count, 1 / count, points.dtype)
    return weights if sample_weight is None else weights * sample_weight.astype(points.dtype)


@register_method("dataset")
@in_float64
def predict_dataset(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: int | None = None,
    *,
    dataset: Dataset,
    probes: Latents | None = None,
    probe_inputs: Float[Array, "probes d"] | None = None,
    random_init: bool = True,
    initial_outputs: tuple[Float[Array, "*inits n"], Float[Array, "*inits probes"]] | None = None,
    sample_weight: Float[Array, "n"] | None = None,
    rank_tolerance: float | None = None,
) -> Prediction:
    r"""Bias of an infinitely wide network trained on one given data set, exact over initialisations.

    Above 6000 samples, and wherever `rank_tolerance` is given, the kernel is reduced to a few landmarks
    (:func:`~ntk_shortcuts.methods.low_rank.low_rank_outputs`): time is then linear in the samples, and memory does not
    grow with them. The size of that approximation is among the diagnostics.

    Args:
        dataset: from `model.sample`, or your own by `Dataset.from_arrays(inputs, labels)`.
        probes: latents (n, 2) at which reliance is measured; the 30 x 30 grid of the model by default.
        probe_inputs: the probes as inputs (n, d); by default embedded as the data set was, which your own data cannot do.
        random_init: include the random output at initialisation.
        initial_outputs: f_0 of one network at the training inputs and at the probes, or of several along a first axis
            (`Ensemble.initial_train_outputs[i]` and `Ensemble.initial_outputs[i]`). The outputs are then those of these
            networks, \(f(x)=f_0(x)+\Theta(x,X)F(y-f_0(X))\): `std` is 0, and `bias` and `mean` have the axis of the networks.
        sample_weight: weights (n,) >= 0 of the samples in the loss, (1/(2n)) sum w (f - y)^2; not normalised.
        rank_tolerance: largest error of mean and standard deviation at the probes that the reduction may make, by its own
            estimate; 1e-4 above 6000 samples.

    Warns:
        UntrustedPredictionWarning: the estimate stays above it with 2048 landmarks. Up to 6000 samples the whole kernel is
            solved instead.

    Raises:
        ValueError: num_samples that is not the data set's size; labels not in {-1, +1}; probe_inputs missing or of
            another shape; initial_outputs of another shape, or with random_init=False.
    """
    require(
        isinstance(dataset, Dataset), "dataset", "a Dataset, of model.sample or Dataset.from_arrays", type(dataset).__name__
    )
    inputs = as_points("dataset.inputs", dataset.inputs)
    labels = as_labels("dataset.labels", dataset.labels, count=inputs.shape[0]).astype(inputs.dtype)
    require(num_samples in (None, inputs.shape[0]), "num_samples", f"None or {inputs.shape[0]}", num_samples)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    if probe_inputs is None:
        require(
            dataset.embedding is not None,
            "probe_inputs",
            "given for data of your own, whose embedding of the probes is unknown",
            None,
        )
        probe_inputs = dataset.embedding(probes)
    probe_inputs = as_points("probe_inputs", probe_inputs, dimension=inputs.shape[1]).astype(inputs.dtype)
    require(
        probe_inputs.shape[0] == probes.shape[0],
        "probe_inputs",
        f"of shape ({probes.shape[0]}, {inputs.shape[1]}), one row per probe",
        probe_inputs,
    )
    require_tolerance(rank_tolerance)
    if initial_outputs is None:
        if sample_weight is not None:
            sample_weight = checked_weight(sample_weight, inputs.shape[0])
        problem = Problem(network.kernels, training, inputs, labels, probe_inputs, _weights(inputs, sample_weight))
        reduced = low_rank_where_asked(problem, random_init, rank_tolerance)
        if reduced is not None:
            law, extra = reduced
            return _finish("dataset", model, network, training, probes, law, inputs.shape[0], extra)
        law = _outputs(network.kernels, training, inputs, labels, probe_inputs, random_init, sample_weight=sample_weight)
        return _finish("dataset", model, network, training, probes, law, inputs.shape[0])
    require(random_init, "random_init", "True with initial_outputs", random_init)
    require(sample_weight is None, "sample_weight", "None with initial_outputs", sample_weight)
    initial = _initial_outputs(initial_outputs, inputs.shape[0], probes.shape[0], inputs.dtype)
    rows = tuple(jnp.atleast_2d(values) for values in initial)
    problem = Problem(network.kernels, training, inputs, (labels - rows[0]).T, probe_inputs, _weights(inputs, None))
    reduced = low_rank_where_asked(problem, False, rank_tolerance)
    if reduced is None:
        train, cross = network.kernels(inputs), network.kernels(probe_inputs, inputs)
        law, extra = _continued(train, cross, problem.weights, labels, rows, training, inputs.shape[0]), {}
    else:
        law, extra = reduced
        law = dataclasses.replace(law, mean=rows[1] + law.mean)
    if initial[0].ndim == 1:
        law = dataclasses.replace(law, mean=law.mean[..., 0, :], error=jax.tree.map(lambda e: e[..., 0, :], law.error))
    return _finish("dataset", model, network, training, probes, law, inputs.shape[0], extra)


def _initial_outputs(given: Any, num_samples: int, num_probes: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
    name, allowed = "initial_outputs", f"a pair of shapes (*inits, {num_samples}) and (*inits, {num_probes})"
    require(isinstance(given, tuple | list) and len(given) == 2, name, allowed, given)
    at_train, at_probes = (jnp.asarray(values, dtype) for values in given)
    fits = at_train.shape[-1:] == (num_samples,) and at_probes.shape[-1:] == (num_probes,)
    same = at_train.ndim in (1, 2) and at_train.shape[:-1] == at_probes.shape[:-1]
    require(fits and same, name, allowed, f"shapes {at_train.shape} and {at_probes.shape}")
    for values in (at_train, at_probes):
        require_finite(name, values)
    return at_train, at_probes


def _finish(
    method: str,
    model: Any,
    network: Any,
    training: TrainingRule,
    probes: jax.Array,
    law: OutputLaw,
    num_samples: int,
    extra: dict[str, float] | None = None,
) -> Prediction:
    traced = is_traced(law.spectrum)
    if not traced:
        training.check(float(law.spectrum.largest_eigenvalue))
    prediction = prediction_from_law(method, model, probes, law.mean, law.variance, law.error)
    if traced:
        return prediction
    warn_of_rounding(prediction, stacklevel=5)
    _warn_of_unresolved(network, training, law, num_samples)
    return prediction.with_diagnostics({**describe_spectrum(law.spectrum), **(extra or {})})


@register_method("monte_carlo")
@in_float64
def predict_monte_carlo(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: int | None = None,
    *,
    key: Key | None = None,
    num_datasets: int = 16,
    probes: Latents | None = None,
    random_init: bool = True,
    embedded: bool = False,
    sample_weight: SampleWeight | None = None,
    rank_tolerance: float | None = None,
) -> Prediction:
    """Average of the exact prediction over sampled data sets, with its standard error.

    Args:
        key: `jax.random` key; data set i uses `fold_in(key, i)`.
        num_samples: N, even.
        num_datasets: how many to average, at least 2.
        embedded: sample inputs in R^d with their random directions; by default kernels are those of d -> infinity.
        sample_weight: a function of latents (n, 2) and labels (n,) to the weights (n,) of samples in the loss,
            (1/(2N)) sum w (f - y)^2; not normalised. The bias stays relative to the optimum of the unweighted law.
        rank_tolerance: as for method="dataset".

    Returns:
        A Prediction: `mean` and `std` are those of the output over data sets and initialisations; diagnostics hold
        `bias_standard_error` (of the mean over data sets; the largest one for several times) and `num_datasets`.

    Raises:
        ValueError: key or num_samples missing or out of range.
    """
    require_key(key, 'a jax.random key for method="monte_carlo"')
    require(num_samples is not None, "num_samples", 'an even integer >= 2 for method="monte_carlo"', num_samples)
    require_integer("num_datasets", num_datasets, 2)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    require_tolerance(rank_tolerance)
    means, variances, reliances, moves, extra = [], [], [], [], {}
    for index in range(num_datasets):
        data = model.sample(jax.random.fold_in(key, index), num_samples)
        if embedded:
            kernels, points, at = network.kernels, data.inputs, data.embedding(probes)
        else:
            kernels, points, at = functools.partial(network.latent_kernels, model), data.latents, probes
        weight = None if sample_weight is None else evaluate_weight(sample_weight, data.latents, data.labels)
        problem = Problem(kernels, training, points, data.labels, at, _weights(points, weight))
        reduced = low_rank_where_asked(problem, random_init, rank_tolerance)
        if reduced is None:
            law = _outputs(kernels, training, points, data.labels, at, random_init, sample_weight=weight)
        else:
            law, sizes = reduced
            extra = {name: max(size, extra.get(name, 0.0)) for name, size in sizes.items()}
        training.check(float(law.spectrum.largest_eigenvalue))
        alone = prediction_from_law("monte_carlo", model, probes, law.mean, law.variance, law.error)
        means.append(law.mean)
        variances.append(alone.std**2)
        reliances.append(jnp.asarray(alone.reliance))
        moves.append(alone.diagnostics.get("rounding_error", 0.0))
    mean = jnp.mean(jnp.stack(means), axis=0)
    variance = jnp.mean(jnp.stack(variances), axis=0) + jnp.var(jnp.stack(means), axis=0, ddof=1)
    stacked = jnp.stack(reliances)
    average = jnp.mean(stacked, axis=0)
    standard_error = jnp.std(stacked, axis=0, ddof=1) / np.sqrt(num_datasets)
    summary = prediction_from_law("monte_carlo", model, probes, mean, variance)
    # Signs are averaged data set by data set; the Gaussian step over data sets is not needed here.
    prediction = eqx.tree_at(
        lambda p: (p.bias, p.reliance),
        summary,
        (plain(average - summary.optimal_reliance), plain(average)),
    ).with_diagnostics(
        {
            "rounding_error": max(moves),
            "bias_standard_error": float(jnp.max(standard_error)),
            "num_datasets": float(num_datasets),
            **describe_spectrum(law.spectrum),
            **extra,
        }
    )
    warn_of_rounding(prediction)
    _warn_of_unresolved(network, training, law, num_samples)
    return prediction
