"""The average over data sets of a given size, without sampling any: deterministic equivalents of the kernel's resolvent."""

from __future__ import annotations

import warnings
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.nodes.parity import is_angular
from ntk_shortcuts.analysis.spectrum import SectorFeatures, SectorSpectra, sector_features, sector_spectra
from ntk_shortcuts.numerics import in_float64, is_traced
from ntk_shortcuts.methods.average.deterministic_equivalent import FORMS, Resolvent, averaged_resolvent, scalar_kappa
from ntk_shortcuts.results.output_error import OutputError
from ntk_shortcuts.results.prediction import (
    Prediction,
    UntrustedPredictionWarning,
    prediction_from_law,
    warn_of_rounding,
    warn_of_unresolved_direction,
)
from ntk_shortcuts.nodes.reflection import half_of, require_symmetric
from ntk_shortcuts.methods.registry import register_method
from ntk_shortcuts.laws.two_features.polar import LatentRays, latent_rays, refined_rays
from ntk_shortcuts.training.rules import RationalFilter, TrainingRule
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import as_points, require, require_integer, require_values

_HOMOGENEOUS_NODES = ((24, 18), (36, 20), (54, 24), (80, 28), (120, 32), (180, 36))
_GENERAL_NODES = ((18, 8), (24, 10), (36, 14), (54, 18))
_RESOLVENTS = (6, 8)
_INITIAL_MODES = 8
_FEEDBACK_PASSES = 8
_TRACED_MODES = 64
_FEW_MODES = 36
# A mode is left out when it is learnt to less than this.
_LEARNT = 2e-3
# Below this number corrections of order 1/N are above the tolerance.
_FEW_SAMPLES = 10


class AveragedLaw(eqx.Module):
    """Law of the outputs over data sets and initialisations, at the probes, with what its approximations dropped.

    - `mean`, `variance`, `data_variance` (the part over data sets): (*batch, probes).
    - `error`: what the poles miss, and the rounding of the variance.
    - `residual`, `margin`, `iterations` of the fixed points, `filter_error` of the resolvent sum on the spectrum,
      `nngp_dropped`: (*batch,).
    """

    mean: Float[Array, "*batch probes"]
    variance: Float[Array, "*batch probes"]
    data_variance: Float[Array, "*batch probes"]
    error: OutputError
    residual: jax.Array
    margin: jax.Array
    iterations: jax.Array
    filter_error: jax.Array
    nngp_dropped: jax.Array


