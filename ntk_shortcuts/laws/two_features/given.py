"""A data set that is given, sampled or a user's own, and the inputs at which networks trained on it are read off."""

from __future__ import annotations

from typing import Any, NamedTuple

from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.plane import shared_plane
from ntk_shortcuts.numerics import in_float64
from ntk_shortcuts.typing import Array, Float, Latents
from ntk_shortcuts.validation import as_labels, as_points, require, required


class GivenData(NamedTuple):
    """Inputs and labels of a data set, inputs of the probes, and the basis of the plane in which all of them lie, or None."""

    inputs: Float[Array, "n d"]
    labels: Float[Array, "n"]
    probe_inputs: Float[Array, "probes d"]
    basis: Float[Array, "d 2"] | None


@in_float64
def given_data(dataset: Dataset, num_samples: int | None, probes: Latents, probe_inputs: Any = None) -> GivenData:
    """Check a data set and place the probes among its inputs: as given, or embedded as the data set was.

    Raises:
        ValueError: num_samples that is not the size of the data set; labels not in {-1, +1}; probe_inputs of another shape, or
            none for data without an embedding.

    Example:
        >>> data = Dataset.from_arrays([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]], [1, -1])
        >>> given = given_data(data, None, [[0.5, 0.5]], [[1.0, 1.0, 1.0]])
        >>> given.probe_inputs.shape, given.basis
        ((1, 3), None)
    """
    inputs, labels = given_samples(dataset, num_samples)
    probe_inputs = given_probe_inputs(dataset, as_points("probes", probes, dimension=2), probe_inputs)
    return GivenData(inputs, labels, probe_inputs, shared_plane(dataset.embedding, inputs, probe_inputs))


def given_samples(dataset: Dataset, num_samples: int | None) -> tuple[Float[Array, "n d"], Float[Array, "n"]]:
    """Inputs and labels of a data set, checked as :func:`given_data` says."""
    allowed = "a Dataset, of model.sample or Dataset.from_arrays"
    require(isinstance(dataset, Dataset), "dataset", allowed, type(dataset).__name__)
    inputs = as_points("dataset.inputs", dataset.inputs)
    count = inputs.shape[0]
    labels = as_labels("dataset.labels", dataset.labels, count=count).astype(inputs.dtype)
    require(num_samples in (None, count), "num_samples", f"None or {count}, the size of dataset", num_samples)
    return inputs, labels


def given_probe_inputs(dataset: Dataset, points: Float[Array, "probes k"], probe_inputs: Any) -> Float[Array, "probes d"]:
    """Points of a law among the inputs of a data set, as :func:`given_data` says."""
    if probe_inputs is None:
        allowed = "given for data of your own, a dataset without embedding: where the probes lie among its inputs is not known"
        probe_inputs = required(dataset.embedding, "probe_inputs", allowed)(points)
    dimension = dataset.inputs.shape[1]
    probe_inputs = as_points("probe_inputs", probe_inputs, dimension=dimension)
    allowed = f"of shape ({points.shape[0]}, {dimension}), one row per probe"
    require(probe_inputs.shape[0] == points.shape[0], "probe_inputs", allowed, probe_inputs)
    return probe_inputs
