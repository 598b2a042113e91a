"""Trained ensembles: equal to a plain loop, to their reduction to the plane, to a resumed run, and near the theory."""

import functools
import io
import os
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.laws.two_features.plane import plane_basis

MODEL = ns.GenerativeModel(amplification=(2.0, 1.0), input_dim=20)
NETWORK = ns.MLP(1, width=16)
KEY = jax.random.key(3)


def train(network=NETWORK, steps=(2, 12), rate=0.3, count=(2, 2), model=MODEL, **options):
    return ns.train_ensemble(model, network, ns.GradientDescent(rate, np.array(steps)), 30, *count, key=KEY, **options)


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize(
    ("loss", "slope"),
    [("squared", lambda f, y: f - y), ("logistic", lambda f, y: -y / (1 + np.exp(y * f)))],
)
def test_full_batch_descent_is_the_plain_loop(loss, slope):
    """By hand: the network linear in its parameters, w <- w - eta X^T loss'(X w) / (N d) in NumPy."""
    with jax.enable_x64(True):
        network = ns.MLP(0, weight_variance=1.0)
        ensemble = train(network, steps=(7,), count=(2, 1), loss=loss, plane=False)
    for index in range(2):
        data = ensemble.dataset(index)
        inputs, labels = np.asarray(data.inputs) / np.sqrt(MODEL.input_dim), np.asarray(data.labels)
        probes = np.asarray(data.embedding(ensemble.probes)) / np.sqrt(MODEL.input_dim)
        # The initial weights are not handed out: the initial outputs give what the probes can see of them.
        weights = np.linalg.lstsq(probes, ensemble.initial_outputs[index, 0], rcond=None)[0]
        for _ in range(7):
            weights = weights - 0.3 * inputs.T @ slope(inputs @ weights, labels) / len(labels)
        np.testing.assert_allclose(ensemble.outputs[0, index, 0], probes @ weights, atol=1e-10)


