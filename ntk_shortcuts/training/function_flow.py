r"""Training under any convex loss with a frozen kernel, in function space. Label D12.1.

A node z of weight w holds labels +1 and -1 with probabilities \(P_\pm=(1\pm E[y|z])/2\). Outputs move by

\[\frac{df(x)}{dt}=\sum_zw_z\Theta(x,z)\,c_z(f(z)),\qquad c_z(f)=-P_+\ell'(f,1)-P_-\ell'(f,-1).\]

In coordinates of the kernel's own norm, \(\Theta=\varphi\cdot\varphi\) and \(f=f_0+\varphi\cdot q\), this is gradient flow of a
convex function,

\[\dot q=\sum_zw_zc_z\,\varphi(z)=-\nabla_qR(q),\qquad \nabla^2R=\sum_zw_zc'_z\,\varphi\varphi^T,\]

whose stiffness is that of the kernel's eigenvalues; a test point costs one product.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from jax import numpy as jnp

from ntk_shortcuts.nodes.base import Nodes
from ntk_shortcuts.numerics import compiled
from ntk_shortcuts.training.coordinates import Coordinates
from ntk_shortcuts.training.learner import Learner
from ntk_shortcuts.training.losses import Loss
from ntk_shortcuts.training.rosenbrock import flow_down
from ntk_shortcuts.typing import AnyArray, Array, Float
from ntk_shortcuts.validation import require

# Relative to the largest curvature: what stands for no ridge at all, and the largest number of explicit steps.
_NO_RIDGE = 1e-11
_MOST_STEPS = 100_000
_NEWTON_STEPS = 300


class FunctionFlow(Learner):
    r"""One problem: nodes with their labels, a kernel between them, outputs at initialisation, and a loss.

    Nodes may be rays (:class:`~ntk_shortcuts.nodes.base.Nodes`), f(r z) = r f(z), where the kernel is homogeneous: the loss is
    not linear in f, so that every radius is looked at, but the state has one value per ray.

    Args:
        loss: convex.
        nodes: with targets E[y | z] in [-1, 1]; labels themselves where nodes are samples.
        kernel: the NTK between the nodes' points.
        initial: f_0 at the nodes' points, one row per initialisation.

    Raises:
        ValueError: targets of several outputs, or outside [-1, 1].

    Numerics: eigenvalues below nodes x eps x largest are left out, as under squared loss. Source: theory of gradient flow in
    function space, Jacot et al. (2018); the rest was worked out for this package.

    Example:
        >>> from ntk_shortcuts.training.losses import resolve_loss
        >>> nodes = Nodes.of(np.array([[1.0], [-1.0]]), [0.5, 0.5], [0.5, -0.5])
        >>> problem = FunctionFlow(resolve_loss("logistic"), nodes, np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros((1, 2)))
        >>> outputs = problem.outputs(problem.flow(np.array([1e-3, np.inf])), np.array([[1.0, -1.0]]))
        >>> (outputs[:, 0, 0] / [2.5e-4, np.log(3)]).round(3).tolist()  # E[y] t/2, and the log-odds
        [1.0, 1.0]
    """

    def __init__(
        self,
        loss: Loss,
        nodes: Nodes,
        kernel: Float[AnyArray, "nodes nodes"],
        initial: Float[AnyArray, "inits nodes"],
    ):
        targets = np.asarray(nodes.targets)
        require(targets.ndim == 2, "labels", f'of two classes with loss="{loss.name}"', f"{targets.shape[-1]} outputs")
        inside = bool(np.max(np.abs(targets), initial=0.0) <= 1 + 1e-9)
        require(inside, "labels", f'in [-1, 1] with loss="{loss.name}"', targets.ravel()[np.argmax(np.abs(targets))])
        self.loss, self.nodes = loss, nodes
        self.initial = np.asarray(initial, np.float64)
        self.coordinates = Coordinates.of(kernel, nodes.mass)
        self.features = self.coordinates(kernel)

    @property
    def eigenvalues(self) -> Float[np.ndarray, "modes"]:
        """Of the kernel under the nodes' weights, descending."""
        return self.coordinates.eigenvalues

    @property
    def largest_curvature(self) -> float:
        """Of the risk: the largest eigenvalue times that of the loss."""
        return float(np.max(self.eigenvalues, initial=0.0)) * self.loss.largest_curvature

    def outputs(
        self, learnt: Float[np.ndarray, "*batch inits modes"], cross: Float[AnyArray, "points nodes"]
    ) -> Float[np.ndarray, "*batch inits points"]:
        """f - f_0 at points, from the kernel between them and the nodes."""
        return learnt @ self.coordinates(cross).T

    # What the integrator asks for.

    def velocity(self, learnt: Float[np.ndarray, "inits modes"]) -> Float[np.ndarray, "inits modes"]:
        """-grad R."""
        return np.asarray(_forces(self.loss, self.nodes, self._at_nodes(learnt))) @ self.features

    def curvature(self, learnt: Float[np.ndarray, "inits modes"]) -> Float[np.ndarray, "inits nodes"]:
        """Weights of the nodes in the Hessian of R."""
        return np.asarray(_curvatures(self.loss, self.nodes, self._at_nodes(learnt)))

    def risk(self, learnt: Float[np.ndarray, "inits modes"]) -> Float[np.ndarray, "inits"]:
        """R, the mean loss."""
        return np.asarray(_risks(self.loss, self.nodes, self._at_nodes(learnt)))

    def _at_nodes(self, learnt: np.ndarray) -> np.ndarray:
        return self.initial + learnt @ self.features.T

    # What rules ask for.

    def flow(self, times: np.ndarray) -> Float[np.ndarray, "*batch inits modes"]:
        stops = np.unique(times[np.isfinite(times)])
        states = dict(zip(stops, flow_down(self, stops), strict=True))
        if not np.isfinite(times).all():
            states[np.inf] = self.minimiser(np.zeros(()), "time")
        return self._arranged(times, [states[time] for time in times.ravel()])

    def descent(self, rates: np.ndarray, steps: np.ndarray) -> Float[np.ndarray, "*batch inits modes"]:
        finite = np.isfinite(steps)
        most = int(np.max(steps[finite], initial=0))
        allowed = (
            f'at most {_MOST_STEPS} with loss="{self.loss.name}", whose steps are made one by one (GradientFlow takes any time)'
        )
        require(most <= _MOST_STEPS, "steps", allowed, most)
        states = {}
        for rate in np.unique(rates):
            wanted = np.unique(steps[finite & (rates == rate)])
            state = np.zeros((len(self.initial), len(self.eigenvalues)))
            done = 0
            for count in wanted.astype(int):
                for _ in range(count - done):
                    state = state + rate * self.velocity(state)
                states[rate, count], done = state, count
            if not finite[rates == rate].all():
                states[rate, np.inf] = self.minimiser(np.zeros(()), "steps")
        return self._arranged(rates, [states[pair] for pair in zip(rates.ravel(), steps.ravel(), strict=True)])

    def minimiser(self, strengths: np.ndarray, name: str = "strength") -> Float[np.ndarray, "*batch inits modes"]:
        r"""Newton's method with halved steps, on the strictly convex \(R+\frac12\epsilon|q|^2\).

        No ridge at all is one of 1e-11 of the largest curvature: what lies below is beyond the arithmetic.

        Raises:
            ValueError: without a ridge, samples that some outputs separate: the loss then has no minimiser.
        """
        floor = _NO_RIDGE * self.largest_curvature
        return self._arranged(strengths, [self._minimised(max(float(s), floor), bool(s == 0), name) for s in strengths.ravel()])

    def _arranged(self, batch: np.ndarray, states: list[np.ndarray]) -> np.ndarray:
        return np.reshape(states, (*batch.shape, len(self.initial), len(self.eigenvalues)))

    def _minimised(self, ridge: float, bare: bool, name: str) -> np.ndarray:
        certain = bool(np.all((np.abs(self.nodes.targets) == 1) | (np.asarray(self.nodes.weights) == 0)))
        state = np.zeros((len(self.initial), len(self.eigenvalues)))
        value = self._regularised(state, ridge)
        for _ in range(_NEWTON_STEPS):
            if bare and certain:
                self._require_inseparable(state, name)
            slope = self.velocity(state) - ridge * state
            step = np.stack([self._newton(w, s, ridge) for w, s in zip(self.curvature(state), slope, strict=True)])
            length = np.ones((len(state), 1))
            for _ in range(40):
                tried = state + length * step
                found = self._regularised(tried, ridge)
                worse = found > value
                if not worse.any():
                    break
                length[worse] /= 2
            state = np.where(worse[:, None], state, tried)
            value = np.where(worse, value, found)
            moved = np.linalg.norm(np.sqrt(self.eigenvalues) * step, axis=1)
            if np.all(moved <= 1e-10 * np.linalg.norm(np.sqrt(self.eigenvalues) * state, axis=1)) or worse.all():
                break
        return state

    def _regularised(self, state: np.ndarray, ridge: float) -> np.ndarray:
        return self.risk(state) + ridge / 2 * np.sum(state**2, axis=1)

    def _newton(self, weights: np.ndarray, slope: np.ndarray, ridge: float) -> np.ndarray:
        hessian = (self.features.T * weights) @ self.features
        hessian[np.diag_indices_from(hessian)] += ridge
        return scipy.linalg.solve(hessian, slope, assume_a="pos")

    def _require_inseparable(self, state: np.ndarray, name: str) -> None:
        used = np.asarray(self.nodes.weights)[:, 0] > 0
        margins = (state @ self.features.T * np.asarray(self.nodes.targets)[:, 0])[:, used]
        allowed = (
            f'finite (a ridge: positive) with loss="{self.loss.name}" where some outputs separate the samples: they '
            "grow without end, and their direction tends to that of the largest margin, which Ridge of a small strength gives"
        )
        require(not np.any(np.all(margins > 0, axis=1)), name, allowed, "the limit")


