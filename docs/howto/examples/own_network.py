# %% [markdown]
# # A network of your own
#
# Everything that predicts from a kernel asks a network for its kernels and nothing else.
# So a network is any object with `kernels(x1, x2)`, which returns `.nngp` and `.ntk`: here
# a small convolutional network at finite width, linearised at one initialisation.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ntk_shortcuts as ns

NUM_SAMPLES, CHANNELS = 40, 16


def init(key):
    """Filters of 5 inputs and a readout."""
    filters, readout = jax.random.split(key)
    return {"filters": jax.random.normal(filters, (CHANNELS, 1, 5)), "readout": jax.random.normal(readout, (CHANNELS,))}


def apply(params, x):
    """(n, d) -> (n,): one circular convolution, ReLU, average over places, linear readout."""
    padded = jnp.concatenate([x, x[:, :4]], axis=1)[:, None, :]
    hidden = jax.lax.conv(padded, params["filters"].astype(x.dtype), (1,), "VALID") / jnp.sqrt(5.0).astype(x.dtype)
    return jnp.mean(jax.nn.relu(hidden), axis=2) @ params["readout"].astype(x.dtype) / np.sqrt(CHANNELS)


# %% [markdown]
# The kernel of the linearised network is its empirical NTK. Without the random output
# at initialisation the NNGP kernel is not used.


# %%
class Linearized(eqx.Module):
    """A network frozen at its parameters, for predictions from a data set."""

    params: dict

    def kernels(self, x1, x2=None):
        ntk = ns.empirical_ntk(apply, self.params, x1, x2)
        return ns.kernels.Kernels(nngp=jnp.zeros_like(ntk), ntk=ntk)


# %%
model = ns.GenerativeModel(predictivity=(0.85, 0.90), amplification=(4.0, 1.0), input_dim=20)
data = model.sample(jax.random.key(0), NUM_SAMPLES)
network = Linearized(init(jax.random.key(1)))
prediction = ns.predict_bias(
    model, network, ns.GradientFlow(np.array([3.0, 30.0])), dataset=data, probes=model.probe_grid(10), random_init=False
)
print("bias at times 3 and 30:", np.round(prediction.bias, 3))

# %% [markdown]
# The check: gradient descent on the linearised network itself, by automatic
# differentiation, at a small learning rate.

# %%
with jax.enable_x64(True):
    start = jax.tree.map(lambda leaf: leaf.astype(float), network.params)

    def outputs(shift, x):
        return jax.jvp(lambda p: apply(p, x), (start,), (shift,))[1]

    def loss(shift):
        return jnp.mean((outputs(shift, data.inputs) - data.labels) ** 2) / 2

    @jax.jit
    def step(_, shift):
        return jax.tree.map(lambda s, g: s - 0.05 * g, shift, jax.grad(loss)(shift))

    shift = jax.lax.fori_loop(0, 60, step, jax.tree.map(jnp.zeros_like, start))
    trained = outputs(shift, data.embedding(prediction.probes))
print("largest difference at time 3:", float(np.max(np.abs(trained - prediction.mean[0]))))
np.testing.assert_allclose(trained, prediction.mean[0], atol=0.02)
