"""What `ntk-shortcuts validate` compares: four lists of configurations, from three minutes on a laptop to an accelerator, and
two for laws of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ntk_shortcuts.experiments.comparison.configuration import Configuration
from ntk_shortcuts.experiments.comparison.laws import LawConfiguration
from ntk_shortcuts.laws.base import DataLaw
from ntk_shortcuts.laws.two_features.model import GenerativeModel
from ntk_shortcuts.networks.mlp import MLP
from ntk_shortcuts.validation import require

TIMES = (3.0, 30.0, 300.0)
# Of the studies of width, depth and time, which use one data set.
STUDY_TIMES = (3.0, 9.0, 30.0, 99.0, 300.0)


def preset(name: str) -> list[Configuration]:
    """The configurations of a preset, in the order in which they run.

    Configurations of several data sets make the table of biases; those of one data set make the studies of width, depth and
    time.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> len(preset("standard"))
        32
    """
    require(name in PRESETS, "preset", f"one of {', '.join(PRESETS)}", name)
    return list(PRESETS[name]())


def law_preset(name: str, law: DataLaw, label: str | None = None) -> list[LawConfiguration]:
    """The configurations of a preset on a law of one's own, all of ReLU or erf networks with biases, of width 512.

    Args:
        name: "quick" (depth 1 and 2, 32 networks each) or "standard" (depth 1 to 3, 192 networks each).
        label: what the law is called; by default the name of its type.

    Raises:
        ValueError: another name, a law that has no latents.

    Example:
        >>> from ntk_shortcuts import Clusters
        >>> [c.name for c in law_preset("quick", Clusters.waterbirds(), "birds")][0]
        'birds, relu, depth 1, sigma_b^2 0.1, width 512, N 100'
    """
    require(name in LAW_PRESETS, "preset", f"one of {', '.join(LAW_PRESETS)} for a law from a file", name)
    networks, num_datasets, num_inits = LAW_PRESETS[name]
    return [
        LawConfiguration(law, _network(*network, 512, 0.1), TIMES, 100, num_datasets, num_inits, label) for network in networks
    ]


def _model(ratio: float, predictivity: float = 0.85, correlation: float = 0.6) -> GenerativeModel:
    """Amplifications of the given ratio; their geometric mean is 1, so that learning rates need not be small."""
    return GenerativeModel((predictivity, 0.9), (ratio**0.5, ratio**-0.5), correlation)


def _network(depth: int, activation: str, width: int, bias_variance: float = 0.0) -> MLP:
    """Weight variance 2 for ReLU, and 1 for the others, whose outputs would grow with depth."""
    return MLP(depth, activation, width, 2.0 if activation == "relu" else 1.0, bias_variance)


def _table(rows: list[tuple], width: int, num_samples: int, num_datasets: int, num_inits: int = 4) -> Iterator[Configuration]:
    """Configurations from rows (depth, activation, ratio), with options of the model after them."""
    for depth, activation, ratio, *options in rows:
        network = _network(depth, activation, width)
        yield Configuration(_model(ratio, *options), network, TIMES, num_samples, num_datasets, num_inits)


def _study(depth: int, widths: list[int], units: int) -> Iterator[Configuration]:
    """One data set, and as many networks of each width as have the given number of units in a layer together.

    The gap of one network falls as 1/sqrt(width): the noise of the ensemble's mean is then about the same at each width.
    """
    for width in widths:
        num_inits = max(16, units // width)
        yield Configuration(_model(1.0), _network(depth, "relu", width), STUDY_TIMES, 100, 1, num_inits)


def _quick() -> Iterator[Configuration]:
    yield from _table([(1, "relu", 1.0), (1, "relu", 4.0), (1, "tanh", 2.0)], 512, 100, 8)
    yield from _table([(2, "relu", 2.0)], 512, 100, 4)
    yield from _study(1, [32, 128, 512], 2**15)


def _standard() -> Iterator[Configuration]:
    # Small data sets, many of them: the standard error over data sets is about that of their total size, and the
    # initialisations are more. Some of each kind first, so that an interrupted run has them.
    yield from _table([(1, "relu", 1.0), (1, "relu", 4.0), (1, "relu", 0.5)], 512, 100, 96)
    yield from _table([(2, "relu", 1.0)], 512, 100, 48)
    yield from _table([(1, "erf", 1.0), (1, "tanh", 2.0), (1, "linear", 1.0), (1, "relu", 8.0)], 512, 100, 96)
    yield from _study(1, [32, 64, 128, 256, 512], 2**17)
    yield from _table([(3, "relu", 1.0)], 512, 100, 48)
    yield from _table([(1, "relu", 2.0, 0.7, 0.3), (1, "erf", 4.0), (1, "tanh", 0.5), (1, "linear", 4.0)], 512, 100, 96)
    yield from _table([(2, "relu", 4.0), (2, "tanh", 8.0), (2, "linear", 2.0), (2, "erf", 2.0)], 512, 100, 48)
    yield from _table([(3, "relu", 4.0), (3, "tanh", 2.0)], 512, 100, 48)
    yield Configuration(_model(2.0), _network(1, "relu", 512, 0.1), TIMES, 100, 96, 4)
    yield from _table([(1, "relu", 1.0)], 512, 300, 64)
    yield from _study(3, [512], 2**14)
    yield from _study(2, [32, 64, 128, 256, 512], 2**15)


def _grid(depths: range) -> list[tuple]:
    activations, ratios = ("relu", "erf", "tanh", "linear"), (0.5, 1.0, 2.0, 4.0, 8.0)
    return [(depth, activation, ratio) for depth in depths for activation in activations for ratio in ratios]


def _paper() -> Iterator[Configuration]:
    yield from _table(_grid(range(1, 4)), 1024, 300, 64)
    yield from _table(_grid(range(1, 2)), 1024, 1000, 32)
    for depth in (1, 2, 3):
        yield from _study(depth, [32, 64, 128, 256, 512, 1024, 2048], 2**18)


def _accelerator() -> Iterator[Configuration]:
    yield from _table(_grid(range(1, 6)), 4096, 1000, 64)
    yield from _table(_grid(range(1, 4)), 4096, 3000, 64)
    for depth in (1, 2, 3, 5):
        yield from _study(depth, [64, 128, 256, 512, 1024, 2048, 4096], 2**20)


PRESETS: dict[str, Callable[[], Iterator[Configuration]]] = {
    "quick": _quick,
    "standard": _standard,
    "paper": _paper,
    "accelerator": _accelerator,
}

# Networks (depth, activation), data sets and initialisations on each.
LAW_PRESETS: dict[str, tuple[tuple[tuple[int, str], ...], int, int]] = {
    "quick": (((1, "relu"), (2, "relu")), 16, 2),
    "standard": (((1, "relu"), (2, "relu"), (3, "relu"), (1, "erf"), (2, "erf")), 96, 2),
}
