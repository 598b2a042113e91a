"""What a run of trained networks leaves: outputs, biases, and the data and parameters behind them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.laws.two_features.optimum import optimal_reliance
from ntk_shortcuts.metrics.reliance import reliance
from ntk_shortcuts.results.arrays import latent_coordinates, table, variable
from ntk_shortcuts.results.base import Result
from ntk_shortcuts.results.origin import Origin
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import AnyArray, Float
from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Ensemble(Result):
    """Outputs and biases of networks trained on D data sets from I initialisations each.

    A leading axis T is there where the steps of the training rule were an array.

    - `outputs`: (*T, D, I, probes); `initial_outputs`: (D, I, probes); `initial_train_outputs`: (D, I, N), at the training
      inputs. Centred ensembles have f - f_0 in all three.
    - `bias`, `reliance`: (*T, D, I); `optimal_reliance`: a number; `probes`: latents (probes, 2).
    - `train_loss`: (*T, D, I), of the loss trained on; `validation_accuracy`: (*T, D, I), NaN without validation data.
    - `steps`: (*T,), `datasets`: the D data sets as one batched `Dataset`, `params`: final parameters, batched (D, I).
    - `plane`: whether the networks were reduced to the plane, `params` then being those of the reduced networks.
    """

    outputs: Float[AnyArray, "*times datasets inits probes"]
    initial_outputs: Float[AnyArray, "datasets inits probes"]
    initial_train_outputs: Float[AnyArray, "datasets inits n"]
    bias: Float[AnyArray, "*times datasets inits"]
    reliance: Float[AnyArray, "*times datasets inits"]
    optimal_reliance: float
    probes: Float[AnyArray, "probes 2"]
    train_loss: Float[AnyArray, "*times datasets inits"]
    validation_accuracy: Float[AnyArray, "*times datasets inits"]
    steps: np.ndarray
    datasets: Dataset
    params: Any
    plane: bool = eqx.field(static=True)

    def numbers(self) -> dict[str, Any]:
        """The mean bias with its standard error, how many networks there are, and when they were read."""
        counts = dict(zip(("data sets", "initialisations"), np.shape(self.bias)[-2:], strict=True))
        return {"mean_bias": self.mean_bias, "standard_error": self.standard_error, **counts, "steps": self.steps}

    def plot(self, ax: Any = None) -> Figure:
        """Biases of all networks and their mean, over the steps where there are several.

        Args:
            ax: matplotlib axes to draw in; by default those of a new figure.
        """
        from ntk_shortcuts.plotting.ensemble import plot_networks

        along = ("steps", self.steps) if np.ndim(self.bias) == 3 else None
        return plot_networks(self.bias, self.standard_error, along, ax=ax)

    def to_xarray(self) -> xarray.Dataset:
        """Everything but the parameters over the dimensions `step` (of several), `dataset`, `init` and `probe`."""
        over = (*("step",) * (np.ndim(self.bias) - 2), "dataset", "init")
        words = {
            "bias": "shortcut bias",
            "reliance": "reliance on the shortcut",
            "train_loss": "loss on the training data",
            "validation_accuracy": "accuracy on validation data",
        }
        variables = {name: variable(over, getattr(self, name), long_name) for name, long_name in words.items()}
        variables["outputs"] = variable((*over, "probe"), self.outputs, "output")
        variables["initial_outputs"] = variable(("dataset", "init", "probe"), self.initial_outputs, "output at initialisation")
        variables["optimal_reliance"] = variable((), self.optimal_reliance, "reliance of the Bayes-optimal classifier")
        steps = variable(over[: np.ndim(self.steps)], self.steps, "steps of training")
        return table(variables, {"steps": steps, **latent_coordinates(self.probes)}, self.origin)

    @property
    def mean_bias(self) -> Any:
        """Mean over data sets and initialisations: a float, or (T,)."""
        mean = np.asarray(self.bias, np.float64).mean(axis=(-2, -1))
        return float(mean) if mean.ndim == 0 else mean

    @property
    def standard_error(self) -> Any:
        """Standard error of `mean_bias`: a float, or (T,).

        Networks on the same data set are not independent: with D > 1 it comes from the spread of the data sets' means, and is
        the error of an average over data sets; with D = 1 from the spread of initialisations; NaN for a single network.
        """
        error = standard_error(self.bias)
        return float(error) if error.ndim == 0 else error

    def dataset(self, index: int) -> Dataset:
        """One of the data sets, for `predict_bias(..., method="dataset", dataset=...)`."""
        return jax.tree.map(lambda leaf: leaf[index], self.datasets)

    def at_best_validation(self) -> Ensemble:
        """Early stopping: each network at the first recorded step of its highest validation accuracy.

        Raises:
            ValueError: without validation data, or with one recorded step only.
        """
        accuracy = np.asarray(self.validation_accuracy)
        require(accuracy.ndim == 3 and bool(np.isfinite(accuracy).all()), "num_validation", "given, with several steps", None)
        best = np.argmax(accuracy, axis=0)

        def chosen(values: Any) -> Any:
            index = best.reshape(1, *best.shape, *[1] * (values.ndim - 3))
            return jnp.take_along_axis(jnp.asarray(values), jnp.asarray(index), axis=0)[0]

        recorded = ("outputs", "bias", "reliance", "train_loss", "validation_accuracy")
        changes = {name: chosen(getattr(self, name)) for name in recorded}
        return dataclasses.replace(self, steps=self.steps[best], **changes)


def standard_error(values: Any) -> np.ndarray:
    """Of the mean of values (..., D, I) over networks, from the spread of the D data sets' means; with D = 1 from that of the
    initialisations, NaN for one network."""
    values = np.asarray(values, np.float64)
    values = values.mean(axis=-1) if values.shape[-2] > 1 else values[..., 0, :]
    count = values.shape[-1]
    return values.std(axis=-1, ddof=1) / np.sqrt(count) if count > 1 else np.full(values.shape[:-1], np.nan)


def times_first(values: Any, training: GradientDescent) -> Any:
    """Records (D, I, T, ...) as (T, D, I, ...), or (D, I, ...) where the rule has a single number of steps."""
    moved = np.moveaxis(values, 2, 0)
    return moved if np.ndim(training.steps) else moved[0]


def assembled(
    model: GenerativeModel,
    probes: AnyArray,
    datasets: list[Dataset],
    record: Any,
    training: GradientDescent,
    steps: np.ndarray,
    plane: bool,
    origin: Origin,
) -> Ensemble:
    """The ensemble of one law from the records of its networks, leaves (D, I, ...)."""
    recorded = (record.outputs, record.train_loss, record.validation_accuracy)
    outputs, loss, accuracy = (times_first(values, training) for values in recorded)
    found = np.asarray(reliance(np.asarray(outputs, np.float64), probes))
    optimum = float(optimal_reliance(model, probes))
    return Ensemble(
        outputs=outputs,
        initial_outputs=record.initial_outputs,
        initial_train_outputs=record.initial_train_outputs,
        bias=found - optimum,
        reliance=found,
        optimal_reliance=optimum,
        probes=np.asarray(probes),
        train_loss=loss,
        validation_accuracy=accuracy,
        steps=steps if np.ndim(training.steps) else steps[0],
        datasets=jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *datasets),
        params=record.params,
        plane=plane,
        origin=origin,
    )
