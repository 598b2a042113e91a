"""The limit of infinite width where features move: an extrapolation of population flows in the width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import at, axes_of
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods import PopulationFlow
from ntk_shortcuts.metrics.shortcut_bias import ShortcutBias
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.arrays import coordinate, table, variable
from ntk_shortcuts.results.base import Result, origin_of
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Float, Key
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class WidthLimit(Result):
    """Biases of networks of W widths and what they tend to, at the times (*T) of a training rule.

    - `value`, `error` (*T): the limit and its error, the statistical one and that of the extrapolation together.
    - `widths` (W,); `bias`, `standard_error` (W, *T): of each width, over initialisations.
    """

    value: Float[np.ndarray, "*times"]
    error: Float[np.ndarray, "*times"]
    widths: tuple[int, ...] = eqx.field(static=True)
    bias: Float[np.ndarray, "widths *times"]
    standard_error: Float[np.ndarray, "widths *times"]
    times: Float[np.ndarray, "*times"] | None = None

    def plot(self, ax: Any = None) -> Figure:
        """Biases over the width, with their standard errors, and their limit at the right end.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.numbers import number_label, plot_numbers

        biases, errors = (np.reshape(values, (len(self.widths), -1)).T for values in (self.bias, self.standard_error))
        times = [""] if self.times is None else [f"t = {time:g}, " for time in self.times]
        limits = zip(times, np.ravel(self.value), np.ravel(self.error), strict=True)
        labels = [f"{time}limit {value:.3f} ± {error:.3f}" for time, value, error in limits]
        numbers, bars = (dict(zip(labels, rows, strict=True)) for rows in (biases, errors))
        return plot_numbers(numbers, ("width", np.asarray(self.widths)), number_label("bias"), bars, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Limits, and biases over the dimension `width`; at several times over `time` too."""
        times = ("time",) * np.ndim(self.value)
        variables = {
            "value": variable(times, self.value, "bias of infinitely wide networks"),
            "error": variable(times, self.error, "error of the limit"),
            "bias": variable(("width", *times), self.bias, "shortcut bias"),
            "standard_error": variable(("width", *times), self.standard_error, "standard error over initialisations"),
        }
        along = {"width": self.widths, **({} if self.times is None else {"time": self.times})}
        return table(variables, {name: coordinate(name, at) for name, at in along.items()}, self.origin)


def infinite_width_limit(
    model: Any,
    network: Any,
    training: TrainingRule,
    *,
    key: Key,
    widths: Sequence[int] = (32, 64, 128),
    num_inits: int = 16,
    **options: Any,
) -> WidthLimit:
    r"""The bias of infinitely wide networks whose features move, by population flows of some widths.

    In the mean-field parameterisation at fixed richness \(b(n)=b_\infty+a/n+O(1/n^2)\). With \(n_1<n_2\) the two largest
    widths,

    \[b_\infty\approx\frac{n_2b(n_2)-n_1b(n_1)}{n_2-n_1},\]

    initialisation by initialisation, so that what all widths share, the directions of the features, is not amplified. The
    error is the root of two squares: the standard error over initialisations, and the distance from the extrapolation of one
    order more through three widths, or, of two widths, from the larger one.

    Args:
        model: a `GenerativeModel`.
        network: an `MLP`, whose own width is not used; in the NTK parameterisation the limit is the frozen kernel.
        training: `GradientFlow` or `GradientDescent`, finite in time.
        key: `jax.random` key.
        widths: two or three, increasing, in whole multiples for the best of the error.
        num_inits: initialisations of each width, at least 2.
        **options: of :class:`~ntk_shortcuts.PopulationFlow`. At a richness far below 1 weights are large and move little: a
            smaller `step_tolerance` is needed.

    Raises:
        ValueError: widths that are not two or three increasing integers, a network without the axis `width`, options
            economical or mirrored, and as method="population_flow".

    Label D15.1.

    Example:
        >>> import jax
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow
        >>> network = MLP(1, parameterization="mean_field", richness=1.0)
        >>> model, flow = GenerativeModel(amplification=(4.0, 1.0)), GradientFlow([1.0, 10.0])
        >>> limit = infinite_width_limit(model, network, flow, key=jax.random.key(0), num_inits=8)  # doctest: +SKIP
        >>> limit.value.shape, limit.bias.shape  # doctest: +SKIP
        ((2,), (3, 2))
    """
    widths = tuple(require_integer("widths", width, 1, "two or three increasing integers") for width in widths)
    require(
        len(widths) in (2, 3) and widths == tuple(sorted(set(widths))), "widths", "two or three increasing integers", widths
    )
    require("width" in axes_of(network), "network", "one with a width, such as an MLP", network)
    require_integer("num_inits", num_inits, 2)
    flow = PopulationFlow(key=key, num_inits=num_inits, **options)
    independent = not (flow.economical or flow.mirrored)
    require(independent, "options", "none of economical and mirrored: errors are over independent networks", sorted(options))
    biases = np.stack([_biases(model, at(network, {"width": width}), training, flow) for width in widths])  # (W, I, *T)
    limit = np.tensordot(_weights(widths[-2:]), biases[-2:], 1)
    beside = np.tensordot(_weights(widths), biases, 1) if len(widths) == 3 else biases[-1]
    root = np.sqrt(num_inits)
    error = np.hypot(limit.std(axis=0, ddof=1) / root, np.abs(limit.mean(axis=0) - beside.mean(axis=0)))
    origin = origin_of({"model": model, "network": network, "training": training, "method": flow}, widths=widths)
    spread = biases.std(axis=1, ddof=1) / root
    times = np.asarray(training.coordinates["time"]) if training.batch_shape else None
    return WidthLimit(limit.mean(axis=0), error, widths, biases.mean(axis=1), spread, times, origin=origin)


@in_float64
def _biases(model: Any, network: Any, training: TrainingRule, flow: PopulationFlow) -> np.ndarray:
    """Of every initialisation at every time, (I, *T)."""
    kernel = LawKernel(model, network)
    points = kernel.law.test_points()
    outputs = flow(kernel, training, None, points)
    return np.asarray(ShortcutBias().of_signs(jnp.asarray(outputs.signs(points)), points))


def _weights(widths: Sequence[int]) -> np.ndarray:
    """Of values at the widths, whose sum is that of the polynomial in 1/n through them at 0."""
    x = 1 / np.asarray(widths, float)
    return np.array([np.prod(np.delete(x, i) / (np.delete(x, i) - x[i])) for i in range(len(x))])
