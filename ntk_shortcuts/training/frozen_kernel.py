"""Outputs of a network whose kernel stays where it was at initialisation, trained on weighted points.

A data set is N points of weight 1/N; the data law is quadrature nodes with their weights. Both give the same formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.recursion import Kernels
from ntk_shortcuts.outputs import OutputError
from ntk_shortcuts.padding import out_of_batch
from ntk_shortcuts.results.arrays import coordinate, table, variable
from ntk_shortcuts.results.base import Result
from ntk_shortcuts.training.rounding import error_directions, mean_rounding, variance_rounding
from ntk_shortcuts.training.rules import SpectralFilter
from ntk_shortcuts.training.spectral import SpectralDiagnostics, Spectrum, apply_filter, filtered, last_gain
from ntk_shortcuts.typing import AnyArray, Array, Float, Scalar

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class OutputLaw(Result):
    """Gaussian law of the outputs over initialisations: mean (*batch, probes), and covariance or variance (None without).

    Of k outputs mean and variance are (*batch, probes, k); they are independent, and of one covariance.

    `error`: what rounding makes of both.
    """

    mean: Float[AnyArray, "*batch"]
    variance: Float[AnyArray, "*batch"] | None
    spectrum: SpectralDiagnostics
    error: OutputError | None = None

    @property
    def std(self) -> Any:
        """Standard deviation of each output, shaped like the mean; None without a variance."""
        if self.variance is None:
            return None
        if not self._has_covariance:
            return np.sqrt(self.variance)
        own = np.sqrt(np.diagonal(self.variance, axis1=-2, axis2=-1))
        return own if own.shape == np.shape(self.mean) else np.broadcast_to(own[..., None], np.shape(self.mean))

    def numbers(self) -> dict[str, Any]:
        """How many points there are, and the range of their outputs."""
        found = {"points": np.shape(self.mean)[len(self._settings)]}
        read = {"mean": self.mean, **({} if self.variance is None else {"std": self.std})}
        return {**found, **{f"{name}, range": np.array([np.min(values), np.max(values)]) for name, values in read.items()}}

    def plot(self, ax: Any = None) -> Figure:
        """Means at the points with one standard deviation around them, in matplotlib axes `ax` where they are given."""
        from ntk_shortcuts.plotting.outputs import plot_outputs

        # Points last, and one row for each setting of the rule and each output.
        mean, std = (None if v is None else np.moveaxis(np.asarray(v), len(self._settings), -1) for v in (self.mean, self.std))
        mean, std = (None if v is None else v.reshape(-1, v.shape[-1]) for v in (mean, std))
        return plot_outputs(mean, std, ax=ax)

    def to_xarray(self) -> xarray.Dataset:
        """Mean and variance over the dimension `probe`, for several settings of the rule after those, of k outputs before
        `output`."""
        batch = tuple(self._settings)
        over = (*batch, "probe", *("output",) * (np.ndim(self.mean) - len(batch) - 1))
        variables = {"mean": variable(over, self.mean, "mean output")}
        if self.variance is not None:
            own = (*batch, "probe", "other_probe") if self._has_covariance else over
            variables["variance"] = variable(own, self.variance, "covariance" if self._has_covariance else "variance")
        return table(variables, {name: coordinate(name, at) for name, at in self._settings.items()}, self.origin)

    @property
    def _settings(self) -> dict[str, Any]:
        """What tells the settings of the rule apart."""
        rule = self.origin.specs.get("training")
        return {} if rule is None else rule.coordinates

    @property
    def _has_covariance(self) -> bool:
        return bool(self.origin.numbers.get("full_covariance", False))

    def of_batch(self, shape: tuple[int, ...]) -> OutputLaw:
        """The law of a rule's batch, () or (T,), where it was computed of a filled one."""
        mean, variance, error = out_of_batch(shape, (self.mean, self.variance, self.error))
        return OutputLaw(mean, variance, self.spectrum, error)


class Applied(NamedTuple):
    """Columns (m, p) as training leaves them, what it did to the spectrum, and g at the smallest eigenvalue kept."""

    columns: Float[Array, "*batch m p"]
    spectrum: SpectralDiagnostics
    last_gain: Float[Array, "*batch"]


Training = Callable[[jax.Array], Applied]

