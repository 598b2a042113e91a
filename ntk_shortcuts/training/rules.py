"""Training rules as spectral filters: what training does to each eigenfunction of the kernel.

Conventions: loss (1/(2N)) sum_n (f(x_n) - y_n)^2, time = learning rate x steps, lambda an eigenvalue of Theta/N (or of
the integral operator under the data law). Training multiplies the target's component along an eigenfunction by
lambda g(lambda). Parameters may carry one leading axis, to evaluate several times or strengths in one pass.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.numerics import in_float64, is_traced, real_leaf
from ntk_shortcuts.results.issues import Divergence, Issue, UnstableSteps
from ntk_shortcuts.spec import Spec
from ntk_shortcuts.training.fitted_poles import fitted_poles
from ntk_shortcuts.training.learner import Learner
from ntk_shortcuts.training.momentum import Recursion, many_equal_steps, scheduled_steps
from ntk_shortcuts.training.schedules import Schedule
from ntk_shortcuts.typing import Array, Batch, Complex, Float, Scalar, Times
from ntk_shortcuts.validation import require, require_values

# Times beyond this over the largest eigenvalue are infinite to float64; the limit keeps a pole this close to 0.
_NEGLIGIBLE = 1e9
# Of a filter on the spectrum: what is left of more steps' turns is far below 1e-5.
_MOST_WAVES = 2000


class RationalFilter(eqx.Module):
    r"""A filter as a sum of resolvents: \(g(\lambda)\approx\mathrm{Re}\sum_kc_k/(\lambda-s_k)\), with Im s_k >= 0 or s_k < 0.

    - `poles` s and `residues` c: complex, (K,), or (T, K) for a rule with T parameters.
    """

    poles: Complex[Array, "*batch K"]
    residues: Complex[Array, "*batch K"]

    def __call__(self, eigenvalues: Float[Array, "modes"]) -> Float[Array, "*batch modes"]:
        """The sum at the given eigenvalues."""
        terms = self.residues[..., None] / (eigenvalues - self.poles[..., None])
        return jnp.sum(terms, axis=-2).real


class SpectralFilter(Spec):
    """What is done to each eigenfunction of a kernel: g(lambda)."""

    @abc.abstractmethod
    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None) -> Float[Array, "*batch modes"]:
        """g at eigenvalues > 0; num_samples is N, or None for infinite data."""

    def issues(self, largest_eigenvalue: Any) -> tuple[Issue, ...]:
        """What keeps the rule from converging on a spectrum up to there."""
        return ()

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the parameters: () for one rule, (T,) for several."""
        return jnp.broadcast_shapes(*(jnp.shape(leaf) for leaf in jax.tree.leaves(self)))

    @property
    def coordinates(self) -> dict[str, Any]:
        """What tells several rules in one apart, (T,), by name; nothing for a single rule."""
        return {}


class TrainingRule(SpectralFilter):
    """Training as a spectral filter, with the forms of it that predictors need."""

    @abc.abstractmethod
    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        """The filter as a sum of `nodes` resolvents where it can be, for eigenvalues in [0, largest]."""

    @abc.abstractmethod
    def expansion(self, num_samples: Scalar | None) -> tuple[Scalar, Scalar]:
        """g(0) and g'(0): the start of training; infinite where a rule has no start. Label D6.3."""

    def follow(self, learner: Learner, num_samples: int | None) -> Float[np.ndarray, "*batch inits modes"]:
        """What a learner of any loss makes of the rule; refused by rules that mean something for the squared loss alone."""
        allowed = (
            f'GradientFlow, GradientDescent or Ridge with loss="{learner.loss.name}": others are filters of the squared loss'
        )
        require(False, "training", allowed, type(self).__name__)
        raise AssertionError


def require_rule(training: object) -> None:
    """Refuse what is no training rule."""
    require(isinstance(training, TrainingRule), "training", "a training rule such as GradientFlow(time=30.0)", training)


def _expand(parameter: Batch, eigenvalues: jax.Array) -> jax.Array:
    parameter = jnp.asarray(parameter, eigenvalues.dtype)
    return jnp.broadcast_to(parameter[..., None], (*parameter.shape, *eigenvalues.shape))


