"""Ensembles of networks that are no MLP: stax networks of finite width, and a class of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.kernels import neural_tangents as interop
from ntk_shortcuts.networks.base import FiniteNetwork
from ntk_shortcuts.networks.sizes import preactivations

MODEL = ns.GenerativeModel(amplification=(2.0, 1.0), input_dim=20)
KEY = jax.random.key(3)


def train(network, steps=(2, 12), rate=0.3, count=(2, 2), model=MODEL, **options):
    return ns.train_ensemble(model, network, ns.GradientDescent(rate, np.array(steps)), 30, *count, key=KEY, **options)


def dense(width, bias=0.3):
    stax = interop.load().stax
    return stax.serial(stax.Dense(width, 2**0.5, bias), stax.Relu(), stax.Dense(1, 2**0.5, bias))


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
def test_a_stax_network_from_the_same_parameters_trains_as_the_mlp_it_describes():
    _, apply_fn, kernel_fn = dense(16)
    mlp = ns.MLP(1, width=16, bias_variance=0.3**2)

    def init_fn(key, shape):
        (weights, biases), (readout, offset) = mlp.init(key, shape[-1])
        return (1, 1), [(weights, biases[None]), (), (readout, offset[None])]

    network = interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)
    for options in ({}, {"batch_size": 8, "loss": "logistic", "num_validation": 20}):
        found, expected = train(network, **options), train(mlp, plane=False, **options)
        assert not found.plane
        for name in ("outputs", "initial_outputs", "train_loss"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-10, err_msg=name)
        np.testing.assert_array_equal(found.validation_accuracy, expected.validation_accuracy)
    with pytest.raises(ValueError, match="plane must be False or None for a network without a reduction"):
        train(network, plane=True)


def discrepancy(ensemble, network, shift):
    """Largest |z| over times between the mean bias and the prediction on its own data sets, moved by a shift."""
    predicted = []
    for index in range(ensemble.bias.shape[1]):
        law = ns.predict_bias(MODEL, network, ns.GradientDescent(0.5, ensemble.steps), dataset=ensemble.dataset(index))
        predicted.append(np.asarray(law.bias))
    gaps = np.asarray(ensemble.bias).mean(axis=2) - np.stack(predicted, axis=1)
    error = np.sqrt(np.asarray(ensemble.bias).var(axis=2, ddof=1).mean(axis=1) / ensemble.bias[0].size)
    return np.max(np.abs(gaps.mean(axis=1) + shift) / error)


@pytest.mark.peers
@pytest.mark.slow
def test_wide_stax_networks_agree_with_their_own_infinite_prediction():
    init_fn, apply_fn, kernel_fn = dense(512)
    network = interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)
    ensemble = train(network, steps=(5, 40), rate=0.5, count=(4, 12))
    assert discrepancy(ensemble, network, 0.0) < 4
    assert discrepancy(ensemble, network, 0.5) > 4


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
def test_images_are_trained_on_and_precision_follows_dtype():
    stax = interop.load().stax
    layers = (stax.Conv(4, (3, 3), padding="SAME"), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))
    init_fn, apply_fn, kernel_fn = stax.serial(*layers)
    network = interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn, input_shape=(5, 4, 1))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert network.apply(network.init(KEY, 20, jnp.float32), np.ones((3, 20))).dtype == jnp.float32
    ensemble = train(network, rate=1.0, dtype=jnp.float32)
    assert ensemble.outputs.dtype == np.float32 and jax.tree.leaves(ensemble.params)[0].dtype == np.float32
    assert np.all(ensemble.train_loss[1] < ensemble.train_loss[0])
    params = jax.tree.map(lambda leaf: leaf[1, 0], ensemble.params)
    images = jnp.asarray(ensemble.dataset(1).embedding(ensemble.probes), jnp.float32).reshape(-1, 5, 4, 1)
    expected = apply_fn(params, images)[:, 0]
    np.testing.assert_allclose(ensemble.outputs[-1, 1, 0], expected, atol=1e-5)
    assert preactivations(network, 30, 20, "float32") == 30 * 20 * 4
    with pytest.raises(ValueError, match=r"input_dim must be 20, the product of input_shape=\(5, 4, 1\); got 100"):
        train(network, model=ns.GenerativeModel())


@pytest.mark.peers
def test_what_is_missing_is_named():
    init_fn, apply_fn, kernel_fn = dense(8)
    infinite = interop.from_stax(kernel_fn)
    assert not infinite.is_finite and interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn).is_finite
    calls = [lambda: train(infinite), lambda: infinite.init(KEY, 3), lambda: infinite.apply([], np.eye(3))]
    flow = ns.PopulationFlow(key=KEY, num_inits=1)
    calls += [lambda: ns.predict_bias(MODEL, infinite, ns.GradientFlow(1.0), method=flow)]
    calls += [lambda: ns.analysis.telescope(MODEL, infinite, ns.GradientDescent(0.3, [2]), 30, (1,), key=KEY)]
    for call in calls:
        with pytest.raises(ValueError, match=r"init_fn and apply_fn must be given .*from_stax\(kernel_fn, init_fn="):
            call()
    with pytest.raises(ValueError, match=r"apply_fn must be a function.*got None"):
        interop.from_stax(kernel_fn, init_fn=init_fn)
    with pytest.raises(ValueError, match=r"init_fn must be a function.*got 'normal'"):
        interop.from_stax(kernel_fn, init_fn="normal", apply_fn=apply_fn)
    stax = interop.load().stax
    without_readout = interop.from_stax(kernel_fn, init_fn=stax.Dense(8)[0], apply_fn=stax.Dense(8)[1])
    with pytest.raises(ValueError, match=r"apply_fn must be .*\(n, 1\) = \(3, 1\).*Dense\(1\).*got 'shape \(3, 8\)'"):
        without_readout.apply(without_readout.init(KEY, 3), np.eye(3))


class Gated(FiniteNetwork):
    """A product of two linear functions of the inputs: a network of one's own."""

    size: float = 1.0
    columns: bool = False

    @property
    def is_finite(self):
        return True

    def kernels(self, x1, x2=None):
        raise NotImplementedError

    def init(self, key, input_dim, dtype=None):
        return {"w": self.size * jax.random.normal(key, (2, input_dim), dtype) / input_dim**0.5}

    def apply(self, params, x):
        outputs = (x @ params["w"][0]) * (1 + x @ params["w"][1])
        return outputs[:, None] if self.columns else outputs