# Modes so near to those that are left out say how much these would matter.
_NEAR = 100


class FrozenKernel(eqx.Module):
    """A network's kernels on m weighted training points and at the probes.

    - `train`: between the training points. `cross`: between the probes and these, (probes, m).
    - `prior`: NNGP of the probes: (probes, probes) for the covariance, (probes,) for its diagonal, None for the mean only.
    - `weights`: of the training points: 1/N each for a data set.
    """

    train: Kernels
    cross: Kernels
    prior: AnyArray | None
    weights: Float[Array, "m"]

    @property
    def matrix(self) -> Float[Array, "m m"]:
        r"""\(S=\sqrt w\,\Theta\sqrt w\), which training is a function of."""
        root = jnp.sqrt(self.weights)
        return root[:, None] * self.train.ntk * root[None, :]

    def under(self, rule: SpectralFilter, num_samples: Scalar | None) -> Training:
        """Training by a rule, with derivatives."""
        matrix = self.matrix

        def training(columns: jax.Array) -> Applied:
            trained, spectrum = apply_filter(matrix, columns, rule, num_samples=num_samples)
            return Applied(trained, spectrum, last_gain(rule, spectrum, num_samples))

        return training

    def outputs(self, targets: Float[Array, "m *outputs"], training: Training) -> OutputLaw:
        r"""Mean and (co)variance after training, of targets (m,), or (m, k) of k outputs; see :func:`trained_outputs`."""
        if targets.ndim == 2:
            return self._several_outputs(targets, training)
        train, cross, prior, root = self.train, self.cross, self.prior, jnp.sqrt(self.weights)
        target, rows = root * targets, cross.ntk * root[None, :]
        columns = jnp.concatenate([target[:, None], error_directions(len(target), target.dtype)], axis=1)
        known = columns.shape[1]
        if prior is not None:
            columns = jnp.concatenate([columns, rows.T], axis=1)
        trained, spectrum, last = training(columns)
        dual = trained[..., 0]
        mean = jnp.einsum("pm,...m->...p", rows, dual)
        error = mean_rounding(spectrum, last, target, rows, dual, trained[..., 1:known])
        if prior is None:
            return OutputLaw(mean, None, spectrum, OutputError(error, jnp.zeros_like(mean)))
        prior = jnp.asarray(prior)
        weighted = root[:, None] * train.nngp * root[None, :]
        operator = jnp.swapaxes(trained[..., known:], -1, -2)
        own = prior if prior.ndim == 1 else jnp.diagonal(prior)
        errors = OutputError(error, variance_rounding(own, weighted, operator))
        operator = operator * root
        if prior.ndim == 2:
            mixed = jnp.einsum("...pm,qm->...pq", operator, cross.nngp)
            spread = prior + operator @ train.nngp @ jnp.swapaxes(operator, -1, -2) - mixed - jnp.swapaxes(mixed, -1, -2)
            return OutputLaw(mean, _covariance(spread), spectrum, errors)
        mixed = jnp.einsum("...pm,pm->...p", operator, cross.nngp)
        spread = prior + jnp.einsum("...pm,...pm->...p", operator @ train.nngp, operator) - 2 * mixed
        return OutputLaw(mean, jnp.maximum(spread, 0), spectrum, errors)

    def _several_outputs(self, targets: Float[Array, "m k"], training: Training) -> OutputLaw:
        """Each output on its own: they are independent over initialisations, and of one variance."""

        def of_one(target: jax.Array) -> tuple[AnyArray, AnyArray | None, SpectralDiagnostics]:
            law = self.outputs(target, training)
            return law.mean, law.variance, law.spectrum

        mean, variance, spectrum = jax.vmap(of_one, in_axes=1, out_axes=(-1, 0, 0))(targets)
        variance = None if variance is None else variance[0]
        if variance is not None and self.prior is not None and self.prior.ndim == 1:
            variance = jnp.broadcast_to(variance[..., None], mean.shape)
        return OutputLaw(mean, variance, jax.tree.map(jnp.max, spectrum))

    def continued(
        self, remaining: Float[Array, "m inits"], training: Training, at_probes: Float[Array, "inits probes"]
    ) -> OutputLaw:
        r"""Outputs after training of networks whose own initial output is known: \(f(x)=f_0(x)+A\,(y-f_0(X))\), no variance.

        Args:
            remaining: y - f_0 at the training points, a column for each network.
            at_probes: f_0 at the probes, a row for each.

        Returns:
            OutputLaw with `mean` (*batch, inits, probes) and variance None.
        """
        root = jnp.sqrt(self.weights)
        rows, remaining = self.cross.ntk * root[None, :], root[:, None] * remaining
        count = remaining.shape[1]
        columns = jnp.concatenate([remaining, error_directions(len(root), root.dtype)], axis=1)
        trained, spectrum, last = training(columns)
        duals, directions = jnp.swapaxes(trained[..., :count], -1, -2), trained[..., count:]
        mean = at_probes + jnp.einsum("pm,...im->...ip", rows, duals)
        error = mean_rounding(spectrum, last, remaining.T, rows, duals, directions)
        return OutputLaw(mean, None, spectrum, OutputError(error, jnp.zeros_like(mean)))


