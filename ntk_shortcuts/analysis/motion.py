"""The kernel on the move: the NTK of finite networks under the data law, along the population flow that trains them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.kernels.empirical import empirical_ntk
from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.laws.two_features.mixture import mixture_nodes
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.methods.flow.equation import FlowPoints, FlowRules, flow_parameters
from ntk_shortcuts.metrics.reliance import Reliance, reliance
from ntk_shortcuts.networks.base import require_finite_network
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.results.arrays import TIME_UNITS, coordinate, table, variable
from ntk_shortcuts.results.base import Result, origin_of
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.typing import Key
from ntk_shortcuts.validation import require, require_integer

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class KernelMotion(Result):
    r"""Kernels of I networks at T times of their flow, under the data law.

    With \(T_t=\sqrt w\,\Theta_t\sqrt w\) on the quadrature nodes, whose eigenvalues are those of the integral operator:

    - `times` (T,).
    - `relative_change` (I, T): \(|T_t-T_0|_F/|T_0|_F\).
    - `target_alignment`, `shortcut_alignment`, `core_alignment` (I, T): \(\langle v,T_tv\rangle/(|T_t|_F|v|^2)\) for v the
      target E[y | z], sign z_s and sign z_c at the nodes; 1 for a kernel that is v v^T.
    - `learning_times` (I, T, modes): \(1/\lambda\) of the leading eigenfunctions, shortest first.
    - `bias` (I, T): of the network; `initial_kernel_bias` (I, T): of the same network with its kernel held at that of
      initialisation. Their difference is what the movement of the kernel did.
    """

    sources: ClassVar[tuple[str, ...]] = ("cristianini2001kernel",)

    times: np.ndarray
    relative_change: np.ndarray
    target_alignment: np.ndarray
    shortcut_alignment: np.ndarray
    core_alignment: np.ndarray
    learning_times: np.ndarray
    bias: np.ndarray
    initial_kernel_bias: np.ndarray

    def plot(self, ax: Any = None) -> Figure:
        """Bias of the networks over time, as trained and with their kernels held.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.numbers import axis_label, number_label, plot_numbers

        biases = {"kernel moves": self.bias, "kernel held": self.initial_kernel_bias}
        means = {name: values.mean(axis=0) for name, values in biases.items()}
        spread = {name: values.std(axis=0) for name, values in biases.items()}
        return plot_numbers(means, (axis_label("time"), self.times), number_label("bias"), spread, ax)

    def to_xarray(self) -> xarray.Dataset:
        """Everything over the dimensions `init`, `time` and `mode`."""
        over = ("init", "time")
        names = ("relative_change", "target_alignment", "shortcut_alignment", "core_alignment", "bias", "initial_kernel_bias")
        variables = {name: variable(over, getattr(self, name), name.replace("_", " ")) for name in names}
        variables["learning_times"] = variable((*over, "mode"), self.learning_times, "learning time", TIME_UNITS)
        return table(variables, {"time": coordinate("time", self.times)}, self.origin)


