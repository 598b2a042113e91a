r"""How the pre-activations of one hidden layer become those of the next: plainly, added to what was there, normalised.

\[h^l=D^l\phi(h^{l-1}),\qquad h^l=h^{l-1}+b\,D^l\phi(h^{l-1}),\qquad
  h^l=D^l\phi(\mathrm{LN}\,h^{l-1}),\]

D an affine layer; the last two may be combined. A finite network's arrays and an infinite one's moments go through the same
two steps of one :class:`Block`: what the activation is given, and how the layer's output is joined to what was there.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from ntk_shortcuts.kernels.moments import PairMoments
from ntk_shortcuts.numerics import safe_divide, safe_sqrt
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import AnyArray, Array, Float, Scalar

NORMALIZATIONS = ("layer",)


class Block(Record):
    r"""What stands between two affine layers beside the activation.

    - `residual`: the factor b of the layer that is added to what was there; None: it replaces it.
    - `normalization`: "layer", over the width, without trained gain and offset and without a constant added to the variance
      (zero pre-activations stay zero); or None.

    Infinite width: the layers' pre-activations are centred Gaussians, independent of what is added to them, so that moments
    add up, and the mean over the width is 0 and the variance \(K(x,x)\). With \(K',\Theta'\) those of the affine layer,

    \[K\leftarrow K+b^2K',\ \Theta\leftarrow\Theta+b^2\Theta';\qquad
      (K,\Theta)\leftarrow\frac{(K,\Theta)}{\sqrt{K(x,x)K(x',x')}}.\]

    Labels D3.5 and D3.6.
    """

    residual: Scalar | None = None
    normalization: str | None = eqx.field(static=True, default=None)

    @property
    def is_plain(self) -> bool:
        """Whether affine layers and activations are all there is."""
        return self.residual is None and self.normalization is None

    def seen(self, hidden: Float[Array, "n width"]) -> Float[Array, "n width"]:
        """What the activation is given of pre-activations."""
        if self.normalization is None:
            return hidden
        centred = hidden - jnp.mean(hidden, axis=-1, keepdims=True)
        variance = jnp.mean(centred**2, axis=-1, keepdims=True)
        return safe_divide(centred, safe_sqrt(variance))

    def joined(self, hidden: Float[Array, "n width"], update: Float[Array, "n width"]) -> Float[Array, "n width"]:
        """The next pre-activations, from those before and the affine layer's output."""
        return update if self.residual is None else hidden + jnp.asarray(self.residual, update.dtype) * update

    def seen_moments(self, pre: PairMoments, tangent: jax.Array) -> tuple[PairMoments, jax.Array]:
        """:meth:`seen` of moments and tangent kernel."""
        if self.normalization is None:
            return pre, tangent
        return pre.normalized(), safe_divide(tangent, safe_sqrt(pre.variance1) * safe_sqrt(pre.variance2))

    def joined_moments(
        self, before: tuple[PairMoments, jax.Array], update: tuple[PairMoments, jax.Array]
    ) -> tuple[PairMoments, jax.Array]:
        """:meth:`joined` of moments and tangent kernels."""
        if self.residual is None:
            return update
        factor = jnp.asarray(self.residual, update[1].dtype) ** 2
        return before[0].plus(update[0].affine(factor, jnp.zeros_like(factor))), before[1] + factor * update[1]

    def seen_variance(self, variance: AnyArray) -> AnyArray:
        """:meth:`seen` of a variance."""
        return variance if self.normalization is None else jnp.where(variance > 0, 1.0, 0.0)

    def joined_number(self, before: Scalar, update: Scalar) -> Scalar:
        """:meth:`joined` of a variance, or of any number linear in the moments."""
        return update if self.residual is None else before + self.residual**2 * update


PLAIN = Block()
