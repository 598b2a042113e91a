"""Samples of two-feature data, and data of your own."""

from __future__ import annotations

from typing import Any

from ntk_shortcuts.laws.two_features.embedding import Embedding
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.spec import Record
from ntk_shortcuts.typing import Array, Float
from ntk_shortcuts.validation import as_labels, as_points, require


class Dataset(Record):
    """A sample: latents (n, K), labels (n,) in {-1, +1}, inputs (n, d), and the embedding that made the inputs.

    Your own data needs inputs and labels only: `Dataset.from_arrays(inputs, labels)`.
    """

    inputs: Float[Array, "n d"]
    labels: Float[Array, "n"]
    latents: Float[Array, "n K"] | None = None
    embedding: Embedding | None = None

    @classmethod
    @in_float64
    def from_arrays(cls, inputs: Any, labels: Any, latents: Any = None) -> Dataset:
        """A data set from arrays of your own.

        Raises:
            ValueError: wrong shapes, NaN or infinite entries, labels not in {-1, +1}.

        Example:
            >>> Dataset.from_arrays([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]], [1, -1]).inputs.shape
            (2, 3)
        """
        inputs = as_points("inputs", inputs)
        labels = as_labels("labels", labels, count=inputs.shape[0]).astype(inputs.dtype)
        if latents is not None:
            latents = as_points("latents", latents, dimension=2)
            require(latents.shape[0] == inputs.shape[0], "latents", f"of shape ({inputs.shape[0]}, 2)", latents)
        return cls(inputs, labels, latents)