@in_float64
def kernel_motion(
    model: GenerativeModel,
    network: Any,
    training: GradientFlow,
    *,
    key: Key,
    num_inits: int = 4,
    modes: int = 6,
    order: int = 8,
    step_tolerance: float = 1e-2,
    max_steps: int = 20_000,
) -> KernelMotion:
    r"""How the NTK of networks of finite width moves along the population flow (squared loss), and what that does to the bias.

    The network linearised at initialisation follows
    \(f_t=f_0+\Theta_0\sqrt w\,g(T_0)\sqrt w\,(f^*-f_0)\) with the filter g of gradient flow and its own \(f_0\).

    Args:
        network: an `MLP` of finite width.
        training: `GradientFlow(times)`, finite; several times in one pass.
        key: `jax.random` key.
        num_inits: networks.
        modes: eigenvalues reported.
        order: Hermite nodes per axis and mixture component.
        step_tolerance: of the solver, as in method="population_flow".
        max_steps: of the solver.

    Raises:
        ValueError: an argument out of range; width None; nesting; a solver that ran out of steps.

    Source: alignment is that of Cristianini et al. (2001), not centred; the rest is worked out for this package.

    Example:
        >>> from ntk_shortcuts import MLP
        >>> network = MLP(1, width=16, parameterization="standard", initialization="torch")
        >>> model, training = GenerativeModel(amplification=(4.0, 1.0)), GradientFlow([0.0, 30.0])
        >>> motion = kernel_motion(model, network, training, key=jax.random.key(0), num_inits=1)  # doctest: +SKIP
        >>> bool(motion.relative_change[0, 1] > motion.relative_change[0, 0] == 0)  # doctest: +SKIP
        True
    """
    require_finite_network(network)
    require(not any(model.nesting), "nesting", "(0, 0)", model.nesting)
    require(isinstance(training, GradientFlow), "training", "GradientFlow", type(training).__name__)
    for name, value in {"num_inits": num_inits, "modes": modes, "order": order, "max_steps": max_steps}.items():
        require_integer(name, value, 1)
    times = np.atleast_1d(np.asarray(training.time, np.float64))
    require(bool(np.isfinite(times).all()), "time", "finite", times)
    stops, where = np.unique(np.append(times, 0.0), return_inverse=True)
    kernel = LawKernel(model, network)
    nodes, weights = mixture_nodes(model, order)
    points = FlowPoints(nodes, weights, model.class_expectation(nodes), model.probe_grid())
    numbers = jnp.zeros(()), jnp.asarray(step_tolerance)
    rules = FlowRules(*numbers, "squared", centred=False, orthogonal=False, max_steps=max_steps, dtype="float32")
    keys = jax.random.split(key, num_inits)
    path, inputs = flow_parameters(kernel, keys, points, jnp.asarray(stops), rules)
    finished = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(path))
    require(finished, "max_steps", f"enough to reach time {stops[-1]:g}", max_steps)
    rows = [_row(kernel, points, stops, where[:-1], modes, *_member(path, inputs, i)) for i in range(num_inits)]
    origin = origin_of({"model": model, "network": network, "training": training}, num_inits=num_inits, order=order)
    return KernelMotion(times, *(np.stack(column) for column in zip(*rows, strict=True)), origin=origin)


def _member(path: tuple, inputs: jax.Array, index: int) -> tuple:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf[index], jnp.float64), (path, inputs))


def _row(
    law_kernel: LawKernel,
    points: FlowPoints,
    stops: np.ndarray,
    where: np.ndarray,
    modes: int,
    path: tuple,
    inputs: jax.Array,
) -> tuple:
    """The entries of KernelMotion of one network, in order and at the times asked for."""
    network = law_kernel.finite_network
    count, root = len(points.weights), np.sqrt(np.asarray(points.weights))
    targets = root * np.stack([points.targets, *np.sign(points.nodes.T)])
    optimum = float(Reliance().optimal(law_kernel.law.test_points()))

    def at(index: int) -> tuple:
        params = jax.tree.map(lambda leaf: leaf[index], path)
        return params, np.asarray(network.apply(params, inputs)), root[:, None] * _kernel(params) * root

    def _kernel(params: tuple) -> np.ndarray:
        return np.asarray(empirical_ntk(network, params, inputs[:count]))

    start, outputs, first = at(0)
    cross = np.asarray(empirical_ntk(network, start, inputs[count:], inputs[:count])) * root
    values, vectors = np.linalg.eigh(first)
    residual = vectors.T @ (targets[0] - root * outputs[:count])
    found = []
    for index, time in enumerate(stops):
        _, outputs_now, matrix = at(index) if index else (start, outputs, first)
        norm = np.linalg.norm(matrix)
        alignments = [v @ matrix @ v / (norm * (v @ v)) for v in targets]
        spectrum = np.maximum(np.linalg.eigvalsh(matrix)[::-1][:modes], np.finfo(float).tiny)
        # Eigenvalues at rounding level, of either sign, learn nothing in any finite time.
        gains = np.where(values > 1e-14 * values[-1], -np.expm1(-values * time) / np.where(values > 0, values, 1), time)
        frozen = outputs[count:] + cross @ (vectors @ (gains * residual))
        biases = [float(reliance(f, points.probes)) - optimum for f in (outputs_now[count:], frozen)]
        change = np.linalg.norm(matrix - first) / np.linalg.norm(first)
        found.append((change, *alignments, 1 / spectrum, *biases))
    return tuple(np.stack(column)[where] for column in zip(*found, strict=True))
