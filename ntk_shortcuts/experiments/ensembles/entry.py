"""The entry: checks, data, training, results."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, overload

from ntk_shortcuts.compilation import make_room
from ntk_shortcuts.experiments.ensembles.checks import Optimizer, checked_laws
from ntk_shortcuts.experiments.ensembles.laws import LawEnsemble, train_on_law
from ntk_shortcuts.experiments.ensembles.pool_result import PoolEnsemble
from ntk_shortcuts.experiments.ensembles.pools import train_on_pool
from ntk_shortcuts.experiments.ensembles.result import Ensemble, assembled
from ntk_shortcuts.experiments.ensembles.run import run
from ntk_shortcuts.experiments.ensembles.sources import Given, Sampled, Source
from ntk_shortcuts.laws.base import DataLaw, Law
from ntk_shortcuts.laws.pool import Pool
from ntk_shortcuts.laws.two_features.dataset import Dataset
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.results.base import origin_of
from ntk_shortcuts.results.origin import Origin
from ntk_shortcuts.training.gradient_descent import GradientDescent
from ntk_shortcuts.typing import Array, Float, Key, Latents
from ntk_shortcuts.validation import as_points, require


@overload
def train_ensemble(
    model: Pool,
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    test: Pool,
    **options: Any,
) -> PoolEnsemble: ...
@overload
def train_ensemble(
    model: GenerativeModel,
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    dataset: Dataset | None = None,
    probe_inputs: Float[Array, "probes d"] | None = None,
    **options: Any,
) -> Ensemble: ...
@overload
def train_ensemble(
    model: DataLaw,
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    **options: Any,
) -> LawEnsemble: ...
def train_ensemble(
    model: Law,
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    dataset: Dataset | None = None,
    probe_inputs: Float[Array, "probes d"] | None = None,
    test: Pool | None = None,
    **options: Any,
) -> Ensemble | LawEnsemble | PoolEnsemble:
    r"""Train finite networks on sampled data sets, or on one of your own, and measure their shortcut bias.

    Args:
        model: the data law, every sampled data set with its own random embedding; or a `Pool` to draw data sets from.
            Of laws other than a `GenerativeModel`, data sets are sampled.
        network: one of finite width: an `MLP`, a stax network with `init_fn` and `apply_fn`, or any
            :class:`~ntk_shortcuts.networks.base.FiniteNetwork`.
        training: `GradientDescent(learning_rate, steps)`. Several steps (an array) are recorded in one run.
        num_samples: N, even for a law; None: a pool is the data set itself.
        num_datasets: D.
        num_inits: I, networks on each data set.
        key: `jax.random` key.
        dataset: a data set instead of sampled ones, from `model.sample` or your own by `Dataset.from_arrays(inputs, labels)`;
            num_datasets is 1 then, and the model says where the probes lie and what is optimal.
        probe_inputs: the probes as inputs (n, d) among those of `dataset`; by default embedded as the data set was, which your
            own data cannot do.
        test: of a pool, the samples to measure accuracies on: another `Pool`, such as the second of `pool.split(key, 0.7)`.
        **options: loss, optimiser, batches, precision, checkpoints and more: the keyword arguments of :func:`train_ensembles`;
            of a pool those of :func:`~ntk_shortcuts.experiments.ensembles.pools.train_on_pool`, of laws other than a
            `GenerativeModel` those of :func:`~ntk_shortcuts.experiments.ensembles.laws.train_on_law`.

    Returns:
        An :class:`Ensemble`; of a pool a :class:`PoolEnsemble`, with accuracies by group; of other laws a :class:`LawEnsemble`.

    Raises:
        ValueError, FloatingPointError: as :func:`train_ensembles`.

    Example:
        >>> import jax
        >>> from ntk_shortcuts import MLP
        >>> model, network = GenerativeModel(amplification=(4.0, 1.0)), MLP(1, width=64)
        >>> e = train_ensemble(model, network, GradientDescent(1.0, [1, 10]), 100, 2, 2, key=jax.random.key(0))
        >>> e.bias.shape, e.outputs.shape
        ((2, 2, 2), (2, 2, 2, 900))
    """
    sizes = (num_samples, num_datasets, num_inits)
    if isinstance(model, Law) and model.samples is not None:
        require(dataset is None, "dataset", "None for a pool (num_samples=None: the pool is the data set)", "a data set")
        require(probe_inputs is None, "probe_inputs", "None for a pool, whose points are those of test=", "inputs")
        return train_on_pool(model, network, training, *sizes, key=key, test=test, **options)
    if isinstance(model, DataLaw) and model.two_features is None:
        for name, given in (("dataset", dataset), ("probe_inputs", probe_inputs), ("test", test)):
            require(
                given is None, name, f"None for a {type(model).__name__}, whose data sets are sampled", type(given).__name__
            )
        return train_on_law(model, network, training, *sizes, key=key, **options)
    require(test is None, "test", "None for a law without samples, whose points are probes=", type(test).__name__)
    options = {**options, "dataset": dataset, "probe_inputs": probe_inputs}
    models: list[Any] = [model]
    return train_ensembles(models, network, training, *sizes, key=key, **options)[0]


def train_ensembles(
    models: Sequence[GenerativeModel],
    network: FiniteNetwork,
    training: GradientDescent,
    num_samples: int | None = None,
    num_datasets: int = 1,
    num_inits: int = 1,
    *,
    key: Key,
    dataset: Dataset | None = None,
    probe_inputs: Float[Array, "probes d"] | None = None,
    loss: str = "squared",
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    centred: bool = False,
    num_validation: int | None = None,
    probes: Latents | None = None,
    plane: bool | None = None,
    orthogonal: bool = False,
    dtype: Any = None,
    checkpoint: str | os.PathLike | None = None,
    progress: Callable[[int, int], Any] | None = None,
) -> list[Ensemble]:
    r"""Train finite networks under several data laws in one loop; :func:`train_ensemble` for a single one.

    Laws that differ in their real parameters only are grid points of equal shape, compiled once and trained side by side. All
    share the key, and so the random draws.

    Args:
        models: the data laws; every sampled data set has its own random embedding.
        network: one of finite width.
        training: `GradientDescent(learning_rate, steps)`. Several steps (an array) are recorded in one run.
        num_samples: N, even.
        num_datasets: D.
        num_inits: I, networks on each data set.
        key: `jax.random` key.
        dataset: a data set instead of sampled ones, of any size and balance; for a single law, with num_datasets = 1.
        probe_inputs: the probes as inputs (n, d) among those of `dataset`.
        loss: "squared", (1/(2B)) sum (f - y)^2 over a batch of B, or "logistic", the mean of log(1 + exp(-y f)).
        batch_size: samples per step, in a new random order every epoch (the last batch may be smaller); None: all.
        optimizer: a function from the learning rate to an optax optimiser: `optax.adam`,
            `functools.partial(optax.sgd, momentum=0.9)`, or your own. By default that of the rule: `optax.sgd`, with its
            momentum, and its weight decay towards the start.
        centred: train and report f - f_0, which starts at zero.
        num_validation: size of a further sample of each data law, on which the accuracy is recorded; even.
        probes: latents (n, 2) at which outputs are recorded; the 30 x 30 grid by default.
        plane: train the exactly equivalent networks on the plane (:mod:`ntk_shortcuts.laws.two_features.plane`), which costs
            nothing in d; None: where the network has them, the optimiser is the rule's or `optax.sgd` (also in a
            `functools.partial`) and the inputs lie in the plane, as those of data without nesting do.
        orthogonal: make the two feature directions exactly orthogonal, as they are for large d.
        dtype: of parameters and data; by default JAX's current default float.
        checkpoint: directory in which finished networks and the running state are kept; a run that was killed goes on from
            there, and gives the same numbers to the bit on the same machine.
        progress: called as `progress(done, total)`, in network steps.

    Returns:
        One :class:`Ensemble` for each law.

    Raises:
        ValueError: naming the argument, the allowed values and the value got; a checkpoint of another run.
        FloatingPointError: training diverged (a loss that is not finite), with the step by which it did.

    Numerics: networks are independent members of one batch, spread over all JAX devices where their number divides it, and
    trained in groups whose activations fit into 1 GiB.
    """
    make_room()
    models = checked_laws(models)
    grids = [m.probe_grid() if probes is None else as_points("probes", probes, dimension=2) for m in models]
    sizes = (num_samples, num_datasets, num_validation, orthogonal)
    source: Source
    if dataset is None:
        require(probe_inputs is None, "probe_inputs", "None without dataset=", probe_inputs)
        source = Sampled(models[0], *sizes)
    else:
        require(len(models) == 1, "models", "a single one with dataset=", f"{len(models)} of them")
        source = Given(dataset, *sizes, grids[0], probe_inputs)

    def asked(model: GenerativeModel) -> Origin:
        counts = {"num_samples": num_samples, "num_datasets": num_datasets, "num_inits": num_inits}
        how = {"loss": loss, "batch_size": batch_size, "optimizer": optimizer, "centred": centred, "orthogonal": orthogonal}
        return origin_of({"model": model, "network": network, "training": training}, **counts, **how)

    finished = run(
        models,
        source,
        grids,
        network,
        training,
        num_inits,
        key,
        plane=plane,
        loss=loss,
        batch_size=batch_size,
        optimizer=optimizer,
        centred=centred,
        dtype=dtype,
        checkpoint=checkpoint,
        progress=progress,
    )
    return [
        assembled(model, grid, [task.data for task in row], record, training, finished.steps, finished.reduced, asked(model))
        for model, grid, row, record in zip(models, grids, finished.tasks, finished.records, strict=True)
    ]
