r"""Exact reduction to the plane: a network on R^d trained by gradient descent sees the two feature directions only.

Inputs without nesting are \(x=Qa\) with an orthonormal basis Q (d, 2) of the span of \(w_s,w_c\) and coordinates a in the
plane. The gradient of the loss in the first layer's weights is \(Q\,(\cdot)\): what of them lies outside the span stays as it
was and meets no input. The network on the plane whose first layer starts at \(Q^\top W^1\) therefore has the same outputs
after every step of gradient descent, with minibatches, momentum or weight decay. Methods that are not invariant under
rotations of the weights (Adam) have no such reduction. Source: worked out for this package.
"""

from __future__ import annotations

import jax.numpy as jnp

from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.numerics import safe_divide
from ntk_shortcuts.typing import AnyArray, Array, Float
from ntk_shortcuts.validation import require


def plane_basis(embedding: Embedding) -> Float[Array, "d K"]:
    """Orthonormal basis of the span of w_s and w_c, the first along w_s; of K features likewise.

    `network.on_plane(params, basis)` and `network.plane_inputs(x, basis)` are the reduced network's parameters and inputs.

    Raises:
        ValueError: an embedding with nesting, whose inputs do not lie in a plane.

    Example:
        >>> import jax
        >>> from ntk_shortcuts import MLP, GenerativeModel
        >>> model, network = GenerativeModel(), MLP(1, width=8)
        >>> data = model.sample(jax.random.key(0), 4)
        >>> params, basis = network.init(jax.random.key(1), 100), plane_basis(data.embedding)
        >>> reduced = network.apply(network.on_plane(params, basis), network.plane_inputs(data.inputs, basis))
        >>> bool(jnp.allclose(reduced, network.apply(params, data.inputs), atol=1e-6))
        True
    """
    require(not any(embedding.layers), "nesting", "(0, 0) for the reduction to the plane", [len(a) for a in embedding.layers])
    # Gram-Schmidt, written out: a batched QR would be a batched LAPACK call.
    basis: list[Array] = []
    for direction in embedding.directions:
        rest = jnp.asarray(direction)
        for unit in basis:
            rest = rest - (unit @ rest) * unit
        basis.append(safe_divide(rest, jnp.linalg.norm(rest)))
    return jnp.stack(basis, axis=1)


def shared_plane(embedding: Embedding | None, *inputs: Float[AnyArray, "_ d"]) -> Float[Array, "d K"] | None:
    """Basis of the plane of the two features, where all the inputs lie in it to rounding; else None.

    Inputs that were changed since they were embedded (noise added, say) need not.
    """
    if embedding is None or any(embedding.layers):
        return None
    basis = plane_basis(embedding)
    for x in inputs:
        x = x.astype(basis.dtype)
        outside = jnp.max(jnp.abs(x - (x @ basis) @ basis.T))
        if outside > 100 * jnp.finfo(basis.dtype).eps * jnp.max(jnp.abs(x)):
            return None
    return basis
