"""The page on a pool of samples, from Python and from the command line."""

import re

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main
from ntk_shortcuts.experiments.pool_report import pool_report


@pytest.fixture(scope="module")
def pools():
    rng = np.random.default_rng(0)
    label, patch = np.repeat([-1, 1], 40), np.tile([-1, 1], 40)
    inputs = np.stack([label, 3 * patch, *rng.normal(size=(2, 80))], axis=1)
    return ns.Pool(inputs, label, {"patch": patch})


QUICK = {"method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 2, "remedies": ["none", "attribute_removed"]}


def test_the_page_says_what_the_predictions_say(pools):
    pool, test = pools.split(jax.random.key(0), 0.6)
    pool, times = pool.with_agreement(0.9), [1.0, 10.0]
    page = pool_report(pool, ns.MLP(0), times, 20, test, **QUICK)
    options = {name: value for name, value in QUICK.items() if name != "remedies"}
    expected = ns.predict(pool, ns.MLP(0), ns.GradientFlow(times), num_samples=20, test=test, **options)
    assert f"accuracy of {expected.worst_group_accuracy[-1]:.2f} at time 10" in page
    for accuracy in np.ravel(expected.group_accuracy):
        assert f"<td>{float(accuracy):.3f}</td>" in page
    assert len(re.findall(r'<img alt="[^"]+" src="data:image/png;base64,', page)) == 3
    assert "attribute_removed" in page and "</html>" in page and "<script" not in page


@pytest.mark.slow
@pytest.mark.branches
def test_issues_stand_on_the_page(pools):
    pool, _ = pools.split(jax.random.key(0), 0.6)
    with pytest.warns(ns.UntrustedPredictionWarning, match="are in the pool too"):
        page = pool_report(pool, ns.MLP(0), [1.0, 10.0], 20, pool, **QUICK)
    assert "test samples are in the pool too" in page


def test_mistakes_are_named(pools):
    with pytest.raises(ValueError, match="times must be two or more"):
        pool_report(pools, ns.MLP(0), [1.0], 20, pools)
    with pytest.raises(ValueError, match="pool must be a Pool"):
        pool_report(np.ones(3), ns.MLP(0), [1.0, 2.0], 20, pools)


@pytest.mark.slow
@pytest.mark.branches
def test_the_command_writes_it(pools, tmp_path, capsys):
    ns.laws.write_pool(pools, tmp_path / "pool.npz")
    page = tmp_path / "report.html"
    words = f"report {tmp_path / 'pool.npz'} --agreement 0.9 --num-samples 60 --time 1 --time 3 --depth 0 --output {page}"
    assert main(words.split()) == 0
    assert "wrote" in capsys.readouterr().err and page.read_text().startswith("<!DOCTYPE html>")
    assert main(f"report {tmp_path / 'none.npz'}".split()) == 2
    assert "there is no" in capsys.readouterr().err
