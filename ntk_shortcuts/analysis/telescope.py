"""Predictions with a finite network's own kernel: linearised at one point of training, and re-linearised along its path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import give
from ntk_shortcuts.kernels.empirical import empirical_ntk
from ntk_shortcuts.laws.base import require_two_features
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.given import given_data
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.metrics.shortcut_bias import shortcut_bias
from ntk_shortcuts.networks.base import require_finite_network
from ntk_shortcuts.networks.fully_connected import Parameters
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.numerics import compiled, in_float64
from ntk_shortcuts.results.arrays import coordinate, latent_coordinates, table, variable
from ntk_shortcuts.results.base import Result, origin_of
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.training.spectral import apply_filter
from ntk_shortcuts.typing import AnyArray, Array, Float, Key, Latents
from ntk_shortcuts.validation import as_points, as_targets, require, require_integer, required

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Telescope(Result):
    r"""One network in training, what its kernels predict for it, and how far they move.

    S numbers of segments, T + 1 steps, the first of them 0.

    - `segments` (S,): how many times the kernel is evaluated; 1 is the frozen kernel at initialisation.
    - `steps`, `times` (T + 1,): steps of gradient descent, and learning rate x steps.
    - `trained` (T + 1, probes): outputs of the trained network; `telescoped` (S, T + 1, probes): the predictions.
    - `trained_bias` (T + 1,), `telescoped_bias` (S, T + 1): their shortcut biases.
    - `kernel_change` (T + 1,): \(|\Theta_t-\Theta_0|_F/|\Theta_0|_F\) on the training inputs.
    - `kernel_alignment` (T + 1,): \(\langle\Theta_t,\Theta_0\rangle/(|\Theta_t||\Theta_0|)\), 1 where only its size changes.
    - `target_alignment` (T + 1,): \(y^T\Theta_ty/(|\Theta_t|_F|y|^2)\).
    - `params`: parameters at each step, leaves (T + 1, ...); `inputs` (N, .), `probe_inputs` (probes, .): what they act on. On
      the plane where the inputs are known to lie in it (:mod:`ntk_shortcuts.laws.two_features.plane`).
    - `dataset`, `probes` (probes, 2).
    """

    sources: ClassVar[tuple[str, ...]] = ("jeffares2024deep",)

    segments: np.ndarray
    steps: np.ndarray
    times: np.ndarray
    trained: Float[Array, "steps probes"]
    telescoped: Float[Array, "segments steps probes"]
    trained_bias: np.ndarray
    telescoped_bias: np.ndarray
    kernel_change: np.ndarray
    kernel_alignment: np.ndarray
    target_alignment: np.ndarray
    params: Parameters
    inputs: Float[Array, "n plane"]
    probe_inputs: Float[Array, "probes plane"]
    dataset: Dataset
    probes: Float[AnyArray, "probes 2"]

    def plot(self, ax: Any = None) -> Figure:
        """Bias over time, trained and telescoped, above the movement of the kernel.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.telescope import plot_telescope

        return plot_telescope({"": self}, ax=ax)

    def to_xarray(self) -> xarray.Dataset:
        """Outputs, biases and the kernel's movement over the dimensions `time`, `segments` and `probe`."""
        variables = {
            "trained": variable(("time", "probe"), self.trained, "output of the trained network"),
            "telescoped": variable(("segments", "time", "probe"), self.telescoped, "telescoped output"),
            "trained_bias": variable(("time",), self.trained_bias, "shortcut bias of the trained network"),
            "telescoped_bias": variable(("segments", "time"), self.telescoped_bias, "shortcut bias of the telescoped outputs"),
            "kernel_change": variable(("time",), self.kernel_change, "relative change of the kernel"),
            "kernel_alignment": variable(("time",), self.kernel_alignment, "alignment with the initial kernel"),
            "target_alignment": variable(("time",), self.target_alignment, "alignment with the target"),
        }
        along = {
            "time": coordinate("time", self.times),
            "segments": coordinate("segments", self.segments),
            "steps": variable(("time",), self.steps, "steps of gradient descent"),
        }
        return table(variables, {**along, **latent_coordinates(self.probes)}, self.origin)

    @property
    def error(self) -> np.ndarray:
        """Root mean square over the probes of predicted minus trained output, (S, T + 1)."""
        return np.sqrt(np.mean(np.square(np.asarray(self.telescoped) - np.asarray(self.trained)), axis=-1))

    def params_at(self, index: int) -> Parameters:
        """Parameters at `steps[index]`, for :func:`linearized_outputs` from there on."""
        return jax.tree.map(lambda leaf: leaf[index], self.params)