def _require(name: str, value: Times, allowed: str, test) -> None:
    shape = np.shape(value)
    require(len(shape) <= 1, name, f"{allowed}: a number, or a one-dimensional array", value)
    require_values(name, value, shape, allowed, test)


class GradientFlow(TrainingRule):
    r"""Gradient flow for a time t: \(g(\lambda)=(1-e^{-\lambda t})/\lambda\); t = inf is the limit \(1/\lambda\).
    Label D4.1.

    Args:
        time: t >= 0, learning rate x steps; inf allowed; a one-dimensional array for several times at once.

    Example:
        >>> float(GradientFlow(time=2.0).filter(jnp.array([0.5]), None)[0])  # (1 - 1/e) / 0.5
        1.2642...
    """

    time: Batch

    def __init__(self, time: Times):
        _require("time", time, ">= 0", lambda v: v >= 0)
        self.time = real_leaf(time)

    @property
    def coordinates(self) -> dict[str, Any]:
        return {"time": self.time} if np.ndim(self.time) else {}

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None = None) -> Float[Array, "*batch modes"]:
        time = _expand(self.time, eigenvalues)
        eigenvalues = jnp.broadcast_to(eigenvalues, time.shape)
        finite = jnp.isfinite(time)
        decay = jnp.where(finite, -jnp.expm1(-jnp.where(finite, time, 1) * eigenvalues), 1)
        return decay / eigenvalues

    def follow(self, learner: Learner, num_samples: int | None) -> Float[np.ndarray, "*batch inits modes"]:
        return learner.flow(np.asarray(self.time, np.float64))

    def expansion(self, num_samples: Scalar | None = None) -> tuple[Scalar, Scalar]:
        time = jnp.asarray(self.time)
        return time, -(time**2) / 2

    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        r"""Trapezoidal rule along a Hankel contour, the parabola of Weideman & Trefethen (2007).

        \(g(\lambda)=\frac1{2\pi i}\int e^{-st}\frac{ds}{s(\lambda-s)}\) with \(s=-\frac{\pi n}{12t}(1-iu)^2\) and
        \(u=(k+\frac12)\frac3n\), k = 0..n-1: error about 4 x 8.1^-n / lambda for all t: 1e-5 at n = 6.
        Label D4.5.
        """
        time = jnp.asarray(self.time)
        # The limit t = infinity: one real pole just left of the spectrum.
        last = _NEGLIGIBLE / largest_eigenvalue
        finite = (time < last)[..., None]
        safe_time = jnp.where((time < last) & (time > 0), time, 1.0)[..., None]
        unit_poles, residues = _hankel(nodes)
        limit = -1 / last + 0j
        residues = jnp.where(finite, residues, jnp.asarray(np.eye(1, len(residues))[0] + 0j))
        residues = jnp.where((time > 0)[..., None], residues, 0)
        return RationalFilter(jnp.where(finite, unit_poles / safe_time, limit), residues)


