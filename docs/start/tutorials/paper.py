# %% [markdown]
# # The paper's result in one script
#
# Hermann, Mobahi, Fel & Mozer (2024) report that networks prefer the more *available* of two features, beyond what
# its predictivity justifies, and that nonlinear networks do so more than linear ones. Here is the claim, predicted,
# and then checked against networks that are trained.

# %% [markdown]
# ## The data
#
# Two features carry the label. The core is right for 90 of 100 samples and small in the input, the shortcut for 85 of
# 100 and four times as large.

# %%
import jax
import numpy as np

import ntk_shortcuts as ns

model = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0), correlation=0.6)
data = model.sample(jax.random.key(0), num_samples=1000)
for name, feature in zip(("shortcut", "core"), np.asarray(data.latents).T, strict=True):
    print(f"{name}: sign is the label for {np.mean(np.sign(feature) == np.asarray(data.labels)):.2f} of the samples")

# %% [markdown]
# The best classifier uses both. Its reliance is -0.69: mostly the core. A network's *bias* is its reliance beyond
# that.

# %% [markdown]
# ## Availability makes a bias
#
# One hidden layer of ReLU, at one time, for shortcuts of different sizes and the same predictivity:

# %%
training = ns.GradientFlow(time=30.0)
ratios = [0.25, 1.0, 4.0, 8.0]
biases = []
for ratio in ratios:
    here = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(ratio, 1.0), correlation=0.6)
    biases.append(ns.predict_bias(here, ns.MLP(depth=1), training, random_init=False).bias)
    print(f"ratio {ratio:g}: bias {biases[-1]:.2f}")
assert biases == sorted(biases) and biases[-1] > 1

# %% [markdown]
# Nothing but the size changed. That is the paper's first finding.

# %% [markdown]
# ## Linear and nonlinear networks over time
#
# A linear network has a bias too, for a while. What differs is when it is lost:

# %%
times = np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])
networks = {"linear": ns.MLP(0), "ReLU": ns.MLP(1), "tanh": ns.MLP(1, "tanh")}
over_time = {
    name: ns.predict_bias(model, network, ns.GradientFlow(times), random_init=False, tolerance=0.02).bias
    for name, network in networks.items()
}
print("time  ", times)
for name, curve in over_time.items():
    print(f"{name:6}", np.round(curve, 2))
assert over_time["tanh"][2] > over_time["linear"][2] + 0.2

# %% [markdown]
# After training long enough on infinitely many samples the linear network ends at the optimum, and so does ReLU with
# one hidden layer. The tanh network keeps a part. So "nonlinear networks are biased" is a statement about a time.

# %% [markdown]
# ## Does a trained network do that?
#
# Networks of width 128 are trained on 300 samples by gradient descent, eight data sets with one network each. The
# prediction is the average over data sets of 300 samples: no data set is drawn for it.

# %%
descent = ns.GradientDescent(learning_rate=0.5, steps=[20, 60])
trained = ns.train_ensemble(
    model, ns.MLP(depth=1, width=128), descent, num_samples=300, num_datasets=8, num_inits=1, key=jax.random.key(1)
)
predicted = ns.predict_bias(model, ns.MLP(depth=1), descent, num_samples=300)
for place, time in enumerate(descent.time):
    error = trained.standard_error[place]
    print(f"t = {time:g}: trained {trained.mean_bias[place]:.2f} +- {error:.2f}, predicted {predicted.bias[place]:.2f}")
    assert abs(trained.mean_bias[place] - predicted.bias[place]) < 4 * error + 0.05

# %% [markdown]
# ## What to take from it
#
# - The bias comes from the order in which a kernel's eigenfunctions are learnt, and the available feature comes first.
# - It is a matter of time: ask for the bias at the time at which training stops.
# - Networks trained as the paper trains them move their kernel, and drop the shortcut sooner than a frozen one.
#   All of the paper's synthetic experiments, run again, are in [the paper's experiments](../../evidence/paper_experiments.md).
