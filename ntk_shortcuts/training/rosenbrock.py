r"""Gradient flow of a convex function over many decades of time: a Rosenbrock method with error control.

The Jacobian \(-\sum_zw_z\varphi\varphi^T\) is symmetric, known exactly, and stiff in the kernel's leading eigenvalues alone:
of a step h only the modes with \(h\lambda\) above 1e-7 are solved for, the others are explicit. All initialisations take the
same steps.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from ntk_shortcuts.typing import Float
from ntk_shortcuts.validation import require

# RODAS of Hairer & Wanner (1996), section IV.7: order 4 with an embedded 3, L-stable, six stages, in the form without products
# with the Jacobian: (1/(gamma h) - J) u_i = F(y + sum a_ij u_j) + sum c_ij u_j / h.
_GAMMA = 0.25
_A = (
    (),
    (1.544,),
    (0.9466785280815826, 0.2557011698983284),
    (3.314825187068521, 2.896124015972201, 0.9986419139977817),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950),
    (1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0),
)
_C = (
    (),
    (-5.6688,),
    (-2.430093356833875, -0.2063599157091915),
    (-0.1073529058151375, -9.594562251023355, -20.47028614809616),
    (7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160),
    (8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054),
)
_STIFF = 1e-7
_TOLERANCE = 1e-6
_LEAST, _MOST, _SAFETY = 0.2, 5.0, 0.9


@runtime_checkable
class Flowing(Protocol):
    """A convex function of coefficients: features of its nodes, eigenvalues, the flow's velocity, and the Hessian's weights."""

    features: Float[np.ndarray, "nodes modes"]
    initial: Float[np.ndarray, "inits nodes"]

    @property
    def eigenvalues(self) -> Float[np.ndarray, "modes"]: ...

    @property
    def largest_curvature(self) -> float: ...

    def velocity(self, learnt: Float[np.ndarray, "inits modes"]) -> Float[np.ndarray, "inits modes"]: ...

    def curvature(self, learnt: Float[np.ndarray, "inits modes"]) -> Float[np.ndarray, "inits nodes"]: ...


def flow_down(
    problem: Flowing, times: Float[np.ndarray, "times"], tolerance: float = _TOLERANCE
) -> list[Float[np.ndarray, "inits modes"]]:
    """Coefficients at ascending times >= 0, from 0 at time 0.

    Args:
        tolerance: error of one step in the outputs' mean square over the nodes, relative to what was learnt so far.

    Raises:
        ValueError: outputs that overflow.

    Numerics: some 10 steps a decade of time at the default; each is one inverse of the stiff modes and six evaluations.
    """
    state = np.zeros((len(problem.initial), len(problem.eigenvalues)))
    time, found, scale = 0.0, [], np.sqrt(problem.eigenvalues)
    step = 1e-2 / max(problem.largest_curvature, np.finfo(float).tiny)
    for stop in times:
        while time < stop:
            # Steps of one length up to the stop: none is cut to a sliver.
            length = (stop - time) / np.ceil((stop - time) / step * (1 - 1e-12)) if stop - time < 3 * step else step
            new, error = _advanced(problem, state, length)
            size = np.linalg.norm(scale * new, axis=1)
            errors = np.linalg.norm(scale * error, axis=1) / np.maximum(tolerance * size, np.finfo(float).tiny)
            worst = float(np.max(errors, initial=0.0))
            require(np.isfinite(worst) or length > 1e-300, "outputs", "finite", "an overflow")
            factor = np.clip(_SAFETY * max(worst, 1e-12) ** -0.25, _LEAST, _MOST) if np.isfinite(worst) else _LEAST
            if worst <= 1:
                state, time = new, stop if stop - time <= length * (1 + 1e-9) else time + length
                step = max(length * factor, step) if length < step else length * factor
            else:
                step = length * factor
        found.append(state)
    return found


def _advanced(problem: Flowing, state: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """The state after one step, and its error."""
    weights, features = problem.curvature(state), problem.features
    stiff = int(np.sum(_GAMMA * step * problem.largest_curvature * problem.eigenvalues > _STIFF * problem.eigenvalues[:1]))
    leading, rest = features[:, :stiff], features[:, stiff:]
    hessians = np.stack([(leading.T * w) @ leading for w in weights])
    inverses = np.linalg.inv(np.eye(stiff) + _GAMMA * step * hessians)

    def solved(right: np.ndarray) -> np.ndarray:
        """(1 - gamma h J)^-1, of the modes that are not stiff to first order."""
        first = (inverses @ right[:, :stiff, None])[..., 0]
        coupling = (weights * (first @ leading.T)) @ rest
        return np.concatenate([first, right[:, stiff:] - _GAMMA * step * coupling], axis=1)

    stages: list[np.ndarray] = []
    for a, c in zip(_A, _C, strict=True):
        at = state + sum((x * u for x, u in zip(a, stages, strict=True)), np.zeros_like(state))
        right = step * problem.velocity(at) + sum((x * u for x, u in zip(c, stages, strict=True)), np.zeros_like(state))
        stages.append(solved(_GAMMA * right))
    # Stiffly accurate: the solution is the last stage's argument and its increment, which is the error too.
    return at + stages[-1], stages[-1]
