"""The shortcut bias over the sizes of two objects in an image: the stimuli of `ns.images.footprint`, to two architectures.

    python benchmarks/footprint.py    # goes on where it stopped

One row of `results/footprint.csv` per network, pair of sizes and time, written as it is finished: the reliance of a network
trained on 800 images, on 400 others, less that of the Bayes-optimal classifier of the latents.
"""

from __future__ import annotations

import itertools
import pathlib
from typing import Any

import jax
import numpy as np
import records

import ntk_shortcuts as ns
from ntk_shortcuts.metrics import Reliance

RESULTS = pathlib.Path(__file__).parent / "results" / "footprint.csv"
SIZES = (2, 4, 6, 8)
TIMES = np.array([10.0, 100.0])
PREDICTIVITY = (0.85, 0.90)


def convolution() -> Any:
    from ntk_shortcuts.kernels import neural_tangents as interop

    stax = interop.load().stax
    filters = [part for _ in range(2) for part in (stax.Conv(1, (3, 3), padding="SAME"), stax.Relu())]
    kernel_fn = stax.serial(*filters, stax.Flatten(), stax.Dense(1))[2]
    return interop.from_stax(jax.jit(kernel_fn, static_argnames="get"))


NETWORKS = {"MLP, 2 hidden layers": lambda: ns.MLP(2), "convolution, 2 layers": convolution}


def optimal_reliance(count: int = 200_000) -> float:
    """Of the Bayes-optimal classifier on samples of the law, as the test images are."""
    model = ns.GenerativeModel(PREDICTIVITY)
    latents = np.asarray(model.sample(jax.random.key(7), count).latents)
    signs = np.sign(latents)
    return float(np.mean(np.sign(latents @ np.asarray(model.bayes_direction)) * (signs[:, 0] - signs[:, 1])))


def measure(network: str, shortcut: int, core: int) -> list[dict[str, Any]]:
    images = ns.images.footprint(sizes=(shortcut, core), predictivity=PREDICTIVITY, num_images=1200, key=jax.random.key(0))
    pool, test = images.split(jax.random.key(1), 1 / 3)
    found = ns.predict(pool, NETWORKS[network](), ns.GradientFlow(TIMES), method="dataset", test=test)
    reliance, best = np.asarray(found.read(Reliance("shortcut", "core"))), optimal_reliance()
    return [
        {"network": network, "shortcut": shortcut, "core": core, "time": t, "bias": round(float(value - best), 4)}
        for t, value in zip(TIMES, reliance, strict=True)
    ]


def read() -> list[dict[str, Any]]:
    return records.read(RESULTS, words=("network",))


def figures() -> dict[str, Any]:
    """A map for each network and time: the side of the shortcut across, of the core up."""
    from matplotlib.figure import Figure

    rows = read()
    drawing = Figure(figsize=(7.5, 3.2 * len(NETWORKS) + 0.8), dpi=150, layout="constrained")
    top = max(abs(row["bias"]) for row in rows)
    image = None
    for axes, (network, t) in zip(
        drawing.subplots(len(NETWORKS), 2, sharex=True, sharey=True).ravel(), itertools.product(NETWORKS, TIMES), strict=True
    ):
        values = {(row["shortcut"], row["core"]): row["bias"] for row in rows if (row["network"], row["time"]) == (network, t)}
        grid = np.array([[values[s, c] for s in SIZES] for c in SIZES])
        image = axes.imshow(grid, origin="lower", cmap="RdBu_r", vmin=-top, vmax=top)
        for row, column in np.ndindex(grid.shape):
            shade = "white" if abs(grid[row, column]) > 0.6 * top else "black"
            axes.text(
                column, row, f"{round(grid[row, column], 2) + 0.0:.2f}", ha="center", va="center", fontsize=9, color=shade
            )
        axes.set_title(f"{network}, t = {t:g}", fontsize=10)
        axes.set(xticks=range(len(SIZES)), xticklabels=SIZES, yticks=range(len(SIZES)), yticklabels=SIZES)
    for axes in drawing.axes[-2:]:
        axes.set_xlabel("side of the shortcut (pixels)")
    for axes in drawing.axes[::2]:
        axes.set_ylabel("side of the core (pixels)")
    drawing.colorbar(image, ax=drawing.axes, shrink=0.7, label="shortcut bias")
    return {"footprint": drawing}


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    done = {(row["network"], row["shortcut"], row["core"]) for row in read()}
    for setting in itertools.product(NETWORKS, SIZES, SIZES):
        if setting not in done:
            records.add(RESULTS, measure(*setting))
            print(*setting, flush=True)


if __name__ == "__main__":
    main()
