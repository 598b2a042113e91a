# %% [markdown]
# # Predict, and map
#
# The bias of one network over training time, then over a grid of predictivity and
# availability.

# %%
import numpy as np

import ntk_shortcuts as ns
from ntk_shortcuts.plotting import plot_bias_map, plot_bias_over_time

TIMES = np.geomspace(1, 3000, 15)
RATIOS = (1.0, 2.0, 4.0, 8.0)
network = ns.MLP(depth=1, activation="relu")

# %% [markdown]
# All times come from one pass, for each ratio of amplifications.

# %%
biases = {}
for ratio in RATIOS:
    model = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(ratio, 1.0))
    prediction = ns.predict_bias(model, network, ns.GradientFlow(TIMES))
    biases[ratio] = np.asarray(prediction.bias)
    print(f"ratio {ratio:g}: largest bias {np.max(prediction.bias):.3f}")
over_time = plot_bias_over_time(TIMES, biases)
assert np.max(biases[8.0]) > np.max(biases[1.0])
assert abs(biases[8.0][-1]) < 0.05  # with infinite data the core feature is learnt in the end

# %% [markdown]
# A coarse map; the result is an xarray.Dataset.

# %%
grid = ns.bias_map(
    ns.GenerativeModel(),
    network,
    ns.GradientFlow(time=30.0),
    np.linspace(0.6, 0.9, 4),
    np.geomspace(0.125, 8.0, 4),
)
print(grid["bias"].to_pandas().round(2))
bias_map = plot_bias_map(grid)

# %% [markdown]
# The figures are matplotlib Figures: save them with
# `over_time.savefig("bias_over_time.png")`.