class GradientDescent(TrainingRule):
    r"""Full-batch gradient descent: \(g(\lambda)=(1-(1-\eta\lambda)^k)/\lambda\). Label D4.2.

    With momentum, weight decay or a schedule g is the recursion of :mod:`ntk_shortcuts.training.momentum`, exact for every
    step. Labels D13.1 and D13.2.

    **Momentum** is that of optax' and PyTorch's `sgd`: the buffer \(m\leftarrow\beta m+\nabla\) starts at 0, without
    dampening, and the rate multiplies the whole update, which is m, or Nesterov's \(\nabla+\beta m\). (Where the rate is
    inside the buffer, as in Keras, schedules differ.) After many steps of a small rate it is descent at the rate
    \(\eta/(1-\beta)\), in which `time` is counted.

    **Weight decay** w pulls the parameters *towards where they started*, \(\theta_0\). That adds w to every eigenvalue,
    \(g_w(\lambda)=g(\lambda+w)\), with the limit \(1/(\lambda+w)\) of a ridge. People decay parameters towards 0. Over a time t
    that takes \(\theta_0\) itself to \(e^{-wt}\theta_0\), however wide the network, and with it f_0 and the kernel: no kernel
    stays frozen, and the two are the same while \(wt\ll1\). Decay towards 0 is `weight_decay=` of method="population_flow".

    Args:
        learning_rate: eta > 0, or a function from the step to a rate >= 0, evaluated at steps 0, 1, ... as optax evaluates its
            schedules. Where steps diverge, predictions carry an issue: eta (lambda_max + w) above 2, above 2 (1 + beta) with
            momentum, above 2 (1 + beta)/(1 + 2 beta) with Nesterov's.
        steps: k >= 0, an integer, or inf for the limit (1/lambda where steps converge; infinite beyond), which no schedule has.
        momentum: beta in [0, 1).
        nesterov: Nesterov's momentum.
        weight_decay: w >= 0, added to the gradient as \(w(\theta-\theta_0)\) (L2).
        decoupled: subtract \(\eta w(\theta-\theta_0)\) in each step instead, past the momentum. Without momentum both are one.

    Example:
        >>> import optax
        >>> rule = GradientDescent(optax.cosine_decay_schedule(1.0, 100), steps=[50, 100], momentum=0.9)
        >>> rule.filter(jnp.array([0.0])).round(6).tolist()[1], float(rule.time[1])  # g(0): nothing is learnt, and time passes
        ([481.985439], 505.0...)
    """

    learning_rate: Any
    steps: Batch
    momentum: Batch
    weight_decay: Batch
    nesterov: bool = eqx.field(static=True)
    decoupled: bool = eqx.field(static=True)
    # Whether a step is all there is to it, and the closed form holds. Traced numbers do not tell.
    plain: bool = eqx.field(static=True, init=False)

    def __init__(
        self,
        learning_rate: Times | Callable[[Any], Any],
        steps: Times,
        momentum: Times = 0.0,
        nesterov: bool = False,
        weight_decay: Times = 0.0,
        decoupled: bool = False,
    ):
        scheduled = callable(learning_rate)
        allowed = "an integer >= 0" + (" with a schedule" if scheduled else ", or inf")
        most = 2.0**53 if scheduled else np.inf
        _require("steps", steps, allowed, lambda v: (v >= 0) & (v == np.floor(v)) & ((v < 2.0**53) | (v == most)))
        if scheduled:
            require(not is_traced(steps), "steps", "a plain number with a schedule, whose rates are read at each", steps)
            self.learning_rate: Any = Schedule.of(learning_rate, int(np.max(np.asarray(steps), initial=0)))
        else:
            _require("learning_rate", learning_rate, "positive and finite", lambda v: (v > 0) & (v < np.inf))
            self.learning_rate = real_leaf(learning_rate)
        _require("momentum", momentum, "in [0, 1)", lambda v: (v >= 0) & (v < 1))
        _require("weight_decay", weight_decay, ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        self.steps = real_leaf(steps)
        self.momentum, self.weight_decay = real_leaf(momentum), real_leaf(weight_decay)
        self.nesterov, self.decoupled = bool(nesterov), bool(decoupled)
        known = not is_traced(momentum, weight_decay)
        self.plain = not scheduled and known and not np.any(self.momentum) and not np.any(self.weight_decay)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        rate = () if self.scheduled else jnp.shape(self.learning_rate)
        return jnp.broadcast_shapes(rate, *(jnp.shape(leaf) for leaf in (self.steps, self.momentum, self.weight_decay)))

    @property
    def scheduled(self) -> bool:
        """Whether the learning rate is a schedule."""
        return isinstance(self.learning_rate, Schedule)

    @property
    def decays(self) -> bool:
        """Whether parameters are pulled back to where they started."""
        return not is_traced(self.weight_decay) and bool(np.any(np.asarray(self.weight_decay)))

    @property
    def time(self) -> Any:
        """Sum of the learning rates over the steps, over 1 - momentum: the time of the gradient flow that it approximates."""
        if self.scheduled:
            sums = np.concatenate([[0.0], np.cumsum(np.asarray(self.learning_rate.rates))])
            passed = sums[np.asarray(self.steps).astype(int)]
        else:
            passed = self.learning_rate * self.steps
        return passed / (1 - self.momentum)

    @property
    def coordinates(self) -> dict[str, Any]:
        """Times, of several steps or rates."""
        return {"time": self.time} if self.batch_shape else {}

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None = None) -> Float[Array, "*batch modes"]:
        return self._closed_form(eigenvalues) if self.plain else self._recursion(eigenvalues)

    def _closed_form(self, eigenvalues: Float[Array, "modes"]) -> Float[Array, "*batch modes"]:
        shape = self.batch_shape
        rate = _expand(jnp.broadcast_to(jnp.asarray(self.learning_rate, eigenvalues.dtype), shape), eigenvalues)
        steps = _expand(jnp.broadcast_to(jnp.asarray(self.steps, eigenvalues.dtype), shape), eigenvalues)
        eigenvalues = jnp.broadcast_to(eigenvalues, rate.shape)
        step = rate * eigenvalues
        # |1 - step|^k by logarithms: exact for small step, and a zero base gives 0, its limit.
        contracting = step < 1
        log_base = jnp.where(
            contracting,
            jnp.log1p(-jnp.where(contracting, step, 0)),
            jnp.log(jnp.where(step > 1, step - 1, 1)),
        )
        exponent = jnp.where(steps > 0, steps, 1) * log_base
        odd = jnp.mod(jnp.where(jnp.isfinite(steps), steps, 0), 2) == 1
        sign = jnp.where(odd, -1, 1)
        remainder = jnp.where(contracting, -jnp.expm1(exponent), 1 - sign * jnp.exp(exponent))
        remainder = jnp.where(step == 1, 1, remainder)
        return jnp.where(steps > 0, remainder, 0) / eigenvalues

    def follow(self, learner: Learner, num_samples: int | None) -> Float[np.ndarray, "*batch inits modes"]:
        allowed = f'a constant learning rate without momentum or weight decay with loss="{learner.loss.name}"'
        require(self.plain, "training", allowed, self)
        rates, steps = (np.asarray(value, np.float64) for value in (self.learning_rate, self.steps))
        return learner.descent(*np.broadcast_arrays(rates, steps))

    def _at(self, eigenvalues: Float[Array, "modes"]) -> tuple[Recursion, jax.Array, tuple[int, ...]]:
        """The recursion at the eigenvalues, the steps as (*batch, 1), and the filter's shape."""
        shape, dtype = self.batch_shape, eigenvalues.dtype
        momentum, decay, steps = (
            jnp.broadcast_to(jnp.asarray(leaf, dtype), shape)[..., None]
            for leaf in (self.momentum, self.weight_decay, self.steps)
        )
        coupled, decoupled = (0 * decay, decay) if self.decoupled else (decay, 0 * decay)
        return Recursion(eigenvalues + coupled, decoupled, momentum, self.nesterov), steps, (*shape, *eigenvalues.shape)

    def _recursion(self, eigenvalues: Float[Array, "modes"]) -> Float[Array, "*batch modes"]:
        recursion, steps, shape = self._at(eigenvalues)
        if self.scheduled:
            return scheduled_steps(recursion, jnp.asarray(self.learning_rate.rates, eigenvalues.dtype), steps, shape)
        rate = jnp.broadcast_to(jnp.asarray(self.learning_rate, eigenvalues.dtype), self.batch_shape)[..., None]
        finite = jnp.isfinite(steps)
        found = many_equal_steps(recursion, rate, jnp.where(finite, steps, 0), shape)
        # Where both decays are gone and the eigenvalue is 0, nothing bounds g.
        limit = 1 / (recursion.curvature + (1 - recursion.momentum) * recursion.decay)
        limit = jnp.where(rate < recursion.largest_rate(), limit, jnp.inf)
        return jnp.where(finite, found, jnp.broadcast_to(limit, shape))

    def expansion(self, num_samples: Scalar | None = None) -> tuple[Scalar, Scalar]:
        if self.plain:
            rate, steps = jnp.asarray(self.learning_rate), jnp.asarray(self.steps)
            return rate * steps, -(rate**2) * steps * (steps - 1) / 2
        start = jnp.zeros(1, jnp.result_type(float))
        value, slope = jax.jvp(self._recursion, (start,), (jnp.ones_like(start),))
        return value[..., 0], slope[..., 0]

    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        r"""A Hankel contour in s' with \(s=(1-e^{-\eta s'})/\eta\), which turns \((1-\eta s)^k\) into \(e^{-s'\eta k}\).

        That needs eta lambda < 1 and k >= 8. Otherwise a circle around the spectrum, of about 4k points. Label D4.5. With
        momentum, weight decay or a schedule the poles are fitted, 3 to 64 of them
        (:func:`ntk_shortcuts.training.fitted_poles.fitted_poles`), however many `nodes` say. Label D13.3.

        Raises:
            ValueError: that circle would take more than 2000 points, or diverging descent.
        """
        shape = self.batch_shape
        largest = float(_concrete("largest_eigenvalue", largest_eigenvalue))
        if self.plain:
            rates = np.broadcast_to(_concrete("learning_rate", self.learning_rate), shape)
            steps = np.broadcast_to(_concrete("steps", self.steps), shape)
            rows = [_descent_poles(float(e), float(k), largest, nodes) for e, k in zip(rates.flat, steps.flat, strict=True)]
        else:
            require(not is_traced(self), "training", "plain numbers here (GradientFlow can be traced)", self)
            rows = [self._fitted_poles(index, largest) for index in range(int(np.prod(shape)))]
        count = max(len(poles) for poles, _ in rows)
        poles = np.stack([np.pad(poles, (0, count - len(poles)), mode="edge") for poles, _ in rows])
        residues = np.stack([np.pad(residues, (0, count - len(residues))) for _, residues in rows])
        return RationalFilter(jnp.asarray(poles.reshape(*shape, count)), jnp.asarray(residues.reshape(*shape, count)))

    def _fitted_poles(self, index: int, largest: float) -> tuple[np.ndarray, np.ndarray]:
        """Poles and residues of one rule of the batch."""
        shape = self.batch_shape
        steps, momentum, decay = (
            float(np.broadcast_to(np.asarray(leaf), shape).ravel()[index])
            for leaf in (self.steps, self.momentum, self.weight_decay)
        )
        rate: Any = self.learning_rate
        if not self.scheduled:
            rate = float(np.broadcast_to(np.asarray(rate), shape).ravel()[index])
        one = GradientDescent(rate, steps, momentum, self.nesterov, decay, self.decoupled)
        product, allowed = one._stability(largest)
        require(
            product <= allowed, "learning_rate", f"below {allowed / largest:.4g}, where steps diverge", np.max(one._rates())
        )
        pull = (1 - momentum if self.decoupled else 1) * decay
        if steps == 0:
            return np.array([-largest + 0j]), np.zeros(1, complex)
        if one.time * largest >= _NEGLIGIBLE:
            return np.array([-max(pull, largest / _NEGLIGIBLE) + 0j]), np.ones(1, complex)
        gain = in_float64(lambda values: np.asarray(one.filter(jnp.asarray(values))) * values)
        fit = fitted_poles(gain, largest, min(steps, _MOST_WAVES))
        return fit.poles, fit.residues

    def _rates(self) -> np.ndarray:
        return np.asarray(self.learning_rate.rates if self.scheduled else self.learning_rate)

    def _stability(self, largest: float) -> tuple[float, float]:
        """Learning rate x largest eigenvalue, and the bound of it: of the member of the batch that is nearest to its own."""
        recursion, _, _ = self._at(jnp.asarray([largest]))
        bound = np.asarray(recursion.largest_rate())[..., 0] * largest
        rate = np.max(self._rates()) if self.scheduled else self._rates()
        products, bounds = np.broadcast_arrays(rate * largest, bound)
        nearest = int(np.argmax(products.ravel() / bounds.ravel()))
        return float(products.ravel()[nearest]), float(bounds.ravel()[nearest])

    def issues(self, largest_eigenvalue: Any) -> tuple[Issue, ...]:
        if is_traced(self, largest_eigenvalue):
            return ()
        largest = float(largest_eigenvalue)
        product, bound = self._stability(largest)
        if product <= bound:
            return ()
        if not self.scheduled:
            return (Divergence(product, largest, bound),)
        above = int(np.sum(self._rates() * largest > bound))
        with jax.enable_x64(True):
            left = np.max(np.abs(1 - largest * np.asarray(self.filter(jnp.asarray([largest])))))
        return (UnstableSteps(product, largest, bound, above, float(left)),)