@register_method("dataset_averaged")
@in_float64
def predict_dataset_averaged(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    num_samples: int | None = None,
    *,
    probes: Latents | None = None,
    random_init: bool = True,
    tolerance: float = 2e-3,
    form: str = "local",
    balanced: bool = True,
    feedback: bool = True,
    uniform_noise: bool = False,
) -> Prediction:
    r"""Expected bias over data sets of N samples and over initialisations, without sampling.

    The filter is a sum of resolvents, \(g(\lambda)=\mathrm{Re}\sum_kc_k/(\lambda-s_k)\), and each averaged resolvent a fixed
    point (:mod:`ntk_shortcuts.methods.average.deterministic_equivalent`). With \(H_k(x,z)\) and \(\kappa_k(z)\) there,

    \[m(x)=\mathrm{Re}\sum_kc_kf_k(x),\quad f_k(x)=\int p\,H_k(x,z)f^*(z)/\kappa_k(z)\,dz,\]
    \[F(x;z,y)=\mathrm{Re}\sum_kc_kH_k(x,z)(y-f_k(z))/\kappa_k(z),\quad
      \mathrm{Var}f(x)=\frac1N\Big(E[F^2]-\tfrac12\sum_cE[F\mid y=c]^2\Big),\]

    F the influence of one training point. The outputs are taken as Gaussian in the step from mean and variance to E[sign f].

    Args:
        num_samples: N >= 2.
        probes: latents (n, 2) at which reliance is measured; the 30 x 30 grid by default.
        random_init: include the random output at initialisation: its remainder after training, and its influence on
            the variance over data sets.
        tolerance: nodes are refined until the bias moves by less.
        form: "local", where the leverage of a sample depends on where it lies; "scalar", the textbook form, one number
            for all samples; "one_step", one local iteration from the scalar form.
        balanced: data sets of exactly N/2 of each class; else independent labels.
        feedback: let the predictor's own variance over data sets act as noise in the residuals of left-out points.
        uniform_noise: replace the label noise 1 - f*(z)^2 by its average over the data law.

    Returns:
        A Prediction. `std` is over data sets and initialisations together. Diagnostics: `data_std` (root mean square over
        probes of the part over data sets), `discretization_error` (last move of the bias under refinement), `nodes`,
        `modes_kept`, `fixed_point_residual`, `stieltjes_margin` (positive: the right root), `iterations`, `filter_error` (of
        the resolvent sum, relative), `rounding_error` (the move of the bias by that error at the probes, and by rounding),
        `initial_mass_dropped`, `converged` and `trusted` (1 or 0). A prediction that is not trusted, or whose
        `rounding_error` is above 0.002, also warns with UntrustedPredictionWarning.

    Raises:
        ValueError: num_samples missing or below 2; unknown form; a kernel that is not symmetric.

    Numerics: about 10 samples at least; corrections are of relative order 1/N. Under a JAX transformation the second rule
    is used with 64 modes per sector and no refinement. Source: Simon et al. (2021), Canatar et al. (2021) for the scalar
    form; the local form, gradient flow and the variance were worked out for this package. Label D9.3.

    Example:
        >>> from ntk_shortcuts import MLP, GradientFlow, predict_bias
        >>> p = predict_bias(GenerativeModel(), MLP(1), GradientFlow(100.0), 300, method="dataset_averaged")
        >>> round(p.bias, 2)
        0.2...
    """
    require(num_samples is not None, "num_samples", 'an integer >= 2 for method="dataset_averaged"', num_samples)
    if isinstance(num_samples, jax.Array | np.ndarray | float):
        # A real number, to be differentiated; traced ones are arrays too.
        require_values("num_samples", num_samples, (), "an integer >= 2", lambda v: (v >= 2) & (v < np.inf))
    else:
        require_integer("num_samples", num_samples, 2)
    require_values("tolerance", tolerance, (), "positive", lambda v: v > 0)
    require(form in FORMS, "form", f"one of {', '.join(FORMS)}", form)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    homogeneous = is_angular(model, network)
    rules = _HOMOGENEOUS_NODES if homogeneous else _GENERAL_NODES
    solved, unfold = half_of(probes)
    # Factors of 0 or 1 and not branches, so that one compilation serves them all.
    switches = {"random_init": random_init, "balanced": balanced, "feedback": feedback, "uniform_noise": uniform_noise}
    options = {"form": form, **{name: jnp.asarray(float(value)) for name, value in switches.items()}}

    if is_traced(model, network, training, probes, num_samples):
        rays = latent_rays(model, *rules[1], homogeneous)
        spectra = sector_spectra(model, network, rays)
        modes = min(_TRACED_MODES, rays.directions.shape[0])
        filter_ = training.rational(num_samples, jnp.max(spectra.basis.eigenvalues), _RESOLVENTS[0])
        law = _averaged_law(model, network, training, filter_, num_samples, solved, rays, spectra, modes, options)
        return prediction_from_law("dataset_averaged", model, probes, *unfold(law.mean, law.variance, law.error))
    if not homogeneous:
        require_symmetric(model, network, probes)

    count = jnp.asarray(float(num_samples))  # an array: one compilation for all N
    previous, change = None, float("nan")
    for level in range(len(rules)):
        rays = refined_rays(model, rules, level, homogeneous)
        spectra = _spectra(model, network, rays)
        largest = float(jnp.max(spectra.basis.eigenvalues))
        training.check(largest)
        filter_ = training.rational(num_samples, _edge(spectra, num_samples), _RESOLVENTS[0])
        modes = _modes_needed(spectra, filter_, num_samples)
        learnt_half = jnp.asarray(_kappa(0.0, spectra, num_samples))
        law = _jitted_law(model, network, training, filter_, count, solved, rays, spectra, modes, options, learnt_half)
        folded = unfold(law.mean, law.variance, law.error)
        prediction = prediction_from_law("dataset_averaged", model, probes, *folded)
        if previous is not None:
            change = float(np.max(np.abs(np.asarray(prediction.bias) - previous)))
            if change < tolerance:
                break
        previous = np.asarray(prediction.bias)

    residual, margin = float(jnp.max(law.residual)), float(jnp.min(law.margin))
    filter_error = float(jnp.max(law.filter_error))
    trusted = change < tolerance and residual < 1e-6 and margin > 0 and filter_error < tolerance
    if form == "one_step":
        trusted = change < tolerance
    diagnostics = {
        "data_std": float(jnp.sqrt(jnp.max(jnp.mean(law.data_variance, axis=-1)))),
        "discretization_error": change,
        "nodes": float(np.prod(rules[level])),
        "modes_kept": float(modes),
        "fixed_point_residual": residual,
        "stieltjes_margin": margin,
        "iterations": float(jnp.max(law.iterations)),
        "filter_error": filter_error,
        "initial_mass_dropped": float(jnp.max(law.nngp_dropped)),
        "converged": float(change < tolerance),
        "trusted": float(trusted),
    }
    if num_samples < _FEW_SAMPLES:
        trusted = False
        warnings.warn(
            f"{num_samples} samples are few for an average over data sets: terms of relative order 1/N are left out, which "
            'move the bias by up to 0.12 at N = 2 and 0.06 at N = 4 (linear network); method="monte_carlo" has none',
            UntrustedPredictionWarning,
            stacklevel=4,
        )
    elif not trusted:
        warnings.warn(
            f"the prediction is not to be trusted to {tolerance:g}: the bias moved by {change:.2g} in the last refinement, "
            f"fixed-point residual {residual:.1g}, Stieltjes margin {margin:.1g}, filter error {filter_error:.1g}",
            UntrustedPredictionWarning,
            stacklevel=4,
        )
    warn_of_rounding(prediction)
    largest, *_, smallest = np.asarray(spectra.basis.eigenvalues[0, :modes])
    resolution = max(_resolution(spectra), smallest / largest)
    warn_of_unresolved_direction(model, training, largest, resolution, num_samples)
    return prediction.with_diagnostics(diagnostics)


