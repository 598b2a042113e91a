# %% [markdown]
# # Which mitigation?
#
# You know that your network will use a shortcut. What helps: stopping early, weighting samples, removing the
# attribute, whitening? The answer depends on the data, and each can be predicted before any training.

# %%
import jax
import jax.numpy as jnp
import numpy as np

import ntk_shortcuts as ns

# %% [markdown]
# ## On the law of two features
#
# First where everything is known. The base: a shortcut four times as large as the core.

# %%
model, network = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0)), ns.MLP(depth=1)
training, options = ns.GradientFlow(30.0), {"random_init": False, "tolerance": 0.05}
base = ns.predict_bias(model, network, training, **options).bias


def conflicting_first(latents, labels):
    """Samples on which the features disagree count four times."""
    return jnp.where(latents[:, 0] * latents[:, 1] < 0, 4.0, 1.0)


longer = ns.predict_bias(model, network, ns.GradientFlow(300.0), **options).bias
weighted = ns.predict_bias(model, network, training, sample_weight=conflicting_first, **options).bias
white = ns.predict_bias(model, ns.whitened(model, network), training, **options).bias
print(f"as it is {base:.2f}, trained ten times longer {longer:.2f}, weighted {weighted:.2f}, whitened {white:.2f}")
assert base > weighted > white and base > longer

# %% [markdown]
# Stopping *early* would make it worse here: the shortcut is learnt first. Whitening removes the difference in size,
# and with it the bias.

# %% [markdown]
# ## On images
#
# Now samples: digits whose label is even or odd, with a bright patch that agrees with nine labels of ten. Put your
# own pool in its place ([a pool from files](../../howto/image_files.md)).

# %%
images = ns.images.digits_patch(num_images=400, brightness=3.0)
pool, test = images.split(jax.random.key(0), 0.5)
pool = pool.with_agreement(0.9)
print(ns.audit(pool, network)[["predictivity", "relative_availability"]].to_dataframe().round(2))

# %% [markdown]
# The patch is learnt before the label. The table below is the predicted accuracy of the *worst group*, at the best of
# three times:

# %%
chosen = ["none", "early_stopping", "group_weights", "attribute_removed"]
times = [1.0, 10.0, 100.0]
table = ns.mitigations(pool, network, times, num_samples=80, test=test, only=chosen, random_init=False, num_draws=20)
print(table[["best", "best_error", "best_error_test_samples", "best_time"]].to_dataframe().round(2))
print(table.attrs["recommendation"])
worst = {name: float(table.best.sel(mitigation=name)) for name in chosen}
assert worst["group_weights"] > worst["none"] + 0.2

# %% [markdown]
# ## Check it on trained networks
#
# Two of them, at the time that the prediction calls best: no remedy, and group weights, which draws every group as
# often as any other.

# %%
time = float(table.best_time.sel(mitigation="group_weights"))
rule = ns.GradientDescent(learning_rate=0.25, steps=max(1, round(time / 0.25)))
balanced = ns.Pool(pool.inputs, pool.labels, pool.attributes).with_agreement(0.5)
for name, source in (("none", pool), ("group weights", balanced)):
    e = ns.train_ensemble(source, ns.MLP(1, width=128), rule, 80, num_datasets=6, num_inits=1, test=test, key=jax.random.key(2))
    print(f"{name}: worst group of trained networks {float(np.mean(e.worst_group_accuracy)):.2f}")

# %% [markdown]
# ## What to take from it
#
# - Look at the margin of the recommendation. Within two standard errors, of draws and of test samples, it is none: take the
#   cheaper remedy.
# - Group weights want samples of the rare groups. With few of them in the pool, they repeat those.
# - Features do not move here: what trained features would add is not in the prediction. Six remedies, predicted and trained:
#   [mitigations](../../evidence/mitigations.md).