class Ridge(TrainingRule):
    r"""Kernel ridge regression with ridge delta: \(g(\lambda)=1/(\lambda+\delta/N)\); delta = 0 is the ridgeless limit.

    For infinite data \(\delta/N=0\): the population answer is the ridgeless one. Label D4.3.

    Args:
        strength: delta >= 0, added to the diagonal of the N x N Gram matrix.
    """

    strength: Batch

    def __init__(self, strength: Times):
        _require("strength", strength, ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        self.strength = real_leaf(strength)

    @property
    def coordinates(self) -> dict[str, Any]:
        return {"strength": self.strength} if np.ndim(self.strength) else {}

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None = None) -> Float[Array, "*batch modes"]:
        ridge = _expand(self.strength, eigenvalues)
        if num_samples is None:
            ridge = jnp.zeros_like(ridge)
        else:
            ridge = ridge / num_samples
        return 1 / (jnp.broadcast_to(eigenvalues, ridge.shape) + ridge)

    def follow(self, learner: Learner, num_samples: int | None) -> Float[np.ndarray, "*batch inits modes"]:
        """The regularised loss, mean loss + strength/(2N) times the squared norm; without N its limit, the minimiser."""
        strength = np.asarray(self.strength, np.float64)
        return learner.minimiser(strength / num_samples if num_samples is not None else 0 * strength)

    def expansion(self, num_samples: Scalar | None = None) -> tuple[Scalar, Scalar]:
        strength = jnp.asarray(self.strength)
        inverse = jnp.inf * jnp.ones_like(strength) if num_samples is None else num_samples / strength
        return inverse, -(inverse**2)

    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        r"""One real pole, at \(-\delta/N\)."""
        strength = jnp.asarray(self.strength) / num_samples if num_samples is not None else 0 * jnp.asarray(self.strength)
        pole = -jnp.maximum(strength, largest_eigenvalue / _NEGLIGIBLE)
        return RationalFilter(pole[..., None] + 0j, jnp.ones_like(pole)[..., None] + 0j)