@in_float64
def linearized_outputs(
    network: MLP,
    params: Parameters,
    training: TrainingRule,
    inputs: Float[Array, "n d"],
    labels: Float[Array, "n"],
    probe_inputs: Float[Array, "probes d"],
) -> Float[Array, "*batch probes"]:
    r"""Outputs of a finite network whose kernel stays what it is at the given parameters \(\theta\),

    \[f(x)=f_\theta(x)+\Theta_\theta(x,X)\,F\,(y-f_\theta(X)),\qquad F=g(\Theta_\theta/N)/N.\]

    Exact for a network linear in its parameters. With parameters at initialisation it is the lazy limit of that very
    network; with parameters from later on, training from there for the time of the rule.

    Args:
        network: an `MLP`.
        params: of the network, at initialisation or later.
        training: any training rule; array parameters give a leading axis.
        inputs: (n, d).
        labels: real targets (n,).
        probe_inputs: (probes, d).

    Raises:
        ValueError: naming the argument, the allowed values and the value got.

    Source: Lee et al. (2019), equations 8 to 11, in the convention of the loss 1/(2N).

    Example:
        >>> network, x = MLP(2, width=64), jnp.eye(3)
        >>> params = network.init(jax.random.key(0), 3)
        >>> outputs = linearized_outputs(network, params, GradientDescent(0.1, [0, 10_000]), x, jnp.ones(3), x)
        >>> bool(jnp.allclose(outputs[0], network.apply(params, x), atol=1e-6)), bool(jnp.allclose(outputs[1], 1, atol=1e-3))
        (True, True)
    """
    require_finite_network(network)
    require(isinstance(training, TrainingRule), "training", "a training rule such as GradientDescent(1.0, 100)", training)
    inputs = as_points("inputs", inputs).astype(jnp.result_type(float))
    labels = as_targets("labels", labels, count=inputs.shape[0]).astype(inputs.dtype)
    probe_inputs = as_points("probe_inputs", probe_inputs, dimension=inputs.shape[1]).astype(inputs.dtype)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, inputs.dtype), params)
    matrix = empirical_ntk(network, params, inputs) / inputs.shape[0]
    cross = empirical_ntk(network, params, probe_inputs, inputs) / inputs.shape[0]
    residual = (labels - network.apply(params, inputs))[:, None]
    filtered, spectrum = apply_filter(matrix, residual, training, num_samples=inputs.shape[0])
    give(training.issues(spectrum.largest_eigenvalue))
    return network.apply(params, probe_inputs) + filtered[..., 0] @ cross.T


