"""The gallery's figures: those that predictions make, and those of the benchmarks' records."""

from __future__ import annotations

import importlib.util
import warnings
from typing import TYPE_CHECKING

import jax
import law_gallery
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts import plotting
from ntk_shortcuts.plotting.examples import draw_examples
from ntk_shortcuts.plotting.style import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bias_map() -> Figure:
    """As `ntk-shortcuts map --depth 3 --time 30`."""
    model, network, training = ns.GenerativeModel(amplification=(4.0, 1.0)), ns.MLP(depth=3), ns.GradientFlow(30.0)
    predictivities, ratios = np.linspace(0.55, 0.9, 15), np.geomspace(0.125, 8.0, 15)
    result = ns.bias_map(model, network, training, predictivities, ratios, method="population")
    prediction = ns.predict_bias(model, network, training, method="population")
    inset = plotting.Inset(prediction, model, model.sample(jax.random.key(0), 150))
    return plotting.plot_bias_map(result, inset)


def spectrum() -> Figure:
    """As `ntk-shortcuts spectrum --amplification 4 1 --depth 2`."""
    return plotting.plot_spectrum(ns.kernel_spectrum(ns.GenerativeModel(amplification=(4.0, 1.0)), ns.MLP(depth=2)))


def influence() -> Figure:
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    return plotting.plot_influence(ns.analysis.influence(model, ns.MLP(depth=1), ns.GradientFlow(30.0), num_samples=300))


def decision_surface() -> Figure:
    """As `ntk-shortcuts predict --amplification 4 1 --method dataset --num-samples 100`."""
    model = ns.GenerativeModel(amplification=(4.0, 1.0))
    dataset = model.sample(jax.random.key(0), 100)
    prediction = ns.predict_bias(model, ns.MLP(depth=1), ns.GradientFlow(30.0), method="dataset", dataset=dataset)
    return plotting.plot_decision_surface(prediction, model, dataset)


def bias_over_time() -> Figure:
    times, network, biases = np.geomspace(1, 3000, 40), ns.MLP(depth=1), {}
    for ratio in (1.0, 2.0, 4.0, 8.0):
        model = ns.GenerativeModel(amplification=(ratio, 1.0))
        biases[ratio] = ns.predict_bias(model, network, ns.GradientFlow(times)).bias
    return plotting.plot_bias_over_time(times, biases)


def losses() -> Figure:
    """Squared and logistic loss at one learning rate, without outputs at initialisation."""
    model, times = ns.GenerativeModel(amplification=(4.0, 1.0)), np.geomspace(1, 1e5, 41)
    networks = {"linear": ns.MLP(0), "ReLU, 2 layers": ns.MLP(2), "ReLU, 3 layers": ns.MLP(3), "erf, 1 layer": ns.MLP(1, "erf")}
    drawing = new_figure((7.2, 4.0))
    axes = drawing.subplots()
    for (name, network), color in zip(networks.items(), ("#440154", "#31688e", "#35b779", "#c8b200"), strict=True):
        for loss, style in (("squared", "--"), ("logistic", "-")):
            options = {"method": "population", "random_init": False, "loss": loss}
            bias = ns.predict_bias(model, network, ns.GradientFlow(times), **options).bias
            axes.plot(times, bias, style, color=color, label=name if loss == "logistic" else None)
    axes.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    axes.set(xscale="log", xlabel="training time", ylabel="shortcut bias", title="logistic loss (dashed: squared)")
    axes.legend(frameon=False)
    return drawing


def clusters() -> Figure:
    """Group accuracies over time, averaged over data sets of 300 samples, beside those of Bayes' rule."""
    birds, times = ns.Clusters.waterbirds(0.95, amplification=(3.0, 1.0)), np.geomspace(1, 300, 13)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ns.UntrustedPredictionWarning)
        found = ns.predict(birds, ns.MLP(1, bias_variance=0.1), ns.GradientFlow(times), num_samples=300, tolerance=0.01)
    drawing = new_figure((5.2, 3.3))
    axes = drawing.subplots()
    best = found.optimal_group_accuracy
    for background, name, color in ((1, "background as the label", "C0"), (-1, "background against it", "C1")):
        axes.plot(times, found.group_accuracy.sel(label=1, background=background), color=color, label=name)
        axes.axhline(float(best.sel(label=1, background=background)), color=color, ls=":", lw=1)
    axes.set(xscale="log", xlabel="time", ylabel="accuracy (dotted: Bayes' rule)", ylim=(0, 1))
    axes.legend(frameon=False, fontsize="small", loc="center right")
    return drawing


def image_pools() -> Figure:
    """Four of the pools of `ns.images`, by `plot_examples`' panels."""
    pools = {
        "digits_patch()": ns.images.digits_patch(),
        "digits_color()": ns.images.digits_color(),
        "mnist_textures()": ns.images.mnist_textures(),
        "dominoes()": ns.images.dominoes(),
    }
    drawing = new_figure((9.6, 6.6))
    for part, (name, pool) in zip(drawing.subfigures(2, 2).flat, pools.items(), strict=True):
        draw_examples(part, pool)
        part.suptitle(f"ns.images.{name}", fontsize="small", family="monospace")
    return drawing


def group_curves() -> Figure:
    """Digits with a patch that agrees with nine labels of ten: predictions, and networks trained on a hundred data sets."""
    pool, test = ns.images.digits_patch(num_images=500, brightness=1.5).split(jax.random.key(0), 0.5)
    pool = pool.with_agreement(0.9)
    prediction = ns.predict(pool, ns.MLP(depth=1), ns.GradientFlow(np.geomspace(1, 300, 13)), num_samples=50, test=test)
    descent = ns.GradientDescent(0.25, np.array([8, 80, 800]))
    trained = ns.train_ensemble(pool, ns.MLP(depth=1, width=256), descent, 50, 100, test=test, key=jax.random.key(1))
    return plotting.plot_group_curves(prediction, trained)


FIGURES = {
    "bias_map": bias_map,
    "spectrum": spectrum,
    "influence": influence,
    "decision_surface": decision_surface,
    "bias_over_time": bias_over_time,
    "losses": losses,
    "clusters": clusters,
    **law_gallery.FIGURES,
}
# With the packages of the extra `images`, whose pictures it shows.
PICTURES = {"image_pools": image_pools, "group_curves": group_curves}
if all(importlib.util.find_spec(name) for name in ("sklearn", "skimage", "mlxtend")):
    FIGURES |= PICTURES
# Scripts in benchmarks/, of a checkout only, whose `figures()` draws what their committed records hold.
MEASURED = (
    "theory_vs_training/run.py",
    "paper_experiments.py",
    "paper_search.py",
    "mitigations.py",
    "moving_kernel.py",
    "architectures.py",
    "richness.py",
    "release_time.py",
    "population_flow.py",
    "dataset_average.py",
    "scaling.py",
    "leading_order.py",
    "learning_curves.py",
    "pools.py",
    "optimisers.py",
    "several_shortcuts.py",
    "pool_training.py",
    "footprint.py",
)
