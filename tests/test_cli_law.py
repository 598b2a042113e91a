"""Laws from files on the command line: what Python answers, and one line for each mistake, with the line of the file."""

import json

import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main

FEATURES = """law = "features"
predictivity = [0.8, 0.85, 0.9]
amplification = [4.0, 2.0, 1.0]
correlation = 0.5
"""
CLUSTERS = """law = "waterbirds"
majority = 0.9
amplification = [3.0, 1.0]
"""


def run(capsys, tmp_path, text, *more):
    path = tmp_path / "law.toml"
    path.write_text(text)
    status = main(["predict", "--law", str(path), "--depth", "0", "--time", "10", "--tolerance", "0.05", *more])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.slow
@pytest.mark.branches
def test_features_are_the_python_answer(capsys, tmp_path):
    status, out, _ = run(capsys, tmp_path, FEATURES, "--json")
    law = ns.GaussianFeatures((0.8, 0.85, 0.9), (4.0, 2.0, 1.0), 0.5)
    expected = ns.predict(law, ns.MLP(0), ns.GradientFlow(10.0), tolerance=0.05)
    found = json.loads(out)
    assert status == 0 and found["shortcut"] == [0, 1] and found["predictivity"] == [0.8, 0.85, 0.9]
    np.testing.assert_allclose(found["bias"], expected.bias, atol=1e-9)
    status, out, _ = run(capsys, tmp_path, FEATURES)
    assert status == 0 and "bias shortcut 1" in out and f"{float(expected.bias[0]):+.4f}" in out


@pytest.mark.slow
@pytest.mark.branches
def test_clusters_are_the_python_answer(capsys, tmp_path):
    status, out, _ = run(capsys, tmp_path, CLUSTERS, "--json", "--bias-variance", "1")
    law = ns.Clusters.waterbirds(0.9, amplification=(3.0, 1.0))
    expected = ns.predict(law, ns.MLP(0, bias_variance=1.0), ns.GradientFlow(10.0), tolerance=0.05)
    found = json.loads(out)
    assert status == 0 and found["background"] == [-1, 1]
    np.testing.assert_allclose(found["group_accuracy"], expected.group_accuracy, atol=1e-9)
    status, out, _ = run(capsys, tmp_path, CLUSTERS, "--bias-variance", "1")
    assert status == 0 and "accuracy of label +1, background -1" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("law = 3 4", r"law must be a TOML file; got .*line 1"),
        ('law = "ring"', r"law must be one of two_features, features, clusters.*line 1; got 'ring'"),
        (FEATURES.replace("correlation", "corelation"), r"corelation must be one of predictivity.*line 4"),
        (FEATURES.replace("0.85", "1.85"), r"predictivity must be in \[0.5, 1\).*line 2"),
        ('law = "waterbirds"\nmeans = [[1]]', r"means must be one of majority.*line 2"),
        ('law = "clusters"\nlabels = [1, -1]', r"means"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(capsys, tmp_path, text, message):
    import re

    status, _, err = run(capsys, tmp_path, text)
    assert status == 2 and re.search(message, err.replace("\n", " ")), err


def test_what_a_law_from_a_file_does_not_take(capsys, tmp_path):
    status, _, err = run(capsys, tmp_path, FEATURES, "--correlation", "0.1")
    assert status == 2 and "correlation must not" in err
    status = main(["predict", "--law", "nowhere.toml"])
    assert status == 2 and "law must be a TOML file" in capsys.readouterr().err
    status = main(["predict", "--law", "nowhere.toml", "--pool", "nowhere.npz"])
    assert status == 2 and "law must not be given with --pool" in capsys.readouterr().err