@in_float64
def telescope(
    model: GenerativeModel,
    network: MLP,
    training: GradientDescent,
    num_samples: int | None = None,
    segments: Sequence[int] = (1, 2, 4, 8),
    *,
    key: Key,
    dataset: Dataset | None = None,
    probes: Latents | None = None,
    probe_inputs: Float[Array, "probes d"] | None = None,
) -> Telescope:
    r"""Train one network, and predict it from its kernels at S points of its path.

    Between two points of the path the predicted outputs \(f\), at the training inputs X and at the probes, move as a network
    linearised at the parameters of the earlier point would:

    \[f(x)\leftarrow f(x)+\Theta_{t_i}(x,X)\,F\,(y-f(X)),\qquad F=g(\Theta_{t_i}/N)/N.\]

    The prediction takes kernels from the path, never outputs. With one segment it is :func:`linearized_outputs` at
    initialisation; its error falls as 1/S, down to what a single step of descent leaves out, of order learning rate.

    Args:
        model: the data law.
        network: an `MLP` of finite width.
        training: `GradientDescent(learning_rate, steps)` with increasing steps >= 1, all samples in each step.
        num_samples: N, even, of a sampled data set.
        segments: numbers of segments, each at most the number of steps. With points \(t_0=0,t_1,\dots,t_T\) at the steps of
            the rule, the kernel is renewed at \(t_{\lfloor iT/S\rfloor}\), i = 0..S-1: where the steps are spaced in log time,
            so are the segments.
        key: `jax.random` key, for the data set and for the parameters.
        dataset: a data set instead of num_samples, from `model.sample` or your own by `Dataset.from_arrays(inputs, labels)`.
        probes: latents (n, 2); the 30 x 30 grid by default.
        probe_inputs: the probes as inputs (n, d) among those of `dataset`; by default embedded as the data set was, which your
            own data cannot do.

    Raises:
        ValueError: naming the argument, the allowed values and the value got.
        FloatingPointError: training diverged.

    Numerics: float64. One eigendecomposition of the N x N kernel for each point where some prediction renews it. Data sets of
    features without nesting are reduced to the plane, so that nothing grows with d.

    Source: Jeffares, Curth & van der Schaar (2024), "Deep learning through a telescoping lens", equation 5, whose segments
    are single steps of the optimiser, along the actual updates of the parameters; this one moves by its own residuals.

    Example:
        >>> model, network = GenerativeModel(amplification=(4.0, 1.0)), MLP(1, width=64)
        >>> t = telescope(model, network, GradientDescent(0.5, [4, 16]), 40, (1, 2), key=jax.random.key(0))
        >>> t.telescoped.shape, t.trained_bias.shape, bool(t.error[1, -1] < t.error[0, -1])
        ((2, 3, 900), (3,), True)
    """
    require_two_features("model", model)
    require_finite_network(network)
    plain = isinstance(training, GradientDescent) and training.plain
    require(plain, "training", "GradientDescent(learning_rate, steps), without schedule, momentum and weight decay", training)
    require(np.ndim(training.learning_rate) == 0, "learning_rate", "a number", training.learning_rate)
    steps = np.atleast_1d(np.asarray(training.steps))
    increasing = bool(np.isfinite(steps).all()) and len(steps) > 0 and steps[0] >= 1 and bool(np.all(np.diff(steps) > 0))
    require(increasing, "steps", "finite, increasing and >= 1", training.steps)
    for count in segments:
        require(require_integer("segments", count, 1) <= len(steps), "segments", f"at most {len(steps)}, the steps", count)
    sample_key, init_key = jax.random.split(key)
    if dataset is None:
        num_samples = required(num_samples, "num_samples", "an even integer >= 2, or dataset= given")
        require(probe_inputs is None, "probe_inputs", "None without dataset=", probe_inputs)
        dataset = model.sample(sample_key, num_samples)
    probes = model.probe_grid() if probes is None else as_points("probes", probes, dimension=2)
    given = given_data(dataset, num_samples, probes, probe_inputs)
    inputs, labels, at_probes, basis = jax.tree.map(lambda values: values.astype(jnp.result_type(float)), given)
    params = network.init(init_key, inputs.shape[1])
    if basis is not None and (reduced := network.on_plane(params, basis)) is not None:
        params = reduced
        inputs, at_probes = (jnp.asarray(network.plane_inputs(x, basis)) for x in (inputs, at_probes))
    points = np.concatenate([[0], steps.astype(np.int64)])
    path = _path(network, params, inputs, labels, float(training.learning_rate), points)
    trained = jax.vmap(network.apply, (0, None))(path, at_probes)
    movement, telescoped = _follow(network, path, inputs, labels, at_probes, training, points, segments)
    change, alignment, target_alignment = movement.T
    return Telescope(
        np.asarray(segments),
        points,
        points * float(training.learning_rate),
        trained,
        telescoped,
        np.asarray(shortcut_bias(trained, model, probes)),
        np.asarray(shortcut_bias(telescoped, model, probes)),
        change,
        alignment,
        target_alignment,
        path,
        inputs,
        at_probes,
        dataset,
        probes,
        origin=origin_of({"model": model, "network": network, "training": training}, num_samples=dataset.inputs.shape[0]),
    )


