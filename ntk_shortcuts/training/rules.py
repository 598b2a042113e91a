"""What a training rule is: a spectral filter, what training does to each eigenfunction of the kernel. Each rule is one file.

Conventions: loss (1/(2N)) sum_n (f(x_n) - y_n)^2, time = learning rate x steps, lambda an eigenvalue of Theta/N (or of
the integral operator under the data law). Training multiplies the target's component along an eigenfunction by
lambda g(lambda). Parameters may carry one leading axis, to evaluate several times or strengths in one pass.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.issues import Issue
from ntk_shortcuts.padding import filled, in_batch, size_of_poles
from ntk_shortcuts.spec import Record, Spec
from ntk_shortcuts.training.learner import Learner
from ntk_shortcuts.typing import AnyArray, Array, Batch, Complex, Float, Scalar, Times
from ntk_shortcuts.validation import require, require_values

NEGLIGIBLE = 1e9
"""Times beyond this over the largest eigenvalue are infinite to float64; the limit keeps a pole this close to 0."""


_Rule = TypeVar("_Rule", bound="SpectralFilter")


class RationalFilter(Record):
    r"""A filter as a sum of resolvents: \(g(\lambda)\approx\mathrm{Re}\sum_kc_k/(\lambda-s_k)\), with Im s_k >= 0 or s_k < 0.

    - `poles` s and `residues` c: complex, (K,), or (T, K) for a rule with T parameters.
    """

    poles: Complex[AnyArray, "*batch K"]
    residues: Complex[AnyArray, "*batch K"]

    def __call__(self, eigenvalues: Float[Array, "modes"]) -> Float[Array, "*batch modes"]:
        """The sum at the given eigenvalues."""
        terms = self.residues[..., None] / (eigenvalues - self.poles[..., None])
        return jnp.sum(terms, axis=-2).real

    def enlarged(self) -> RationalFilter:
        """With poles of residue 0 up to one of a few numbers of poles."""
        poles, residues = np.asarray(self.poles), np.asarray(self.residues)
        size, last = size_of_poles(poles.shape[-1]), (poles.ndim - 1,)
        return RationalFilter(filled(poles, size, last, repeat=True), filled(residues, size, last))


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

    def enlarged(self: _Rule) -> _Rule:
        """As an array of rules, the last one repeated up to one of a few sizes: a single rule as an array of one.

        So compiled programs are shared by all numbers of times; :func:`ntk_shortcuts.padding.out_of_batch` takes it back.
        """
        shape = self.batch_shape
        return jax.tree.map(lambda leaf: in_batch(shape, leaf) if np.shape(leaf) == shape else leaf, self)

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
    def expansion(self, num_samples: Scalar | None) -> tuple[Batch, Batch]:
        """g(0) and g'(0): the start of training; infinite where a rule has no start. Label D6.3.

        Example:
            >>> from ntk_shortcuts import GradientFlow
            >>> value, slope = GradientFlow(time=[1.0, 4.0]).expansion()
            >>> value.tolist(), slope.tolist()
            ([1.0, 4.0], [-0.5, -8.0])
        """

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


def expanded(parameter: Batch, eigenvalues: jax.Array) -> jax.Array:
    """A parameter with the eigenvalues as last axis."""
    parameter = jnp.asarray(parameter, eigenvalues.dtype)
    return jnp.broadcast_to(parameter[..., None], (*parameter.shape, *eigenvalues.shape))


def require_parameter(name: str, value: Times, allowed: str, test: Callable[[Any], Any]) -> None:
    """Refuse a parameter that is neither a number nor an array of them, or out of range."""
    shape = np.shape(value)
    require(len(shape) <= 1 and 0 not in shape, name, f"{allowed}: a number, or a one-dimensional array with entries", value)
    require_values(name, value, shape, allowed, test)