def test_a_network_of_ones_own_is_the_plain_loop_and_its_outputs_are_one_a_sample():
    ensemble = train(Gated(), steps=(7,), rate=0.03, count=(1, 1))
    data, init_key = ensemble.dataset(0), jax.random.split(jax.random.split(KEY, 3)[1], 1)[0]
    params = Gated().init(init_key, 20, jnp.float64)
    gradient = jax.grad(lambda p: jnp.mean((Gated().apply(p, data.inputs) - data.labels) ** 2) / 2)
    for _ in range(7):
        params = jax.tree.map(lambda p, g: p - 0.03 * g, params, gradient(params))
    np.testing.assert_allclose(ensemble.params["w"][0, 0], params["w"], atol=1e-12)
    with pytest.raises(ValueError, match=r"network must be with apply\(params, x\) that returns one number a sample, \(30,\)"):
        train(Gated(columns=True))


@pytest.mark.slow
@pytest.mark.branches
def test_a_checkpoint_of_functions_of_the_same_name_is_refused_by_what_they_compute(tmp_path):
    def activation(scale):
        return lambda x: jnp.tanh(scale * x)

    def run(scale):
        # Centred: the outputs recorded at the start are zero, whatever the network.
        return train(ns.MLP(1, activation(scale), width=16), checkpoint=tmp_path / "run", centred=True)

    first = run(1.2)
    np.testing.assert_array_equal(run(1.2).outputs, first.outputs)
    with pytest.raises(ValueError, match=r"checkpoint must be .*members-000000\.eqx, of other networks"):
        run(1.5)
    train(Gated(), rate=0.03, checkpoint=tmp_path / "gated")
    with pytest.raises(ValueError, match=r"checkpoint must be .*of another run"):
        train(Gated(size=0.5), rate=0.03, checkpoint=tmp_path / "gated")


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "erf", ns.LeakyReLU(0.1), lambda x: x / (1 + jnp.abs(x))])
def test_members_per_group_follow_from_the_pre_activations(activation):
    for depth, width in ((1, 16), (3, 7)):
        network = ns.MLP(depth, activation, width=width, bias_variance=0.1)
        assert preactivations(network, 30, 20, "float32") == 30 * depth * width
    assert preactivations(ns.MLP(0), 30, 20, "float64") == 30


def test_networks_are_drawn_within_transformations_whatever_their_activation():
    """What a network says of its activation is read off values, which a trace has not: they are those of no trace."""
    for activation in ("relu", "tanh", lambda x: x / (1 + jnp.abs(x))):
        network = ns.MLP(1, activation, width=3)
        drawn = jax.jit(lambda key, network=network: network.init(key, 2))(KEY)
        np.testing.assert_array_equal(drawn[0][0], network.init(KEY, 2)[0][0])
        assert jax.vmap(lambda key, network=network: network.init(key, 2)[1][0])(jax.random.split(KEY, 4)).shape == (4, 3, 1)