def _hankel(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Poles (times t) and residues of the parabola, the half with Im s > 0."""
    step = 3 / nodes
    u = (np.arange(nodes) + 0.5) * step
    scaled = np.pi * nodes / 12 * (1 - 1j * u) ** 2
    return -scaled, 2 * step / np.pi * np.exp(scaled) / (1 - 1j * u)


def _concrete(name: str, value: Batch) -> np.ndarray:
    require(not is_traced(value), name, "a plain number here (GradientFlow can be traced)", value)
    return np.asarray(value, np.float64)


def _descent_poles(rate: float, steps: float, largest: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    if steps == 0:
        return np.array([-1.0 + 0j]), np.zeros(1, complex)
    if rate * steps * largest >= _NEGLIGIBLE:
        return np.array([-largest / _NEGLIGIBLE + 0j]), np.ones(1, complex)
    if rate * largest < 1 and steps >= 8:
        poles, residues = _hankel(nodes)
        moved = poles / steps  # eta s'
        return -np.expm1(-moved) / rate, residues * moved * np.exp(-moved) / -np.expm1(-moved)
    # |1 - eta s| = 1 + 10/k: |1 - eta s|^k stays below e^10, and aliases of order n are smaller than e^(-10 n / k).
    require(rate * largest < 2, "learning_rate", f"below 2 / lambda_max = {2 / largest:.4g}", rate)
    count = 2 * int(np.ceil((4 * steps + 40) / 2))
    require(count <= 2000, "steps", f"at most 490 where learning_rate x lambda_max = {rate * largest:.3g} exceeds 1", steps)
    radius = 1 + 10 / steps
    turn = radius * np.exp(2j * np.pi * (np.arange(count // 2) + 0.5) / count)
    poles = (1 - turn) / rate
    # (1/(2 pi i)) (1 - eta s)^k ds / s, upper half of the circle in s, doubled for the real part.
    residues = 2 / count * turn**steps * (-turn / rate) / poles
    return np.conj(poles), np.conj(residues)


declare_axes(GradientFlow, "training", "GradientFlow", {"time": Axis("training time", at_once=True)})
declare_axes(
    GradientDescent,
    "training",
    "GradientDescent",
    {
        "learning_rate": Axis("learning rate"),
        "steps": Axis("steps of gradient descent"),
        "momentum": Axis("momentum"),
        "weight_decay": Axis("weight decay towards the initial parameters"),
    },
)
declare_axes(Ridge, "training", "Ridge", {"strength": Axis("ridge strength")})
