"""Infinite data: the kernel as an integral operator under the data law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx

from ntk_shortcuts.laws.kernel import LawKernel
from ntk_shortcuts.methods.any_loss import outputs as any_loss
from ntk_shortcuts.methods.any_loss.initial import NUM_DRAWS
from ntk_shortcuts.methods.any_loss.outputs import Draws
from ntk_shortcuts.methods.base import Method, Question, require_infinite, require_tolerance
from ntk_shortcuts.methods.infinite_data import infinite_data_outputs
from ntk_shortcuts.nodes.base import SampleWeight
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.outputs import Outputs
from ntk_shortcuts.training.losses import resolve_loss
from ntk_shortcuts.training.rules import TrainingRule
from ntk_shortcuts.typing import Key

# Questions at a time: those whose nodes are refined further still fill a call, and little is lost where a process is killed.
_TOGETHER = 32


class Population(Method):
    r"""Infinitely wide networks trained on infinitely many samples.

    \[\begin{aligned}&(Tf)(z)=\int\Theta(z,z')f(z')p(z')\,dz',\\
      &f_t=f_0+T\,g(T)\,(f^*-f_0),\qquad f^*(z)=E[y\mid z].\end{aligned}\]

    The target is f*, not labels at the nodes: those would be noise that the solver fits at large t. Under another loss than the
    squared one there is no filter: outputs are integrated along time (:mod:`ntk_shortcuts.training.function_flow`), up to any
    time; inf is the minimiser as far as the kernel reaches, the log-odds for the logistic loss.

    Args:
        loss: "squared", "logistic", or another that is registered (:class:`ntk_shortcuts.training.Loss`).
        random_init: include the random output at initialisation (f_0 Gaussian with the NNGP kernel); else f_0 = 0.
        tolerance: nodes are refined until the bias moves by less than this, or the finest rule is reached.
        sample_weight: a function of latents (n, 2) and labels (n,) to the weights (n,) of samples in the loss,
            (1/(2N)) sum w (f - y)^2, symmetric where the law is, w(-z, -y) = w(z, y); not normalised, so that their mean sets
            the clock. The bias stays relative to the optimum of the unweighted law.
        num_draws: of another loss, random outputs at initialisation that are drawn, since they enter nonlinearly; outputs are
            samples then. A power of two is best.
        key: of these draws; `jax.random.key(0)` by default.

    Diagnostics: `discretization_error` (the last move of the bias), `nodes`, `converged` (1 or 0), `rounding_error` (the
    largest move of the bias under errors of the arithmetic; Label D4.7), the spectrum's condition and dropped mass, and the
    kernel's own quadrature error. Where outputs at initialisation are drawn, `bias_standard_error` (of the mean over them, the
    largest one for several times; nodes are refined without them) and `num_draws`.

    Issues: the bias moves by more than the tolerance at the finest rule of nodes, by more than 0.002 under rounding, or a
    direction in which the data hardly vary would be learnt and is below the arithmetic.

    Raises:
        ValueError: num_samples given, a tolerance that is not positive, weights that are not symmetric, an unknown loss;
            another loss inside a JAX transformation.

    Numerics: for two features nodes in graded polar coordinates (:func:`ntk_shortcuts.laws.two_features.polar.latent_rays`);
    bias-free networks of homogeneous activations need one node per ray. Without `random_init` the bias counts signs on a grid
    and moves in steps of 0.0022. Under a JAX transformation the second rule is used without refinement.

    Example:
        >>> from ntk_shortcuts import MLP, GenerativeModel, GradientFlow, predict_bias
        >>> arguments = (GenerativeModel(amplification=(4.0, 1.0)), MLP(1), GradientFlow(30.0))
        >>> round(predict_bias(*arguments, method=Population(random_init=False, tolerance=0.01)).bias, 2)
        1.13
    """

    sources: ClassVar[tuple[str, ...]] = ("lee2019wide",)

    name: ClassVar[str] = "population"

    random_init: bool = True
    tolerance: float = 2e-3
    sample_weight: SampleWeight | None = eqx.field(default=None, static=True)
    loss: str = eqx.field(default="squared", static=True)
    num_draws: int = eqx.field(default=NUM_DRAWS, static=True)
    key: Key | None = None

    def __call__(self, kernel: LawKernel, training: TrainingRule, num_samples: Any, points: TestPoints) -> Outputs:
        return self.each([Question(kernel, training, num_samples, points)])[0]

    @property
    def together(self) -> int:
        return _TOGETHER if resolve_loss(self.loss).spectral else 1

    def each(self, questions: Sequence[Question]) -> Sequence[Outputs]:
        loss = resolve_loss(self.loss)
        for question in questions:
            self._require_fit(question)
        if loss.spectral:
            return infinite_data_outputs(questions, self.random_init, self.tolerance, self.sample_weight)
        options = Draws(self.random_init, self.num_draws, self.key), self.tolerance, self.sample_weight
        return [any_loss.infinite_data_outputs(loss, one.kernel, one.training, one.points, *options) for one in questions]

    def _require_fit(self, question: Question) -> None:
        require_infinite(question.num_samples, self.name)
        require_tolerance(self.tolerance)
        if self.sample_weight is not None:
            default = question.kernel.law.test_points().points
            question.kernel.parity.require_symmetric_weight(self.sample_weight, default, self.name)
