"""Full-batch gradient descent, with momentum, schedules and weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.axes import Axis, declare_axes
from ntk_shortcuts.issues import Divergence, Issue, UnstableSteps
from ntk_shortcuts.numerics import in_float64, is_traced, real_leaf
from ntk_shortcuts.training.contours import concrete, descent_poles, on_contour
from ntk_shortcuts.training.fitted_poles import fitted_poles
from ntk_shortcuts.training.learner import Learner
from ntk_shortcuts.training.momentum import Recursion, many_equal_steps, scheduled_steps
from ntk_shortcuts.training.rules import NEGLIGIBLE, RationalFilter, TrainingRule, expanded, require_parameter
from ntk_shortcuts.training.schedules import Schedule
from ntk_shortcuts.typing import Array, Batch, Float, Scalar, Times
from ntk_shortcuts.validation import require

# Of a filter on the spectrum: what is left of more steps' turns is far below 1e-5.
_MOST_WAVES = 2000


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
        >>> rule.filter(jnp.array([0.0])).round(2).tolist()[1], round(float(rule.time[1]), 2)  # g(0), and time
        ([418.4...], 505.0)
    """

    sources: ClassVar[tuple[str, ...]] = ("lee2019wide",)

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
        require_parameter("steps", steps, allowed, lambda v: (v >= 0) & (v == np.floor(v)) & ((v < 2.0**53) | (v == most)))
        if scheduled:
            require(not is_traced(steps), "steps", "a plain number with a schedule, whose rates are read at each", steps)
            self.learning_rate: Any = Schedule.of(learning_rate, int(np.max(np.asarray(steps), initial=0)))
        else:
            require_parameter("learning_rate", learning_rate, "positive and finite", lambda v: (v > 0) & (v < np.inf))
            self.learning_rate = real_leaf(learning_rate)
        require_parameter("momentum", momentum, "in [0, 1)", lambda v: (v >= 0) & (v < 1))
        require_parameter("weight_decay", weight_decay, ">= 0 and finite", lambda v: (v >= 0) & (v < np.inf))
        self.steps = real_leaf(steps)
        self.momentum, self.weight_decay = real_leaf(momentum), real_leaf(weight_decay)
        self.nesterov, self.decoupled = bool(nesterov), bool(decoupled)
        known = not is_traced(momentum, weight_decay)
        self.plain = not scheduled and known and not np.any(self.momentum) and not np.any(self.weight_decay)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        rate = () if self.scheduled else jnp.shape(self.learning_rate)
        return jnp.broadcast_shapes(rate, *(jnp.shape(leaf) for leaf in (self.steps, self.momentum, self.weight_decay)))

    def enlarged(self) -> GradientDescent:
        found = super().enlarged()
        return eqx.tree_at(lambda rule: rule.learning_rate, found, self.learning_rate) if self.scheduled else found

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
    def cited(self) -> tuple[str, ...]:
        return (*super().cited, *(("polyak1964some",) if np.any(self.momentum) else ()))

    @property
    def coordinates(self) -> dict[str, Any]:
        """Times, of several steps or rates."""
        return {"time": self.time} if self.batch_shape else {}

    def filter(self, eigenvalues: Float[Array, "modes"], num_samples: Scalar | None = None) -> Float[Array, "*batch modes"]:
        return self._closed_form(eigenvalues) if self.plain else self._recursion(eigenvalues)

    def _closed_form(self, eigenvalues: Float[Array, "modes"]) -> Float[Array, "*batch modes"]:
        shape = self.batch_shape
        rate = expanded(jnp.broadcast_to(jnp.asarray(self.learning_rate, eigenvalues.dtype), shape), eigenvalues)
        steps = expanded(jnp.broadcast_to(jnp.asarray(self.steps, eigenvalues.dtype), shape), eigenvalues)
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

    def expansion(self, num_samples: Scalar | None = None) -> tuple[Batch, Batch]:
        if self.plain:
            rate, steps = jnp.asarray(self.learning_rate), jnp.asarray(self.steps)
            return rate * steps, -(rate**2) * steps * (steps - 1) / 2
        start = jnp.zeros(1, jnp.result_type(float))
        value, slope = jax.jvp(self._recursion, (start,), (jnp.ones_like(start),))
        return value[..., 0], slope[..., 0]

    def rational(self, num_samples: Scalar | None, largest_eigenvalue: Scalar, nodes: int = 6) -> RationalFilter:
        r"""A Hankel contour in s' with \(s=(1-e^{-\eta s'})/\eta\), which turns \((1-\eta s)^k\) into \(e^{-s'\eta k}\).

        That needs eta lambda < 1 and k >= 8. Otherwise a circle around the spectrum, of about 4k points. Label D4.5. Beyond
        2000 points, or with momentum, weight decay or a schedule, the poles are fitted, 3 to 64 of them
        (:func:`ntk_shortcuts.training.fitted_poles.fitted_poles`), however many `nodes` say. Label D13.3.

        Raises:
            ValueError: diverging descent.
        """
        shape = self.batch_shape
        largest = float(concrete("largest_eigenvalue", largest_eigenvalue))
        require(not is_traced(self), "training", "plain numbers here (GradientFlow can be traced)", self)
        settings = self._settings()
        found = {setting: self._poles(*setting, largest, nodes) for setting in dict.fromkeys(settings)}
        rows = [found[setting] for setting in settings]
        count = max(len(poles) for poles, _ in rows)
        poles = np.stack([np.pad(poles, (0, count - len(poles)), mode="edge") for poles, _ in rows])
        residues = np.stack([np.pad(residues, (0, count - len(residues))) for _, residues in rows])
        return RationalFilter(jnp.asarray(poles.reshape(*shape, count)), jnp.asarray(residues.reshape(*shape, count)))

    def _settings(self) -> list[tuple[Any, float, float, float]]:
        """Rate (or schedule), steps, momentum and decay of each rule of the batch."""
        shape = self.batch_shape
        leaves = [self.steps, self.momentum, self.weight_decay, *([] if self.scheduled else [self.learning_rate])]
        columns = [np.broadcast_to(np.asarray(leaf), shape).ravel().tolist() for leaf in leaves]
        rates = [self.learning_rate] * len(columns[0]) if self.scheduled else columns.pop()
        return list(zip(rates, *columns, strict=True))

    def _poles(
        self, rate: Any, steps: float, momentum: float, decay: float, largest: float, nodes: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Poles and residues of one rule of the batch."""
        if self.plain and on_contour(rate, steps, largest):
            return descent_poles(rate, steps, largest, nodes)
        one = GradientDescent(rate, steps, momentum, self.nesterov, decay, self.decoupled)
        product, allowed = one._stability(largest)
        require(
            product <= allowed, "learning_rate", f"below {allowed / largest:.4g}, where steps diverge", np.max(one._rates())
        )
        pull = (1 - momentum if self.decoupled else 1) * decay
        if steps == 0:
            return np.array([-largest + 0j]), np.zeros(1, complex)
        if one.time * largest >= NEGLIGIBLE:
            return np.array([-max(pull, largest / NEGLIGIBLE) + 0j]), np.ones(1, complex)
        gain = in_float64(lambda values: np.asarray(one._recursion(jnp.asarray(values))) * values)
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
