# %% [markdown]
# # How wide, and how long, before theory fails?
#
# Kernel methods freeze the kernel at its value at initialisation. That is exact for infinitely wide networks. Yours
# is not one. This tutorial finds out whether it is wide enough for the time for which you train it.

# %%
import warnings

import jax
import numpy as np

import ntk_shortcuts as ns

model = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0))
times = np.array([1.0, 3.0, 10.0, 30.0])
flow = ns.GradientFlow(times)

# %% [markdown]
# ## Two answers
#
# The frozen kernel is one. The other is the *population flow*: gradient flow of the finite network itself, on
# infinitely many samples. Its kernel moves. Here is a network in PyTorch's parameterisation, as people train it.

# %%
ordinary = ns.MLP(depth=2, width=64, parameterization="standard", initialization="torch")
frozen = ns.predict_bias(model, ordinary, flow, method="population", check_laziness=False, random_init=False)
moving = ns.predict_bias(model, ordinary, flow, method="population_flow", key=jax.random.key(0), num_inits=4, random_init=False)
print("time  ", times)
print("frozen", np.round(frozen.bias, 2))
print("moving", np.round(moving.bias, 2))
assert abs(frozen.bias[0] - moving.bias[0]) < 0.15 and frozen.bias[-1] > moving.bias[-1] + 0.2

# %% [markdown]
# They agree at first. Then the network lets go of the shortcut, and the frozen kernel does not. Up to where can you
# trust it?

# %% [markdown]
# ## The gap, without the full flow
#
# A coarse flow of two networks is enough to see it. Their own outputs before training are left out
# (`random_init=False`): two networks scatter the bias by 0.3 through them. `laziness_gap` is the frozen bias less
# that of the coarse flow:

# %%
for width in (32, 512):
    network = ns.MLP(depth=2, width=width, parameterization="standard", initialization="torch")
    gap = ns.analysis.laziness_gap(model, network, flow, random_init=False)
    print(f"width {width}: gap", np.round(gap, 2))

# %% [markdown]
# In PyTorch's parameterisation a wider network learns faster at the same learning rate, and its kernel still moves.
# In the NTK parameterisation width does what the theory wants:

# %%
gaps = {}
for width in (32, 512):
    gaps[width] = ns.analysis.laziness_gap(model, ns.MLP(depth=2, width=width), flow, random_init=False)
    print(f"NTK parameterisation, width {width}: gap", np.round(gaps[width], 2))

# %% [markdown]
# ## Every prediction says so itself
#
# With a width given, a frozen-kernel prediction carries the gap and warns where it is above 0.1:

# %%
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    warned = ns.predict_bias(model, ordinary, ns.GradientFlow(30.0), random_init=False)
print(said[0].message)
assert "LazinessGap" in [issue.kind for issue in warned.issues]

# %% [markdown]
# ## A rule of thumb
#
# - **Early** (before the bias has fallen much) the frozen kernel is right at any width.
# - **NTK parameterisation, width of some hundreds**: right to the end, to about 0.01
#   ([theory against training](../../evidence/validate.md)).
# - **PyTorch's parameterisation**: use `population_flow` beyond the first tens of time units. It was within 0.022
#   of trained networks of width 128 ([networks of finite width](../../evidence/finite_networks.md)).
# - With depth, and with faint features, the two part sooner.
