"""A figure of each data law: samples as the network sees them, and what it learns of them over time."""

from __future__ import annotations

import functools
import pathlib
import tempfile
import warnings
from typing import TYPE_CHECKING

import jax
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.plotting.style import new_figure, series_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As files for --law have them, and as docs/howto/laws.md shows them.
TEXTS = {
    "two_features": 'law = "two_features"\npredictivity = [0.85, 0.9]\namplification = [4, 1]\n',
    "features": 'law = "features"\npredictivity = [0.85, 0.85, 0.9]\namplification = [4, 2, 1]\ncorrelation = 0.4\n',
    "clusters": 'law = "clusters"\nmeans = [[2, 0], [-2, 0], [0, 3]]\nproportions = [3, 2, 1]\nlabels = [1, -1, -1]\n'
    "covariance = [[1, 0.2], [0.2, 0.5]]\n",
    "waterbirds": 'law = "waterbirds"\nmajority = 0.95\namplification = [3, 1]\n',
    "xor_core": 'law = "xor_core"\nagreement = 0.9\n',
    "imbalanced": 'law = "imbalanced"\nmajority = 0.9\nseparation = 2\n',
    "imbalance": 'law = "waterbirds"\nmajority = 0.9\namplification = [3, 1]\n\n[imbalance]\npositive = 0.2\n',
    "noise": 'law = "waterbirds"\nmajority = 0.9\namplification = [3, 1]\n\n[noise]\nrate = {"1,-1" = 0.4, -1 = 0.1}\n',
}
# Which two features are shown, where they are not the first.
_SHOWN = {"xor_core": (1, 2)}
# Flips of labels only scale what infinite data teach: they matter for few samples.
_NUM_SAMPLES = {"noise": 100}
_TIMES = np.geomspace(0.3, 300, 13)


def law_of(text: str) -> ns.laws.DataLaw:
    """The law that a text of TOML describes."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "law.toml"
        path.write_text(text, encoding="utf-8")
        return ns.laws.read_law(path)


def draw(name: str) -> Figure:
    """Samples along two features, amplified, and the biases or the accuracies of groups over time."""
    law, figure = law_of(TEXTS[name]), new_figure((11.0, 3.8))
    left, right = figure.subplots(1, 2)
    data = law.sample(jax.random.key(0), 300)
    first, second = _SHOWN.get(name, (0, 1))
    inputs, labels = np.asarray(data.embedding.amplification) * np.asarray(data.latents), np.asarray(data.labels)
    for index, label in enumerate((-1, 1)):
        colour, marker = series_style(index)
        of = inputs[labels == label]
        left.plot(
            of[:, first], of[:, second], ls="none", marker=marker, ms=4, mfc="none", color=colour, label=f"y = {label:+d}"
        )
    left.set(xlabel=rf"$\alpha_{first}z_{first}$", ylabel=rf"$\alpha_{second}z_{second}$", aspect="equal", adjustable="datalim")
    left.legend(fontsize="small", frameon=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        network, options = ns.MLP(1, bias_variance=0.1), {"num_samples": _NUM_SAMPLES.get(name), "tolerance": 0.05}
        ns.predict(law, network, ns.GradientFlow(_TIMES), random_init=False, **options).plot(ax=right)
    if legend := right.get_legend():
        words = [text.get_text() for text in legend.get_texts()]
        style = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "fontsize": "small", "frameon": False}
        right.legend(legend.legend_handles, words, **style)
    return figure


FIGURES = {f"law_{name}": functools.partial(draw, name) for name in TEXTS}
