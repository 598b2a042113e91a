"""Pools on the command line: what Python answers, as a table, as JSON and as files, and one line for each mistake."""

import json

import jax
import numpy as np
import pytest
import xarray

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(0)
    labels, patch = np.tile([-1, 1], 30), np.repeat([-1, 1], 30)
    inputs = rng.normal(size=(60, 5)) + labels[:, None] * np.eye(5)[0]
    inputs[:, 1] += 3 * patch
    place = tmp_path_factory.mktemp("pools") / "images.npz"
    np.savez(place, inputs=inputs, labels=labels, patch=patch, kind=np.tile([0, 1, 2], 20))
    return place


@pytest.fixture
def one(path, tmp_path):
    """The same with one attribute."""
    with np.load(path) as arrays:
        np.savez(tmp_path / "one.npz", **{name: arrays[name] for name in ("inputs", "labels", "patch")})
    return tmp_path / "one.npz"


def run(capsys, line, *more):
    status = main([*line.split(), *map(str, more)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_audit_json_is_the_python_answer(capsys, path, tmp_path):
    figure, data = tmp_path / "audit.png", tmp_path / "audit.nc"
    more = ("--output", figure, "--output", data)
    status, out, err = run(capsys, f"audit {path} --json --depth 0 --modes 3 --agreement 0.9 --attribute patch", *more)
    found = json.loads(out)
    pool = ns.laws.read_pool(path).with_agreement(0.9, "patch")
    expected = ns.audit(pool, ns.MLP(0), modes=3)
    assert status == 0 and err.count("wrote") == 2 and figure.stat().st_size > 1000
    assert found["function"] == ["label", "patch", "kind"] and found["agreement"] == 0.9 and found["depth"] == 0
    for name in expected.data_vars:
        read = [np.inf if value == "inf" else value for value in found[name]]
        np.testing.assert_allclose(np.asarray(read, float), expected[name], rtol=1e-12)
    with xarray.open_dataset(data, engine="h5netcdf") as loaded:
        np.testing.assert_allclose(loaded["predictivity"], [1, 0.9, expected.predictivity[2]])


def test_audit_prints_a_table(capsys, path):
    status, out, _ = run(capsys, "audit", path)
    assert status == 0 and all(word in out for word in ("predictivity", "learnt by", "label", "patch", "kind"))


def test_predict_on_a_pool(capsys, one, tmp_path):
    line = "predict --agreement 0.95 --num-samples 20 --time 30 --test-fraction 0.4 --seed 3 --no-random-init"
    status, out, _ = run(capsys, line, "--pool", one, "--json", "--output", tmp_path / "groups.nc")
    found = json.loads(out)
    test, pool = ns.laws.read_pool(one).split(jax.random.key(3), 0.4)
    assert (found["test_samples"], found["pool_samples"]) == (len(test), len(pool)) == (24, 36)
    options = {"num_samples": 20, "test": test, "random_init": False, "key": jax.random.key(3)}
    expected = ns.predict(pool.with_agreement(0.95), ns.MLP(1), ns.GradientFlow(30.0), **options)
    assert status == 0 and found["method"] == "dataset_averaged" and found["agreement"] == 0.95
    assert found["worst_group_accuracy"] == pytest.approx(expected.worst_group_accuracy, rel=1e-6)
    assert found["reliance_on_patch"] == pytest.approx(expected.reliance, rel=1e-6)
    for group in found["group_accuracy"]:
        value = float(expected.group_accuracy.sel(label=group["label"], patch=group["patch"]))
        assert group["accuracy"] == pytest.approx(value, rel=1e-6)
    with xarray.open_dataset(tmp_path / "groups.nc", engine="h5netcdf") as loaded:
        np.testing.assert_allclose(loaded["group_accuracy"], expected.group_accuracy, rtol=1e-6)


@pytest.mark.parametrize("method", ["--method dataset", "--num-samples 20 --method monte_carlo --num-datasets 2", ""])
def test_other_methods_and_the_table(capsys, one, method):
    status, out, _ = run(capsys, f"predict --agreement 0.9 --no-random-init {method}", "--pool", one)
    assert status == 0 and all(words in out for words in ("worst group accuracy", "label -1, patch +1", "reliance on patch"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("audit nowhere.npz", "error: pool must be an .npz file; there is no 'nowhere.npz'"),
        ("audit .", "error: pool must be an .npz file; '.' is a folder (ntk_shortcuts.laws.pool_from_folder reads images"),
        ("audit {path} --agreement 0.9", "attribute must be one of patch, kind; got None"),
        ("audit {path} --attribute patch", "attribute must be given with --agreement"),
        ("audit {path} --modes 0", "modes must be an integer >= 1"),
        ("audit {path} --output table.txt", "output must end in one of"),
        ("audit", "Missing argument"),
        ("predict --pool nowhere.npz", "pool must be an .npz file"),
        ("predict --pool {path} --predictivity 0.8 0.9", "predictivity must not be given with --pool"),
        ("predict --pool {path} --test-fraction 1", "test_fraction must be in (0, 1)"),
        ("predict --pool {path} --output surface.jpg", "output must end in one of"),
        ("predict --pool {path} --tolerance 0.1 --num-samples 10 --method monte_carlo", "tolerance must be given with"),
        ("predict --agreement 0.9", "agreement must be given with --pool; got 0.9"),
        ("predict --test-fraction 0.5", "test_fraction must be given with --pool"),
    ],
)
def test_mistakes_are_one_line(capsys, path, line, words):
    status, out, err = run(capsys, line.format(path=path))
    assert status == 2 and not out and words in err and err.count("\n") == 1


def test_other_files_are_refused(capsys, tmp_path):
    (tmp_path / "text.npz").write_text("no arrays")
    status, _, err = run(capsys, "audit", tmp_path / "text.npz")
    assert status == 2 and "path must be an .npz file" in err