_spectra = eqx.filter_jit(sector_spectra)


def _edge(spectra: SectorSpectra, num_samples: int) -> float:
    """About the largest eigenvalue of a sampled Gram matrix over N."""
    eigenvalues = np.ravel(spectra.basis.eigenvalues)
    largest = eigenvalues.max()
    return float(largest * (1 + np.sqrt(np.sum(np.maximum(eigenvalues, 0)) / (num_samples * largest))) ** 2)


def _target_missed(
    training: TrainingRule,
    filter_: RationalFilter,
    rays: LatentRays,
    spectra: SectorSpectra,
    probes: Float[Array, "probes modes"],
    num_samples: Any,
    kappa: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """What the resolvent sum misses of the target above rounding: relative in norm, and at the probes.

    The poles keep a distance from 0, which eigenvalues of less than 1e-9 of the largest feel. They matter where they hold a
    part of the target that N samples could learn, and more at probes that lie far out in a direction of little variance.

    Args:
        probes: the coordinates of the probes' kernel sections.
        kappa: the eigenvalue that N samples learn half.
    """
    eigenvalues, vectors = spectra.basis.eigenvalues[0], spectra.basis.vectors[0]
    largest = eigenvalues[0]
    present = eigenvalues > _resolution(spectra) * largest
    values = jnp.where(present, eigenvalues, largest)
    target = vectors.T @ (jnp.sqrt(rays.mass) * rays.slope)
    error = (filter_(values) - training.filter(values, num_samples)) * values * values / (values + kappa)
    missed = jnp.where(present, error * target, 0)
    size = jnp.sqrt(jnp.sum(missed**2, axis=-1) / jnp.maximum(jnp.sum(target**2), np.finfo(np.float64).tiny))
    modes = probes.shape[1]
    return size, (missed / jnp.sqrt(values))[..., :modes] @ probes.T


def _resolution(spectra: SectorSpectra) -> float:
    """Relative to the largest eigenvalue; what lies below is rounding."""
    return 10 * spectra.basis.eigenvalues.shape[-1] * np.finfo(np.float64).eps


def _kappa(ridge: float, spectra: SectorSpectra, num_samples: Any) -> float:
    """The scalar fixed point at a real ridge >= 0: the eigenvalue that N samples learn half."""
    eigenvalues = np.maximum(np.ravel(spectra.basis.eigenvalues), 0)
    kappa = ridge + np.sum(eigenvalues) / num_samples
    for _ in range(60):
        # It vanishes where there are fewer modes than samples and no ridge.
        kappa = ridge + np.sum(eigenvalues * kappa / (eigenvalues + kappa)) / num_samples if kappa > 0 else 0.0
    return float(kappa)


def _modes_needed(spectra: SectorSpectra, filter_: RationalFilter, num_samples: int) -> int:
    """Eigenfunctions per sector that are learnt noticeably at the pole nearest to 0, rounded up."""
    kappa = _kappa(float(np.min(np.abs(filter_.poles))), spectra, num_samples)
    needed = int(np.max(np.sum(np.asarray(spectra.basis.eigenvalues) > _LEARNT * kappa, axis=1)))
    steps = [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512]
    size = spectra.basis.eigenvalues.shape[1]
    if size <= _FEW_MODES:  # as fast with all of them, and one compilation
        return size
    return min(next(step for step in [*steps, size] if step >= min(needed, size)), size)


def _averaged_law(
    model: GenerativeModel,
    network: Any,
    training: TrainingRule,
    filter_: RationalFilter,
    num_samples: Any,
    probes: jax.Array,
    rays: LatentRays,
    spectra: SectorSpectra,
    modes: int,
    options: dict[str, Any],
    learnt_half: jax.Array | None = None,
) -> AveragedLaw:
    features = sector_features(model, network, rays, probes, modes, min(_INITIAL_MODES, modes), spectra)
    eigenvalues = _differentiable_eigenvalues(spectra, rays.mass)

    def at_one_setting(filter_: RationalFilter) -> AveragedLaw:
        def at_one_pole(s: jax.Array) -> Resolvent:
            start = scalar_kappa(s, eigenvalues, num_samples)
            # The local form's derivative is implicit: it does not depend on where the iteration starts.
            start = jax.lax.stop_gradient(start) if options["form"] == "local" else start
            return averaged_resolvent(s, start, rays, features, num_samples, options["form"])

        # One pole after another: batched LAPACK calls are not safe (numerics.eigh_each), and each stops when it converged.
        resolvents = jax.lax.map(at_one_pole, filter_.poles)
        return _law(filter_.residues, resolvents, rays, features, num_samples, options)

    batch = filter_.poles.shape[:-1]
    law = jax.lax.map(at_one_setting, filter_) if batch else at_one_setting(filter_)
    # Smaller eigenvalues are rounding; where they matter, infinite time is not yet reached.
    positive = jnp.where(eigenvalues > 1e-7 * jnp.max(eigenvalues), eigenvalues, jnp.max(eigenvalues))
    gains = training.filter(positive, num_samples)
    error = jnp.max(jnp.abs(filter_(positive) - gains) * positive, axis=-1)
    if learnt_half is None:
        return eqx.tree_at(lambda a: a.filter_error, law, error)
    size, missed = _target_missed(training, filter_, rays, spectra, features.probes[0], num_samples, learnt_half)
    # The random output at initialisation is forgotten to the filter's error.
    kept = options["random_init"] * error[..., None] ** 2 * jnp.sum(features.nngp_own, axis=0)
    errors = OutputError(missed[..., None, :], law.error.variance + kept)
    return eqx.tree_at(lambda a: (a.filter_error, a.error), law, (jnp.maximum(error, size), errors))


_jitted_law = eqx.filter_jit(_averaged_law)


def _differentiable_eigenvalues(spectra: SectorSpectra, mass: jax.Array) -> jax.Array:
    """Eigenvalues of both sectors, whose derivative is that of first-order perturbation theory."""
    columns = jnp.sqrt(mass)[:, None] * spectra.basis.vectors
    return jnp.sum(columns * (spectra.kernels.ntk @ columns), axis=-2).ravel()


def _law(
    residues: jax.Array,
    resolvents: Resolvent,
    rays: LatentRays,
    features: SectorFeatures,
    num_samples: Any,
    options: dict[str, Any],
) -> AveragedLaw:
    """Mean and variance from the K resolvents of one filter. Label D9.3."""
    weights, radius, targets = rays.weights, rays.radius, rays.targets
    inverse = resolvents.inverse_kappa  # (K, rays, radii)
    density = jnp.sum(weights * radius**2 * inverse, axis=-1)  # (K, rays)
    source = jnp.sum(weights * radius * targets * inverse, axis=-1)

    # Mean: odd sector only. Coordinates (K, modes), and values f_k on the rays.
    coordinates = jnp.einsum("kmg,kg->km", resolvents.solution[:, 0], source)
    mean = features.probes[0] @ (residues @ coordinates).real
    fitted = coordinates @ features.rays[0].T

    noise = 1 - targets**2
    noise += options["uniform_noise"] * (jnp.sum(weights * noise) - noise)

    # Influence of a training point at node (g, j), in coordinates of each sector: the label's and the residual's part.
    label_part = residues[:, None, None] * radius * inverse
    residual_part = label_part * (targets - radius * fitted[:, :, None])
    by_label = _contract(resolvents.solution, label_part)
    by_residual = _contract(resolvents.solution, residual_part)
    odd_average = jnp.sum(weights * by_residual[0], axis=(1, 2))
    even_average = jnp.sum(weights * (noise * by_label[1] + targets * by_residual[1]), axis=(1, 2))
    averages = jnp.stack([odd_average, even_average * options["balanced"]])

    covariance = _second_moment(by_residual, weights) - averages[:, :, None] * averages[:, None, :]
    initial_part = _initial_influence(residues, density, resolvents, rays, features, options["balanced"])
    covariance += options["random_init"] * initial_part
    initial_variance = options["random_init"] * _remaining_variance(residues, density, resolvents.solution, features)

    def with_noise(extra: jax.Array) -> jax.Array:
        return covariance + _second_moment(by_label, weights * (noise + extra))

    def spread(matrices: jax.Array, points: jax.Array) -> jax.Array:
        return jnp.maximum(jnp.sum((points @ matrices) * points, axis=(0, 2)), 0) / num_samples

    # Feedback: Var f at a node is radius^2 v on its ray, v = v_0 + B v, B the mean squared influence of one ray on another.
    # Each pass multiplies the change by B, below 1: a geometric series.
    moved = jnp.sum((features.rays @ by_label.reshape(*by_label.shape[:2], -1)) ** 2, axis=0).reshape(-1, *noise.shape)
    passed = jnp.sum(weights * radius**2 * moved, axis=2) / num_samples
    first = spread(with_noise(jnp.zeros_like(noise)), features.rays)
    variance = jax.lax.fori_loop(0, _FEEDBACK_PASSES, lambda _, v: first + passed @ v, first)
    extra = options["feedback"] * variance[:, None] * radius**2
    matrices = with_noise(extra)
    data_variance = spread(matrices, features.probes)
    return AveragedLaw(
        mean=mean,
        variance=initial_variance + data_variance,
        data_variance=data_variance,
        error=OutputError(
            jnp.zeros_like(mean)[None],
            16 * np.finfo(np.float64).eps * options["random_init"] * jnp.sum(features.nngp_own, axis=0),
        ),
        residual=jnp.max(resolvents.residual),
        margin=jnp.min(resolvents.margin),
        iterations=jnp.max(resolvents.iterations),
        filter_error=jnp.zeros(()),
        nngp_dropped=jnp.max(features.nngp_dropped),
    )


def _contract(solution: jax.Array, parts: jax.Array) -> jax.Array:
    """Re sum_k solution[k, sector, m, g] parts[k, g, j], as real products: (sector, modes, rays, radii)."""
    left = jnp.concatenate([solution.real, -solution.imag])
    right = jnp.concatenate([parts.real, parts.imag])
    return jnp.einsum("kamg,kgj->amgj", left, right)


def _second_moment(vectors: jax.Array, weights: jax.Array) -> jax.Array:
    flat = vectors.reshape(*vectors.shape[:2], -1)
    return (flat * weights.reshape(-1)) @ jnp.swapaxes(flat, 1, 2)


def _remaining_variance(residues: jax.Array, density: jax.Array, solution: jax.Array, f: SectorFeatures) -> jax.Array:
    """Variance at the probes of (1 - W) f_0, W the mean linear map from targets to outputs."""
    fitted = f.probes @ jnp.einsum("k,kamg,kg->amg", residues, solution, density).real
    change = jnp.sum((fitted @ f.nngp_rays - 2 * f.nngp_cross) * fitted, axis=2)
    return jnp.maximum(jnp.sum(f.nngp_own + change, axis=0), 0)


def _initial_influence(
    residues: jax.Array,
    density: jax.Array,
    resolvents: Resolvent,
    rays: LatentRays,
    features: SectorFeatures,
    balanced: jax.Array,
) -> jax.Array:
    """Second moment of the influence when the targets are eigenfunctions of the random output at initialisation."""
    part = residues[:, None, None] * rays.radius**2 * resolvents.inverse_kappa
    coordinates = jnp.einsum("kamg,kg,agq->kamq", resolvents.solution, density, features.nngp_factor)
    left_over = features.nngp_factor - features.rays @ coordinates  # (K, target sector, rays, targets)
    # The influence of a point at node (g, j) for target q, contracted over the resolvents only after the second moment is
    # taken over j and q: 2 K columns per ray instead of radii x targets.
    change = part[:, None, :, None, :] * left_over[..., None]
    change = jnp.concatenate([change.real, change.imag])  # (2 K, target sector, rays, targets, radii)
    solution = jnp.concatenate([resolvents.solution.real, -resolvents.solution.imag])  # (2 K, sector, modes, rays)
    moments = jnp.einsum("kbgqj,lbgqj,gj->gkl", change, change, rays.weights)
    mixed = jnp.einsum("kamg,gkl->amgl", solution, moments)
    second = jnp.einsum("amgl,lang->amn", mixed, solution)
    # An odd target moves the two classes' averages of the odd output together and of the even one apart.
    together = jnp.einsum("kbgqj,gj->kbgq", change, rays.weights)
    apart = jnp.einsum("kbgqj,gj->kbgq", change, rays.weights * rays.targets * balanced)
    same = jnp.eye(2)[:, :, None, None]  # (sector, target sector)
    average = sum(
        jnp.einsum("kamg,kbgq->abmq", solution, part) * weight for part, weight in ((together, same), (apart, 1 - same))
    )
    return second - jnp.einsum("abmq,abnq->amn", average, average)