@compiled
def _descend(
    network: MLP, params: Parameters, inputs: jax.Array, labels: jax.Array, rate: jax.Array, count: jax.Array
) -> Parameters:
    """`count` steps of full-batch gradient descent on the loss 1/(2N)."""

    def loss(params: Parameters) -> jax.Array:
        return jnp.mean((network.apply(params, inputs) - labels) ** 2) / 2

    def step(_: jax.Array, params: Parameters) -> Parameters:
        return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))

    return jax.lax.fori_loop(0, count, step, params)


def _path(
    network: MLP, params: Parameters, inputs: jax.Array, labels: jax.Array, rate: float, points: np.ndarray
) -> Parameters:
    """Parameters at each point of training, stacked."""
    path = [params]
    for count in np.diff(points):
        path.append(_descend(network, path[-1], inputs, labels, jnp.asarray(rate), jnp.asarray(count)))
        finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(path[-1]))
        if not finite:
            raise FloatingPointError(
                f"training diverged: by step {points[len(path) - 1]} parameters are not finite; use a smaller learning_rate"
            )
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *path)


def _follow(
    network: MLP,
    path: Parameters,
    inputs: jax.Array,
    labels: jax.Array,
    probe_inputs: jax.Array,
    training: GradientDescent,
    points: np.ndarray,
    segments: Sequence[int],
) -> tuple[np.ndarray, jax.Array]:
    """Kernel movement (points, 3), and the predictions (S, points, probes)."""
    last, count = len(points) - 1, inputs.shape[0]
    renewals = [[i * last // number for i in range(number)] + [last] for number in segments]
    start = jax.tree.map(lambda leaf: leaf[0], path)
    at_inputs = [network.apply(start, inputs)] * len(segments)
    outputs = [[network.apply(start, probe_inputs)] for _ in segments]
    movement = []
    for index in range(last + 1):
        params = jax.tree.map(lambda leaf, i=index: leaf[i], path)
        kernel = empirical_ntk(network, params, inputs)
        initial = kernel if index == 0 else initial
        movement.append(_movement(kernel, initial, labels))
        active = [s for s, places in enumerate(renewals) if index in places[:-1]]
        if not active:
            continue
        ends = [renewals[s][renewals[s].index(index) + 1] for s in active]
        rule = GradientDescent(training.learning_rate, points[index + 1 : max(ends) + 1] - points[index])
        matrix = kernel / count
        residuals = jnp.stack([labels - at_inputs[s] for s in active], axis=1)
        filtered, spectrum = apply_filter(matrix, residuals, rule, num_samples=count)
        give(rule.issues(spectrum.largest_eigenvalue))
        cross = empirical_ntk(network, params, probe_inputs, inputs) / count
        for place, (s, end) in enumerate(zip(active, ends, strict=True)):
            steps = filtered[: end - index, :, place]
            outputs[s].extend(outputs[s][-1] + steps @ cross.T)
            at_inputs[s] = at_inputs[s] + matrix @ steps[-1]
    return np.asarray(movement), jnp.stack([jnp.stack(rows) for rows in outputs])


def _movement(kernel: jax.Array, initial: jax.Array, labels: jax.Array) -> list[float]:
    """Relative change of the kernel, its alignment with the initial one, and with the targets."""
    norm, initial_norm = jnp.linalg.norm(kernel), jnp.linalg.norm(initial)
    return [
        float(jnp.linalg.norm(kernel - initial) / initial_norm),
        float(jnp.sum(kernel * initial) / (norm * initial_norm)),
        float(labels @ kernel @ labels / (norm * (labels @ labels))),
    ]
