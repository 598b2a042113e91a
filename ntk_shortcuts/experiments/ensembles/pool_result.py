"""What networks trained on data sets of a pool leave: outputs at the test samples, and accuracies by group."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_shortcuts.experiments.ensembles.checkpoints import Record
from ntk_shortcuts.experiments.ensembles.measured import MeasuredEnsemble
from ntk_shortcuts.experiments.ensembles.result import times_first
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.nodes.test_points import TestPoints
from ntk_shortcuts.results.origin import Origin
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import AnyArray, Float, Int


class PoolEnsemble(MeasuredEnsemble):
    """Outputs of networks trained on D data sets of a pool from I initialisations each, and what is read off them.

    A leading axis T is there where the steps of the training rule were an array.

    - `outputs`: (*T, D, I, n) at the n test samples; `initial_outputs`: (D, I, n); `initial_train_outputs`: (D, I, N), at the
      training inputs. Centred ensembles have f - f_0 in all three.
    - `train_loss`: (*T, D, I), of the loss trained on; `steps` and `times` = learning rate x steps: (*T,).
    - `pool`; `samples`: (D, N), the numbers of the drawn samples in it; `labels`: (D, N), -1 or +1, as the networks saw them;
      `points`: the test samples.
    - `params`: final parameters, batched (D, I).

    An output of 0 counts as half right, as in predictions.
    """

    outputs: Float[AnyArray, "*times datasets inits n"]
    initial_outputs: Float[AnyArray, "datasets inits n"]
    initial_train_outputs: Float[AnyArray, "datasets inits N"]
    train_loss: Float[AnyArray, "*times datasets inits"]
    steps: np.ndarray
    times: np.ndarray
    pool: Pool
    samples: Int[np.ndarray, "datasets N"]
    labels: Float[np.ndarray, "datasets N"]
    points: TestPoints
    params: Any

    @property
    def reliance(self) -> Float[np.ndarray, "*times datasets inits"]:
        """Of each network: reliance on the pool's one attribute.

        Raises:
            ValueError: several attributes, or none.
        """
        return self.reliance_on(self.pool.attribute())

    def dataset(self, index: int) -> Pool:
        """One of the data sets, for `predict(..., method="dataset", test=test)`; its samples count alike."""
        drawn = self.pool.reweighted(np.ones(self.pool.size)).take(self.samples[index])
        first, last = self.pool.classes
        return Pool(drawn.inputs, np.where(self.labels[index] > 0, last, first), drawn.attributes, drawn.weights)


def pool_ensemble(
    pool: Pool,
    points: TestPoints,
    samples: np.ndarray,
    labels: np.ndarray,
    record: Record,
    training: GradientDescent,
    steps: np.ndarray,
    origin: Origin,
) -> PoolEnsemble:
    """The ensemble from the records of its networks, leaves (D, I, ...)."""
    steps = steps if np.ndim(training.steps) else steps[0]
    return PoolEnsemble(
        outputs=times_first(record.outputs, training),
        initial_outputs=record.initial_outputs,
        initial_train_outputs=record.initial_train_outputs,
        train_loss=times_first(record.train_loss, training),
        steps=steps,
        times=np.asarray(training.time),
        pool=pool,
        samples=samples,
        labels=labels,
        points=points,
        params=record.params,
        origin=origin,
    )
