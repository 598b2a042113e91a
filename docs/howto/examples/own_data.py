# %% [markdown]
# # Data of your own
#
# Images of 12 x 12 pixels that carry their label twice: in the grey level of a small
# object (the core feature, 9 pixels), and in that of a larger patch (the shortcut, 36
# pixels), which is right less often. How much does a fully connected ReLU network that
# is trained on 300 of these images follow the patch?

# %%
import numpy as np

import ntk_shortcuts as ns

NUM_IMAGES, PATCH, OBJECT = 300, 36, 9
rng = np.random.default_rng(0)


def paint(grey_levels):
    """Images, flattened to (n, 144): column 0 of the grey levels (n, 2) fills the patch, column 1 the object."""
    images = np.zeros((len(grey_levels), 12, 12))
    images[:, :6, :6] = grey_levels[:, 0, None, None]
    images[:, 8:11, 8:11] = grey_levels[:, 1, None, None]
    return images.reshape(len(images), -1)


# %% [markdown]
# Stand-ins for what you would load: inputs, labels -1 and +1, and the two features as
# measured in each image.

# %%
labels = np.repeat([-1.0, 1.0], NUM_IMAGES // 2)
features = labels[:, None] * [1.04, 1.28] + rng.normal(size=(NUM_IMAGES, 2)) @ [[1.0, 0.6], [0.0, 0.8]]
inputs = paint(features) + 0.1 * rng.normal(size=(NUM_IMAGES, 144))

# %% [markdown]
# The two-feature law fitted to the measured features gives the Bayes-optimal classifier
# to compare with. An object of A pixels whose grey level has spread 1 within a class is a
# feature of amplification sqrt(A).

# %%
model = ns.GenerativeModel.from_latents(features, labels, amplification=(PATCH**0.5, OBJECT**0.5), input_dim=144)
print("fitted predictivity", model.predictivity.round(3), "correlation", model.correlation.round(3))

# %% [markdown]
# Reliance is measured on probes, inputs in which the two features can disagree.
# `probes` says what the features are, `probe_inputs` what the network sees. The
# prediction is exact for these 300 images, on average over initialisations.

# %%
probes = np.asarray(model.probe_grid(20))
data = ns.Dataset.from_arrays(inputs, labels)
prediction = ns.predict_bias(
    model,
    ns.MLP(depth=1, activation="relu"),
    ns.GradientFlow(np.array([1.0, 3.0, 10.0, 30.0])),
    dataset=data,
    probes=probes,
    probe_inputs=paint(probes),
)
print("optimal reliance", round(float(prediction.optimal_reliance), 3))
for time, reliance, bias in zip((1, 3, 10, 30), prediction.reliance, prediction.bias, strict=True):
    print(f"time {time:2}: reliance {reliance:+.3f}, shortcut bias {bias:+.3f}")
np.testing.assert_allclose(prediction.bias, [0.723, 0.763, 0.565, 0.224], atol=0.01)
