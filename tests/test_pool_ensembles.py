"""Networks trained on data sets of a pool: equal to a plain loop, counted by group, and near the theory on the same samples."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.experiments.ensembles import groups
from ntk_shortcuts.kernels import neural_tangents as interop
from ntk_shortcuts.networks.sizes import convolves

KEY = jax.random.key(5)
SHAPE = (3, 2, 1)


def patches(count=120, labels=(-1, 1), agreement=0.8, strength=1.0, seed=0, shape=SHAPE, core=1.0):
    """Noisy images with a core feature in their first pixel and an attribute, right for most of them, in their last."""
    rng = np.random.default_rng(seed)
    y = np.tile(labels, count // 2)
    a = np.where(rng.uniform(size=count) < agreement, y, sum(labels) - y)
    images = rng.normal(size=(count, *shape))
    flat = images.reshape(count, -1)
    flat[:, 0] += core * np.where(y == labels[1], 1, -1)
    flat[:, -1] += strength * np.where(a == labels[1], 1, -1)
    return ns.Pool(images, y, {"patch": a})


def halves(**options):
    return patches(**options).split(jax.random.key(1), 0.5)


def train(pool, test, network, steps=(2, 7), rate=0.3, count=(20, 3, 2), **options):
    return ns.train_ensemble(pool, network, ns.GradientDescent(rate, np.array(steps)), *count, test=test, key=KEY, **options)


def test_descent_is_the_plain_loop_on_the_drawn_samples_with_labels_of_either_kind():
    """By hand: the network linear in its parameters, w <- w - eta X^T (X w - y) / (N d) in NumPy."""
    pool, test = halves(labels=(0, 1))
    network = ns.MLP(0, weight_variance=1.0)
    trained = train(pool, test, network, steps=7, dtype=jnp.float64)
    tested = test.inputs.reshape(test.size, -1) / np.sqrt(6)
    for d, i in np.ndindex(3, 2):
        numbers = trained.samples[d]
        inputs, labels = pool.inputs[numbers].reshape(20, -1) / np.sqrt(6), 2 * pool.labels[numbers] - 1
        assert np.sum(labels) == 0
        weights = np.linalg.lstsq(tested, trained.initial_outputs[d, i], rcond=None)[0]
        np.testing.assert_allclose(inputs @ weights, trained.initial_train_outputs[d, i], atol=1e-10)
        for _ in range(7):
            weights = weights - 0.3 * inputs.T @ (inputs @ weights - labels) / 20
        np.testing.assert_allclose(trained.outputs[d, i], tested @ weights, atol=1e-10)
        assert trained.train_loss[d, i] == pytest.approx(np.mean((inputs @ weights - labels) ** 2) / 2, abs=1e-10)
    assert trained.samples.shape == (3, 20) and not np.array_equal(*trained.samples[:2])


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
def test_convolutional_networks_see_images():
    stax = interop.load().stax
    layers = (stax.Conv(4, (2, 2), padding="SAME"), stax.Relu(), stax.Flatten(), stax.Dense(1))
    init_fn, apply_fn, kernel_fn = stax.serial(*layers)
    pool, test = halves()
    trained = train(pool, test, interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn), steps=3, count=(10, 1, 1))

    def loss(params, images, labels):
        return jnp.mean((apply_fn(params, images)[:, 0] - labels) ** 2) / 2

    _, init_key, _ = jax.random.split(KEY, 3)
    numbers = trained.samples[0]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = jax.tree.map(lambda p: p.astype(float), init_fn(jax.random.split(init_key, 1)[0], (1, *SHAPE))[1])
        for _ in range(3):
            gradient = jax.grad(loss)(params, pool.inputs[numbers], pool.labels[numbers])
            params = jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient)
        np.testing.assert_allclose(trained.outputs[0, 0], apply_fn(params, test.inputs)[:, 0], atol=1e-10)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.peers
def test_layers_of_filters_train_in_either_precision():
    """In a session with x64, as this one is."""
    stax = interop.load().stax
    filters = [part for _ in range(2) for part in (stax.Conv(3, (2, 2), padding="SAME"), stax.Relu())]
    init_fn, apply_fn, kernel_fn = stax.serial(*filters, stax.Flatten(), stax.Dense(1))
    network = interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)
    pool, test = halves()
    single, double = (train(pool, test, network, steps=3, count=(10, 1, 1), dtype=d) for d in (jnp.float32, jnp.float64))
    assert (single.outputs.dtype, double.outputs.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single.outputs, double.outputs, atol=1e-5)


@pytest.mark.slow
@pytest.mark.peers
def test_filters_are_trained_one_network_by_one_as_side_by_side(monkeypatch):
    """On a CPU, where a convolution in a loop, or of several networks at once, is slow; with batches and momentum."""
    stax = interop.load().stax
    init_fn, apply_fn, kernel_fn = stax.serial(stax.Conv(3, (2, 2), padding="SAME"), stax.Relu(), stax.Flatten(), stax.Dense(1))
    network = interop.from_stax(kernel_fn, init_fn=init_fn, apply_fn=apply_fn)
    rule = ns.GradientDescent(0.3, np.array([2, 7]), momentum=0.5)
    (pool, test), options = halves(), {"key": KEY, "batch_size": 8, "dtype": jnp.float64}
    alone = ns.train_ensemble(pool, network, rule, 20, 2, 2, test=test, **options)
    assert convolves(network.on_images(SHAPE), 6, "float64")
    monkeypatch.setattr(groups, "convolves", lambda *_: False)
    together = ns.train_ensemble(pool, network, rule, 20, 2, 2, test=test, **options)
    np.testing.assert_allclose(alone.outputs, together.outputs, atol=1e-12)
    np.testing.assert_allclose(alone.train_loss, together.train_loss, atol=1e-12)


@pytest.fixture(scope="module")
def several():
    pool, test = halves(agreement=0.7)
    return pool, test, train(pool, test, ns.MLP(1, width=16))


def test_accuracies_are_counted_by_group_and_zero_counts_half(several):
    _, test, trained = several
    outputs = np.array(trained.outputs, float)
    outputs[0, 1, 0, :5] = 0.0
    trained = dataclasses.replace(trained, outputs=outputs)
    right = np.where(outputs == 0, 0.5, np.sign(outputs) == test.labels)
    found = trained.group_accuracy
    assert found.dims == ("time", "dataset", "init", "label", "patch") and found.shape == (2, 3, 2, 2, 2)
    np.testing.assert_allclose(found.time, [0.6, 2.1])
    for label, patch in np.ndindex(2, 2):
        y, a = 2 * label - 1, 2 * patch - 1
        of = (test.labels == y) & (test.attributes["patch"] == a)
        np.testing.assert_allclose(found.sel(label=y, patch=a), right[..., of].mean(axis=-1))
    np.testing.assert_allclose(trained.accuracy, right.mean(axis=-1))
    np.testing.assert_allclose(trained.worst_group_accuracy, found.min(("label", "patch")))
    conflicting = (found.sel(label=1, patch=-1) + found.sel(label=-1, patch=1)) / 2
    np.testing.assert_allclose(trained.reliance, 1 - 2 * conflicting)
    np.testing.assert_allclose(trained.reliance, trained.reliance_on("patch"))


def test_data_sets_are_the_independent_unit_of_the_standard_error(several):
    trained = several[2]
    found, error = trained.group_accuracy, trained.standard_error
    assert error.dims == ("time", "label", "patch") and trained.mean_group_accuracy.dims == error.dims
    by_data_set = found.mean("init")
    np.testing.assert_allclose(error, by_data_set.std("dataset", ddof=1) / np.sqrt(3))
    np.testing.assert_allclose(trained.mean_group_accuracy, by_data_set.mean("dataset"))
    one = dataclasses.replace(trained, outputs=trained.outputs[:, :1])
    np.testing.assert_allclose(one.standard_error, found[:, 0].std("init", ddof=1) / np.sqrt(2))
    assert np.isnan(dataclasses.replace(trained, outputs=trained.outputs[:, :1, :1]).standard_error).all()


@pytest.mark.filterwarnings("ignore:patch equals the label")
def test_draws_follow_the_pool():
    pool, test = halves()
    numbers = train(pool, test, ns.MLP(0), count=(40, 2, 1), replace=False).samples
    assert all(len(set(row.tolist())) == 40 for row in numbers)
    # With every group at its weights: the data set's samples count alike, whatever the weights that drew them.
    skewed = pool.with_agreement(1.0)
    trained = train(skewed, test, ns.MLP(0))
    drawn = trained.dataset(1)
    assert np.all(drawn.attributes["patch"] == drawn.labels) and np.ptp(drawn.weights) == 0
    np.testing.assert_array_equal(drawn.inputs, pool.inputs[trained.samples[1]])
    whole = train(pool, test, ns.MLP(0), count=(None, 1, 1))
    np.testing.assert_array_equal(whole.samples, [np.arange(pool.size)])


def gaps(pool, test, trained, network, training, shift=0.0):
    """Of the mean over initialisations from the exact mean: root mean square of z at the test samples, over data sets."""
    z = []
    for index in range(len(trained.samples)):
        exact = ns.predict(trained.dataset(index), network, training, method="dataset", test=test)
        outputs = np.asarray(trained.outputs[..., index, :, :], float)
        inits = outputs.shape[-2]
        error = outputs.std(axis=-2, ddof=1) / np.sqrt(inits)
        # Of order 1/width, beside the error over initialisations.
        z.append((outputs.mean(axis=-2) - exact.mean - shift) / np.hypot(error, 4 / network.width))
    return np.sqrt(np.mean(np.square(z)))


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.filterwarnings("ignore::ntk_shortcuts.UntrustedPredictionWarning")
def test_wide_networks_agree_with_the_exact_prediction_on_their_own_samples():
    pool, test = halves(labels=(0, 1), agreement=0.8)
    network, training = ns.MLP(1, width=512), ns.GradientDescent(0.5, np.array([4, 40]))
    trained = ns.train_ensemble(pool, network, training, 20, 2, 32, test=test, key=KEY, dtype=jnp.float32)
    exact = ns.MLP(1)
    assert gaps(pool, test, trained, network, training) < 1.2
    assert gaps(pool, test, trained, network, training, shift=0.5) > 2
    # Spread over initialisations too.
    spread = ns.predict(trained.dataset(0), exact, training, method="dataset", test=test).std
    found = np.asarray(trained.outputs[:, 0], float).std(axis=-2, ddof=1)
    assert np.mean(found / spread) == pytest.approx(1, abs=0.05)


# Learning rate x largest eigenvalue below 1, where the average needs few poles.
SETTINGS = [
    (ns.MLP(1, width=512), 0.9, 50, 0.25, [40, 120]),
    (ns.MLP(2, width=256), 0.7, 40, 0.25, [20, 60]),
    (ns.MLP(1, activation="erf", width=512, bias_variance=0.1), 0.95, 60, 0.5, [20, 100]),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ntk_shortcuts.UntrustedPredictionWarning")
@pytest.mark.parametrize(("network", "agreement", "num_samples", "rate", "steps"), SETTINGS)
def test_group_accuracies_agree_with_the_average_over_data_sets(network, agreement, num_samples, rate, steps):
    pool, test = halves(count=400, shape=(4, 4, 1), strength=1.5, core=1.5)
    pool = pool.with_agreement(agreement)
    training = ns.GradientDescent(rate, np.array(steps))
    trained = ns.train_ensemble(pool, network, training, num_samples, 200, 1, test=test, key=KEY, dtype=jnp.float32)
    predicted = ns.predict(pool, network, training, num_samples=num_samples, test=test)
    gap = trained.mean_group_accuracy - predicted.group_accuracy
    assert gap.dims == ("time", "label", "patch") and gap.sizes["time"] == 2  # their times are the same
    assert float(np.abs(gap).max()) < 0.03
    error = np.hypot(trained.standard_error, 0.005)
    assert float(np.abs(gap / error).max()) < 4 < float(np.abs((gap + 0.08) / error).max())


def test_a_run_resumes_and_another_pool_is_another_run(tmp_path):
    pool, test = halves()
    seen, network = [], ns.MLP(1, width=8)
    first = train(pool, test, network, checkpoint=tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (42, 42)
    again = train(pool, test, network, checkpoint=tmp_path)
    np.testing.assert_array_equal(first.outputs, again.outputs)
    np.testing.assert_array_equal(first.samples, again.samples)
    for other in (pool.with_agreement(0.9), pool.reweighted(pool.weights * (1 + np.arange(pool.size)))):
        with pytest.raises(ValueError, match="checkpoint must be"):
            train(other, test, network, checkpoint=tmp_path)


POOL, TEST = halves()
THREE = ns.Pool(np.eye(6), [0, 1, 2] * 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "test must be a Pool"),
        ({"test": POOL.inputs}, "test must be a Pool"),
        ({"test": ns.Pool(np.eye(4), [-1, 1, -1, 1])}, "test must be of inputs of shape"),
        ({"model": THREE, "test": THREE}, "pool must be of two classes; got '3"),
        ({"network": ns.MLP(1)}, "width must be"),
        ({"network": object()}, "network must be an MLP of finite width"),
        ({"num_samples": 1}, "num_samples must be"),
        ({"num_datasets": 0}, "num_datasets must be"),
        ({"num_inits": 0}, "num_inits must be"),
        ({"training": ns.GradientFlow(3.0)}, "training must be GradientDescent"),
        ({"num_samples": None, "num_datasets": 2}, "num_datasets must be 1 without num_samples"),
        ({"num_samples": None, "model": POOL.with_agreement(0.9)}, "num_samples must be given for a pool with weights"),
        ({"num_samples": 61, "replace": False}, "num_samples"),
        ({"plane": True}, "plane"),
        ({"dataset": POOL}, "dataset must be None for a pool"),
        ({"probe_inputs": np.eye(6)}, "probe_inputs must be None for a pool"),
        ({"model": ns.GenerativeModel()}, "test must be None for a law"),
    ],
)
def test_mistakes_are_named(change, message):
    arguments = {"model": POOL, "network": ns.MLP(1, width=4), "training": ns.GradientDescent(0.1, 2), "test": TEST}
    arguments |= {"num_samples": 20, "num_datasets": 1, "num_inits": 1, "key": KEY, **change}
    with pytest.raises((ValueError, TypeError), match=message):
        ns.train_ensemble(**arguments)


def test_shared_samples_are_said():
    with pytest.warns(ns.UntrustedPredictionWarning, match="test samples are in the pool too"):
        train(POOL, POOL, ns.MLP(0), count=(10, 1, 1))


@pytest.mark.slow
@pytest.mark.branches
def test_several_attributes_each_have_a_reliance():
    rng = np.random.default_rng(0)
    attributes = {name: rng.choice([-1, 1], 80) for name in ("patch", "border")}
    pool, test = ns.Pool(rng.normal(size=(80, 4)), np.tile([-1, 1], 40), attributes).split(KEY, 0.5)
    trained = train(pool, test, ns.MLP(0), steps=3)
    assert trained.group_accuracy.dims == ("dataset", "init", "label", "patch", "border")
    assert trained.reliance_on("border").shape == (3, 2)
    with pytest.raises(ValueError, match="attribute must be one of patch, border"):
        trained.reliance  # noqa: B018