def from_gains(spectrum: Spectrum, gains: Float[Array, "*batch m"]) -> Training:
    """Training by g at the eigenvalues of :attr:`FrozenKernel.matrix`, whatever rule that is of."""
    return lambda columns: Applied(*filtered(spectrum, gains, columns), gains[..., jnp.argmax(spectrum.kept)])


def unresolved_part(
    kernel: FrozenKernel, targets: Float[Array, "m"], spectrum: Spectrum, gains: Float[Array, "*batch m"]
) -> Float[Array, "*batch probes"]:
    r"""What the modes that are left out would add to the mean, estimated: what the last ones kept do. Label D4.7.

    \[k(x)^T\sqrt w\sum_{\lambda_0\leq\lambda_i<100\lambda_0}g(\lambda_i)\,v_iv_i^T\sqrt w\,y,\qquad
      \lambda_0=M\epsilon\lambda_{\max},\]

    if the spectrum reaches down to the cut, with eigenvalues in the two decades above these as well. Below a gap there is
    nothing: a linear network's kernel has no more modes than inputs have directions. The part is large for smooth kernels at
    infinite time, at points that the data hardly reach.
    """
    eigenvalues, root = spectrum.eigenvalues, jnp.sqrt(kernel.weights)
    resolution = len(eigenvalues) * jnp.finfo(eigenvalues.dtype).eps * eigenvalues[-1]
    above = eigenvalues / (_NEAR * resolution)
    reaches = jnp.any((above >= 1) & (above < _NEAR))
    last = jnp.where(reaches & (above < 1), gains, 0) * (spectrum.vectors.T @ (root * targets))
    return (last @ spectrum.vectors.T) @ (kernel.cross.ntk * root).T


def trained_outputs(
    train: Kernels,
    cross: Kernels,
    prior: AnyArray | None,
    weights: Float[Array, "m"],
    targets: Float[Array, "m *outputs"],
    rule: SpectralFilter,
    num_samples: Scalar | None,
) -> OutputLaw:
    r"""Mean and (co)variance after training, over random initialisations. Label D4.4.

    With \(S=\sqrt w\,\Theta\sqrt w\) and \(A=\Theta(x,X)\sqrt w\,g(S)\sqrt w\):

    \[m(x)=A\,y,\qquad \mathrm{cov}(x,x')=K(x,x')+A\,K(X,X)A'^T-A\,K(X,x')-K(x,X)A'^T.\]

    Args:
        train, cross, prior, weights: as :class:`FrozenKernel`.
        targets: (m,), or (m, k) of k outputs.

    Source: Lee et al. (2019), equations 14 to 16, in the convention of the loss 1/(2N).
    """
    kernel = FrozenKernel(train, cross, prior, weights)
    return kernel.outputs(targets, kernel.under(rule, num_samples))


def _covariance(spread: Float[Array, "*batch p p"]) -> Float[Array, "*batch p p"]:
    """Symmetric, with no negative variance: where the outputs are certain, rounding leaves less than nothing."""
    spread = (spread + jnp.swapaxes(spread, -1, -2)) / 2
    below = jnp.minimum(jnp.diagonal(spread, axis1=-2, axis2=-1), 0)
    return spread - below[..., None] * jnp.eye(spread.shape[-1], dtype=spread.dtype)  # which lowers no eigenvalue