@compiled
def _forces(loss: Loss, nodes: Nodes, outputs: Float[AnyArray, "inits nodes"]) -> Float[Array, "inits nodes"]:
    f, positive = jnp.asarray(outputs)[..., None] * nodes.radius, (1 + nodes.targets) / 2
    slope = positive * loss.slope(f, 1.0) + (1 - positive) * loss.slope(f, -1.0)
    return -jnp.sum(nodes.weights * nodes.radius * slope, axis=-1)


@compiled
def _curvatures(loss: Loss, nodes: Nodes, outputs: Float[AnyArray, "inits nodes"]) -> Float[Array, "inits nodes"]:
    f, positive = jnp.asarray(outputs)[..., None] * nodes.radius, (1 + nodes.targets) / 2
    curvature = positive * loss.curvature(f, 1.0) + (1 - positive) * loss.curvature(f, -1.0)
    return jnp.sum(nodes.weights * nodes.radius**2 * curvature, axis=-1)


@compiled
def _risks(loss: Loss, nodes: Nodes, outputs: Float[AnyArray, "inits nodes"]) -> Float[Array, "inits"]:
    f, positive = jnp.asarray(outputs)[..., None] * nodes.radius, (1 + nodes.targets) / 2
    return jnp.sum(nodes.weights * (positive * loss(f, 1.0) + (1 - positive) * loss(f, -1.0)), axis=(-2, -1))