def plain_minibatches(order_key, steps, count, size):
    batches = -(-count // size)
    for step in range(steps):
        if step % batches == 0:
            order = np.asarray(jax.random.permutation(jax.random.fold_in(order_key, step // batches), count))
        yield order[(step % batches) * size : (step % batches + 1) * size]


@pytest.mark.slow
def test_minibatches_visit_each_sample_once_per_epoch_and_the_last_one_is_smaller():
    """A loop without vmap, padding or compiled control flow, from the same keys."""
    ensemble = train(steps=(9,), count=(1, 1), batch_size=8, dtype=jnp.float32)
    _, init_key, order_key = jax.random.split(KEY, 3)
    data = ensemble.dataset(0)
    inputs, labels = jnp.asarray(data.inputs, jnp.float32), jnp.asarray(data.labels, jnp.float32)
    params = NETWORK.init(jax.random.split(init_key, 1)[0], 20, jnp.float32)
    gradient = jax.jit(jax.grad(lambda p, x, y: jnp.mean((NETWORK.apply(p, x) - y) ** 2) / 2))
    seen = []
    for rows in plain_minibatches(jax.random.split(order_key, 1)[0], 9, 30, 8):
        seen.append(rows)
        params = jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient(params, inputs[rows], labels[rows]))
    assert sorted(np.concatenate(seen[:4])) == list(range(30)) and len(seen[3]) == 6
    outputs = NETWORK.apply(params, jnp.asarray(data.embedding(ensemble.probes), jnp.float32))
    np.testing.assert_allclose(ensemble.outputs[0, 0, 0], outputs, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "options"),
    [
        (NETWORK, {}),
        pytest.param(
            ns.MLP(2, "tanh", width=8, parameterization="standard", initialization="torch"),
            {"batch_size": 8, "optimizer": functools.partial(optax.sgd, momentum=0.9), "loss": "logistic"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_reduction_to_the_plane_is_exact(network, options):
    with jax.enable_x64(True):
        reduced, full = (train(network, plane=plane, **options) for plane in (True, False))
    assert reduced.params[0][0].shape[-2] == 2 and full.params[0][0].shape[-2] == 20
    np.testing.assert_allclose(reduced.outputs, full.outputs, atol=1e-10)
    np.testing.assert_allclose(reduced.initial_outputs, full.initial_outputs, atol=1e-10)


@pytest.mark.slow
def test_adam_and_nesting_stay_in_the_whole_space():
    assert not train(optimizer=optax.adam, rate=0.01).plane
    assert not train(model=ns.GenerativeModel(nesting=(1, 0), input_dim=20), steps=(1,)).plane
    with pytest.raises(ValueError, match="plane must be"):
        train(model=ns.GenerativeModel(nesting=(1, 0), input_dim=20), plane=True)
    with pytest.raises(ValueError, match="nesting must be"):
        plane_basis(ns.GenerativeModel(nesting=(0, 1)).embedding(KEY))


@pytest.mark.slow
@pytest.mark.branches
def test_centred_ensembles_start_at_zero_and_several_laws_train_side_by_side():
    other = ns.GenerativeModel(amplification=(1.0, 1.0), input_dim=20)
    both = ns.experiments.train_ensembles(
        [MODEL, other], NETWORK, ns.GradientDescent(0.3, [0, 12]), 30, 2, 2, key=KEY, centred=True
    )
    alone = train(centred=True, steps=(0, 12))
    assert np.all(both[0].outputs[0] == 0) and np.all(both[0].initial_outputs == 0)
    np.testing.assert_allclose(both[0].outputs, alone.outputs, atol=1e-5)
    assert np.abs(both[1].outputs[1] - both[0].outputs[1]).max() > 0.01
    bias = np.asarray(alone.bias)[1]
    assert alone.mean_bias[1] == pytest.approx(bias.mean())
    assert alone.standard_error[1] == pytest.approx(abs(bias[0].mean() - bias[1].mean()) / 2)
    np.testing.assert_allclose(alone.bias, ns.metrics.shortcut_bias(alone.outputs, MODEL), atol=1e-7)


def own(network=NETWORK, steps=(2, 12), num_inits=3, rate=0.3, **options):
    training = ns.GradientDescent(rate, np.array(steps))
    return ns.train_ensemble(MODEL, network, training, num_inits=num_inits, **{"key": KEY, **options})


@pytest.mark.slow
@pytest.mark.branches
def test_a_data_set_given_back_trains_the_same_networks_as_when_it_was_sampled():
    first = train(count=(1, 3), num_validation=20)
    data = first.dataset(0)
    again = own(dataset=data, num_validation=20)
    assert again.plane and again.outputs.shape == first.outputs.shape == (2, 1, 3, 900)
    bare = ns.Dataset.from_arrays(data.inputs, data.labels)
    alone = own(dataset=bare, probe_inputs=data.embedding(first.probes), num_samples=30)
    assert not alone.plane and alone.datasets.embedding is None and np.isnan(alone.validation_accuracy).all()
    for ensemble in (again, alone):
        for name in ("outputs", "initial_outputs", "initial_train_outputs", "train_loss"):
            np.testing.assert_allclose(getattr(ensemble, name), getattr(first, name), atol=1e-10, err_msg=name)
        np.testing.assert_array_equal(ensemble.bias, first.bias)
        np.testing.assert_array_equal(ensemble.dataset(0).inputs, data.inputs)
    np.testing.assert_array_equal(again.validation_accuracy, first.validation_accuracy)


@pytest.mark.slow
@pytest.mark.branches
def test_data_of_ones_own_of_any_size_balance_and_dimension_is_the_plain_loop(rng):
    inputs, labels, probes = rng.normal(size=(7, 5)), np.array([1, 1, 1, 1, 1, -1, -1]), rng.normal(size=(4, 5))
    options = {"dataset": ns.Dataset.from_arrays(inputs, labels), "probes": [[1, 1], [1, -1], [-1, 1], [-1, -1]]}
    ensemble = own(steps=5, num_inits=1, probe_inputs=probes, **options)
    params = NETWORK.init(jax.random.split(jax.random.split(KEY, 3)[1], 1)[0], 5)
    gradient = jax.grad(lambda p: jnp.mean((NETWORK.apply(p, inputs) - labels) ** 2) / 2)
    for _ in range(5):
        params = jax.tree.map(lambda p, g: p - 0.3 * g, params, gradient(params))
    np.testing.assert_allclose(ensemble.outputs[0, 0], NETWORK.apply(params, probes), atol=1e-12)
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert own(steps=5, probe_inputs=probes, **options).outputs.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_datasets": 2}, "num_datasets must be 1 with dataset="),
        ({"num_samples": 10}, "num_samples must be None or 6, the size of dataset"),
        ({"probe_inputs": None}, "probe_inputs must be given for data of your own, a dataset without embedding"),
        ({"probe_inputs": np.eye(3)}, r"probe_inputs must be of shape \(2, 3\), one row per probe"),
        ({"num_validation": 4}, "num_validation must be None for data without its embedding"),
        ({"orthogonal": True}, "orthogonal must be False with dataset="),
        ({"plane": True}, "plane must be False or None for inputs not known to lie in the plane"),
        ({"batch_size": 7}, "batch_size must be at most N"),
        ({"dataset": np.eye(3)}, "dataset must be a Dataset"),
        ({"dataset": None}, "probe_inputs must be None without dataset="),
    ],
)
def test_what_does_not_go_with_a_given_data_set_is_named(change, message):
    data = ns.Dataset.from_arrays(np.eye(6, 3), [1, -1, 1, -1, 1, -1])
    options = {"dataset": data, "probes": np.ones((2, 2)), "probe_inputs": np.eye(2, 3)}
    with pytest.raises(ValueError, match=f"^{message}"):
        own(**{**options, **change})
    with pytest.raises(ValueError, match="models must be a single one with dataset="):
        ns.experiments.train_ensembles([MODEL, MODEL], NETWORK, ns.GradientDescent(0.3, 2), key=KEY, **options)


@pytest.mark.slow
def test_early_stopping_takes_the_first_best_validation_accuracy():
    ensemble = train(steps=(1, 4, 12, 40), num_validation=50)
    best = ensemble.at_best_validation()
    accuracy = np.asarray(ensemble.validation_accuracy)
    for data, init in np.ndindex(2, 2):
        first = int(np.argmax(accuracy[:, data, init]))
        assert best.steps[data, init] == ensemble.steps[first]
        np.testing.assert_array_equal(best.outputs[data, init], ensemble.outputs[first, data, init])
    with pytest.raises(ValueError, match="num_validation must be"):
        train(steps=3).at_best_validation()
    with pytest.raises(ValueError, match="num_validation must be"):
        train().at_best_validation()


class Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.branches
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr("ntk_shortcuts.experiments.ensembles.groups._SEGMENT_SECONDS", 0.0)  # a checkpoint after every step
    # Groups of three: one pass over 900 probes outweighs six over 30 samples; data in the plane are two columns and labels.
    member = 4 * (900 * 16 + 2 * (900 + 30 + 20) + 30)
    monkeypatch.setattr("ntk_shortcuts.experiments.ensembles.memory._MEMBER_BYTES", 3 * member)
    options = {"batch_size": 8, "optimizer": functools.partial(optax.sgd, momentum=0.9), "dtype": jnp.float32}
    whole = train(**options)
    calls = []

    def kill(done, total):
        calls.append(done)
        if done > 0.9 * total:
            raise Killed

    with pytest.raises(Killed):
        train(checkpoint=tmp_path / "run", progress=kill, **options)
    seen = []
    resumed = train(checkpoint=tmp_path / "run", progress=lambda done, total: seen.append(done), **options)
    np.testing.assert_array_equal(resumed.outputs, whole.outputs)
    np.testing.assert_array_equal(resumed.params[0][0], whole.params[0][0])
    assert seen[0] == 36 and seen[-1] == 48 and len(seen) < len(calls)
    with pytest.raises(ValueError, match="checkpoint must be"):
        train(checkpoint=tmp_path / "run", rate=0.31, **options)


class Trap:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_damaged_and_foreign_checkpoints_are_named_and_nothing_is_unpickled(tmp_path):
    run, trap = tmp_path / "run", tmp_path / "sprung"
    options = {"checkpoint": run, "steps": (3,)}
    first = train(**options)
    (file,) = run.glob("members-*.eqx")
    whole = file.read_bytes()
    with file.open("rb") as stream:  # plain arrays, one after another
        while stream.tell() < len(whole):
            np.load(stream, allow_pickle=False)
    np.testing.assert_array_equal(train(**options).outputs, first.outputs)
    pickled = io.BytesIO()
    np.save(pickled, np.array([Trap(trap)], dtype=object), allow_pickle=True)
    for damage in (b"", whole[: len(whole) // 2], b"PK" + whole[2:], b"a letter to the editor", pickled.getvalue()):
        file.write_bytes(damage)
        with pytest.raises(ValueError, match=r"^checkpoint must hold what this run wrote .*members-000000\.eqx"):
            train(**options)
    assert not trap.exists()
    (run / "run.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"^checkpoint must be a new directory.*of another run"):
        train(**options)
    letter = tmp_path / "letters" / "one.txt"
    letter.parent.mkdir()
    letter.write_text("precious")
    for path, words in ((letter.parent, "files of another kind"), (letter, "a file")):
        with pytest.raises(ValueError, match=rf"^checkpoint must be a new directory.*{words}"):
            train(**{**options, "checkpoint": path})
    assert letter.read_text() == "precious" and [p.name for p in letter.parent.iterdir()] == ["one.txt"]


_RUN = """
import sys, jax, numpy as np, ntk_shortcuts as ns
from ntk_shortcuts.experiments.ensembles import groups
groups._SEGMENT_SECONDS = 0.0  # a checkpoint after every step
result = ns.train_ensemble(
    ns.GenerativeModel(amplification=(4.0, 1.0)), ns.MLP(2, width=32, parameterization="standard", initialization="torch"),
    ns.GradientDescent(0.02, np.array([50, 400])), 200, 2, 2, key=jax.random.key(1), batch_size=64, num_validation=100,
    checkpoint=sys.argv[1], progress=lambda done, total: print(done, total, flush=True))
accuracy, weights = result.validation_accuracy, result.params[1][0]
np.savez(sys.argv[2], outputs=result.outputs, bias=result.bias, weights=weights, accuracy=accuracy)
"""


@pytest.mark.slow
def test_a_process_killed_by_the_system_resumes_to_the_same_bits(tmp_path):
    def start(checkpoint, target):
        command = [sys.executable, "-c", _RUN, str(tmp_path / checkpoint), str(tmp_path / target)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    whole = start("whole", "whole.npz")
    assert [line.split()[0] for line in whole.communicate()[0].splitlines()][-1] == "1600" and whole.returncode == 0
    victim = start("killed", "killed.npz")
    for line in victim.stdout:
        if int(line.split()[0]) >= 800:
            victim.kill()  # SIGKILL: nothing is cleaned up
            break
    victim.stdout.close()
    assert victim.wait() == -9 and not (tmp_path / "killed.npz").exists()
    resumed = start("killed", "killed.npz")
    first = int(resumed.communicate()[0].splitlines()[0].split()[0])
    assert resumed.returncode == 0 and 400 <= first < 1600
    found, expected = np.load(tmp_path / "killed.npz"), np.load(tmp_path / "whole.npz")
    for name in expected.files:
        assert found[name].tobytes() == expected[name].tobytes(), name


def test_divergence_is_an_error_that_says_when():
    with pytest.raises(FloatingPointError, match="by step 400 the loss of 4 of 4"):
        train(ns.MLP(0), rate=1e4, steps=(400,))


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"network": ns.MLP(1)}, "width"),
        ({"network": None}, "network"),
        ({"loss": "hinge"}, "loss"),
        ({"batch_size": 31}, "batch_size"),
        ({"optimizer": 0.1}, "optimizer"),
        ({"num_validation": 3}, "num_validation"),
        ({"count": (0, 1)}, "num_datasets"),
        ({"progress": 1}, "progress"),
    ],
)
def test_bad_arguments_name_themselves(change, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        train(**change)


def discrepancy(ensemble, shift):
    """Largest |z| over times between the ensemble's mean bias and the prediction, moved by a shift, on its own data sets."""
    predicted = []
    for index in range(ensemble.bias.shape[1]):
        law = ns.predict_bias(MODEL, ns.MLP(1), ns.GradientDescent(0.5, ensemble.steps), dataset=ensemble.dataset(index))
        predicted.append(np.asarray(law.bias))
    gaps = np.asarray(ensemble.bias).mean(axis=2) - np.stack(predicted, axis=1)
    error = np.sqrt(np.asarray(ensemble.bias).var(axis=2, ddof=1).mean(axis=1) / ensemble.bias[0].size)
    return np.max(np.abs(gaps.mean(axis=1) + shift) / error)


@pytest.mark.slow
def test_wide_networks_agree_with_the_theory_on_their_own_data_sets():
    ensemble = train(ns.MLP(1, width=512), steps=(5, 40), rate=0.5, count=(4, 12))
    assert discrepancy(ensemble, 0.0) < 4
    assert discrepancy(ensemble, 0.5) > 4


@pytest.mark.slow
def test_members_spread_over_devices_train_alike():
    script = (
        "import jax, numpy as np, ntk_shortcuts as ns;"
        "e = ns.train_ensemble(ns.GenerativeModel(amplification=(2.0, 1.0), input_dim=20), ns.MLP(1, width=16),"
        "ns.GradientDescent(0.3, np.array([2, 12])), 30, 2, 2, key=jax.random.key(3));"
        "assert jax.device_count() == 2; print(repr(float(np.sum(e.outputs))))"
    )
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_ENABLE_X64": "1"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert float(found.stdout) == pytest.approx(float(np.sum(train().outputs)), rel=1e-4)
