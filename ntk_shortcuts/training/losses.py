"""Losses by name, of one output and one label: shared by what trains finite networks and what predicts them."""

from __future__ import annotations

from collections.abc import Callable

import jax

from ntk_shortcuts.validation import require

LOSSES: dict[str, Callable[[jax.Array, jax.Array | float], jax.Array]] = {
    "squared": lambda output, label: (output - label) ** 2 / 2,
    "logistic": lambda output, label: jax.nn.softplus(-label * output),
}


def resolve_loss(name: str) -> Callable[[jax.Array, jax.Array | float], jax.Array]:
    r"""The loss of a name: "squared", \((f-y)^2/2\), or "logistic", \(\log(1+e^{-yf})\).

    Raises:
        ValueError: an unknown name; lists those there are.

    Example:
        >>> resolve_loss("squared")(3.0, 1.0)
        2.0
    """
    require(isinstance(name, str) and name in LOSSES, "loss", f"one of {', '.join(LOSSES)}", name)
    return LOSSES[name]
