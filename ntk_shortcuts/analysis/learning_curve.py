r"""Learning curves: a number against the size of a data set, and the power law by which it tends to its limit. Label D14.4."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.entry import predict
from ntk_shortcuts.laws.base import Law
from ntk_shortcuts.methods import Method, method_options
from ntk_shortcuts.methods.average.deterministic_equivalent import scalar_kappa
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.prediction import Prediction, labelled
from ntk_shortcuts.training.rules import TrainingRule, require_rule
from ntk_shortcuts.typing import AnyArray, Float, Int, Scalar
from ntk_shortcuts.validation import require, require_integer, require_values

# Options that say where and what is predicted, which infinite data takes too.
_SHARED = ("random_init", "tolerance", "loss", "probes", "test", "cache", "check_laziness")
# A distance of less than this many errors of its ends says nothing of a power law.
_RESOLVED = 3.0


class LearningCurve(eqx.Module):
    r"""Values at each N, and the power law \(|v(N)-v(\infty)|\propto N^{-a}\).

    - `num_samples` (n,); `values` (n, *axes); `limit` (*axes): at infinite data.
    - `exponent`, `exponent_error` (*axes): a and its standard error, by least squares in the logarithms; NaN with less than
      three distances that are resolved, of more than three times what is known to be wrong with their ends.
    - `theory`: the exponent that theory has; None where it has none.
    - `axes`: names and coordinates of the axes, of groups or shortcuts.
    """

    num_samples: Int[np.ndarray, "n"]
    values: Float[np.ndarray, "n *axes"]
    limit: Float[np.ndarray, "*axes"]
    exponent: Float[np.ndarray, "*axes"]
    exponent_error: Float[np.ndarray, "*axes"]
    theory: float | None
    axes: dict[str, list] = eqx.field(static=True)

    def table(self) -> Any:
        """The values as an `xarray.DataArray`, dims (num_samples, *axes)."""
        return labelled(self.values, self.axes, {"num_samples": self.num_samples})


def learning_curve(
    law: Law,
    network: Any,
    training: TrainingRule,
    num_samples: Sequence[int],
    read: str | Callable[[Prediction], Any] = "value",
    method: str | Method = "dataset_averaged",
    **options: Any,
) -> LearningCurve:
    r"""Predict a number at several N, and fit the power law by which it tends to that of infinite data.

    At a fixed time or ridge theory has a = 1: the averaged resolvent and the variance over data sets both tend to those of
    infinite data like 1/N once N is above the modes that are learnt. Label D14.4.

    Args:
        law: any law; of a `Pool` infinite data are its samples with their weights.
        network: as in :func:`ntk_shortcuts.predict`, and so is `training`, one rule without arrays.
        num_samples: N, at least two, ascending.
        read: which number: the name of one of the prediction ("value", the law's own metric: of two features the reliance;
            "bias", "group_accuracy", "worst_group_accuracy", "balanced_error"), or a function of the prediction.
        method: one that takes `num_samples`.
        **options: of the method, and those of :func:`ntk_shortcuts.predict`.

    Raises:
        ValueError: N that are not ascending integers, a rule with arrays; the rest as :func:`ntk_shortcuts.predict`.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow
        >>> model, rule = GenerativeModel(amplification=(4.0, 1.0)), GradientFlow(30.0)
        >>> curve = learning_curve(model, MLP(0), rule, [100, 200, 400, 800], read="bias")
        >>> bool(abs(curve.exponent - 1) < 0.1), curve.theory
        (True, 1.0)
    """
    require_rule(training)
    require(training.batch_shape == (), "training", "a rule with scalar parameters", training)
    counts = _checked_counts(num_samples)
    found = [predict(law, network, training, num_samples=int(count), method=method, **options) for count in counts]
    accepted = method_options("population")
    shared = {name: value for name, value in options.items() if name in _SHARED}
    given = method_options(method) if isinstance(method, Method) else {}
    shared |= {name: given[name] for name in accepted if name in _SHARED and name in given and name not in options}
    infinite = predict(law, network, training, method="population", **shared)
    numbers = [_number(prediction, read) for prediction in [*found, infinite]]
    values, limit = np.stack([number for number, _ in numbers[:-1]]), numbers[-1][0]
    wrong = np.array([_error(prediction) for prediction in found]) + _error(infinite)
    exponent, error = fitted_exponent(counts, values - limit, wrong)
    return LearningCurve(counts, values, limit, exponent, error, 1.0, numbers[-1][1])


@in_float64
def spectral_learning_curve(
    eigenvalues: Float[AnyArray, "modes"],
    coefficients: Float[AnyArray, "modes"],
    num_samples: Sequence[int],
    ridge: Scalar = 0.0,
    noise: Scalar = 0.0,
) -> LearningCurve:
    r"""Mean squared test error of kernel regression from a kernel's spectrum and the target's coefficients.

    \[E(N)=\frac{\sum_i(1-L_i)^2c_i^2+\sigma^2\sum_iL_i^2/N}{1-\sum_iL_i^2/N},\quad L_i=\frac{\lambda_i}{\lambda_i+\kappa},\quad
      \sum_iL_i+\frac{\delta}{\kappa}=N.\]

    For \(\lambda_i\propto i^{-\alpha}\), \(c_i^2\propto i^{-\beta}\), without ridge and noise, \(\kappa\propto N^{-\alpha}\)
    and \(E\propto N^{-a}\), \(a=\min(2\alpha,\beta-1)\), which is `theory`, from the decays between the smallest N and the
    largest; with a ridge or noise there is none. Label D14.4.

    Args:
        eigenvalues: of the kernel as an operator, > 0, descending, as of `kernel_spectrum`.
        coefficients: c of the target along the eigenfunctions.
        num_samples: N, at least two, ascending; below the number of modes without a ridge.
        ridge: delta, added to the kernel's matrix (`Ridge(strength)` adds it likewise).
        noise: variance of the labels beside the target.

    Raises:
        ValueError: eigenvalues that are not positive and descending, another number of coefficients, N out of range.

    Source: Simon et al. (2021), Canatar et al. (2021); the exponent: Bordelon, Canatar & Pehlevan (2020).

    Example:
        >>> i = np.arange(1.0, 20_001.0)
        >>> curve = spectral_learning_curve(i**-1.5, i**-1.1, [50, 100, 200, 400])
        >>> round(curve.theory, 1), bool(abs(curve.exponent - 1.2) < 0.05)
        (1.2, True)
    """
    eigenvalues, coefficients = np.asarray(eigenvalues, float), np.asarray(coefficients, float)
    require(eigenvalues.ndim == 1 and len(eigenvalues) >= 2, "eigenvalues", "an array (modes,)", eigenvalues)
    falling = bool(np.all(eigenvalues > 0) and np.all(np.diff(eigenvalues) <= 0))
    require(falling, "eigenvalues", "positive and descending", eigenvalues)
    require_values("coefficients", coefficients, eigenvalues.shape, "finite", np.isfinite)
    for name, value in (("ridge", ridge), ("noise", noise)):
        require_values(name, value, (), ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
    counts = _checked_counts(num_samples)
    least = float(ridge) > 0 or counts[-1] < len(eigenvalues)
    require(least, "num_samples", f"below {len(eigenvalues)}, the number of modes, without a ridge", counts[-1])
    values = np.array([_test_error(eigenvalues, coefficients**2, int(count), float(ridge), float(noise)) for count in counts])
    theory = None
    if float(ridge) == 0 and float(noise) == 0:
        between = slice(counts[0] - 1, counts[-1])
        alpha, beta = (_decay(part, between) for part in (eigenvalues, coefficients**2))
        theory = min(2 * alpha, beta - 1)
    exponent, error = fitted_exponent(counts, values, np.zeros(len(counts)))
    return LearningCurve(counts, values, np.asarray(0.0), exponent, error, theory, {})


def fitted_exponent(
    counts: Int[np.ndarray, "n"], distances: Float[np.ndarray, "n *axes"], wrong: Float[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "*axes"], Float[np.ndarray, "*axes"]]:
    """Exponents of a power law in N, and their standard errors: least squares in the logarithms of resolved distances.

    Args:
        wrong: errors that the distances are known to have; those of less than three of them are left out.
    """
    flat = np.abs(distances).reshape(len(counts), -1)
    found = np.full((2, flat.shape[1]), np.nan)
    for column, distance in enumerate(flat.T):
        kept = (distance > _RESOLVED * wrong) & (distance > 0)
        if kept.sum() >= 3:
            x, y = np.log(counts[kept]), np.log(distance[kept])
            x = x - x.mean()
            slope = x @ y / (x @ x)
            left = y - y.mean() - slope * x
            found[:, column] = -slope, np.sqrt(left @ left / (kept.sum() - 2) / (x @ x))
    exponent, error = found
    return exponent.reshape(distances.shape[1:]), error.reshape(distances.shape[1:])


def _test_error(eigenvalues: np.ndarray, power: np.ndarray, count: int, ridge: float, noise: float) -> float:
    """The fixed point; the ridge over N is its pole."""
    kappa = np.real(scalar_kappa(jnp.asarray(-ridge / count + 0j), jnp.asarray(eigenvalues), float(count)))
    learnt = eigenvalues / (eigenvalues + float(kappa))
    overfitting = np.sum(learnt**2) / count
    return float((power @ (1 - learnt) ** 2 + noise * overfitting) / (1 - overfitting))


def _decay(numbers: np.ndarray, between: slice) -> float:
    """Exponent of the decay of what lies from each index on, so that single zeros do not matter, less the sum's own 1."""
    rest = np.cumsum(numbers[::-1])[::-1][between]
    index = np.log(np.arange(1.0, len(numbers) + 1)[between])
    kept = rest > 0
    return float(1 - np.polyfit(index[kept], np.log(rest[kept]), 1)[0])


def _checked_counts(num_samples: Any) -> Int[np.ndarray, "n"]:
    counts = [require_integer("num_samples", count, 2) for count in np.ravel(num_samples).tolist()]
    ascending = len(counts) >= 2 and all(first < second for first, second in itertools.pairwise(counts))
    require(ascending, "num_samples", "at least two numbers, ascending", counts)
    return np.array(counts)


def _number(prediction: Prediction, read: str | Callable[[Prediction], Any]) -> tuple[np.ndarray, dict[str, list]]:
    """What is read, and the names and coordinates of its axes."""
    found = getattr(prediction, read) if isinstance(read, str) else read(prediction)
    import xarray

    named = isinstance(found, xarray.DataArray)
    return np.asarray(found, float), {str(name): found[name].values.tolist() for name in found.dims} if named else {}


def _error(prediction: Prediction) -> float:
    """What is known to be wrong with the number that nodes are refined for."""
    names = ("discretization_error", "rounding_error", "bias_standard_error")
    sizes = [prediction.diagnostics.get(name, 0.0) for name in names]
    return float(np.sum([size for size in sizes if np.isfinite(size)]))
