"""Theory against training on any law: records by other routes, runs that resume, the report and the command."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import test_comparison

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main
from ntk_shortcuts.experiments import comparison
from ntk_shortcuts.experiments.comparison import LawConfiguration, compare_law, law_preset
from ntk_shortcuts.experiments.comparison.laws import _entries, _resolved
from ntk_shortcuts.experiments.comparison.parts import training_key
from ntk_shortcuts.experiments.ensembles.laws import Drawn
from ntk_shortcuts.metrics import GroupAccuracy

BIRDS = ns.NoisyLabels(ns.ImbalancedClasses(ns.Clusters.waterbirds(0.8, amplification=(2.0, 1.0)), 0.3), 0.1)
THREE = ns.GaussianFeatures((0.8, 0.85, 0.9), (2.0, 1.0, 0.5), correlation=0.3)
UNNAMED = ns.Clusters([[2.0], [-2.0], [0.0]], labels=(1, -1, -1))
GROUPS = [f"label {label}, background {side}" for label in ("−1", "+1") for side in ("−1", "+1")]


def linear(law):
    """A model linear in its parameters, whose kernel is that of infinite width."""
    return LawConfiguration(law, ns.MLP(0, width=4, bias_variance=1.0), (3.0, 9.0), 20, 24, 2)


def fake(configuration, seed=0):
    """A record of the right form, without training; another number for each entry."""
    points = configuration.law.test_points()
    entries = _entries(configuration.law, points)
    like = comparison.Configuration(test_comparison.MODEL, configuration.network, configuration.times, 20, 2, 3)
    record = test_comparison.fake(like, seed)
    shifts = 0.1 * np.arange(len(entries))
    own = {
        name: (np.array(values)[:, None] + shifts * (name in ("trained", "own_init", "expected", "averaged"))).tolist()
        for name, values in record.items()
        if isinstance(values, list) and name not in ("times", "steps") and np.ndim(values) == 1
    }
    kind = "shortcut bias" if points.groups is None else "accuracy in the group"
    record = {**record, **own, "entries": entries, "measure": kind}
    del record["surface"]
    return {**record, "name": configuration.name, "parameters": configuration.parameters()}


@pytest.mark.slow
@pytest.mark.branches
def test_what_is_read_of_each_law_has_words():
    laws = (BIRDS, THREE, UNNAMED, ns.NoisyLabels(test_comparison.MODEL, 0.1))
    named = {type(law).__name__ + str(i): _entries(law, law.test_points()) for i, law in enumerate(laws)}
    groups, features, clusters, model = named.values()
    assert groups == GROUPS and features == ["shortcut 0", "shortcut 1"] and model == ["shortcut"]
    assert clusters == ["cluster 0", "cluster 1", "cluster 2"]
    assert _resolved(BIRDS.test_points()) == 4 * 512 and _resolved(laws[-1].test_points()) == 900


def test_parameters_tell_laws_apart_whose_shapes_are_the_same():
    one, other = (linear(ns.Clusters([[1.0, s], [-1.0, 0.0]], labels=(1, -1))) for s in (0.5, 0.6))
    assert {name for name, value in one.parameters().items() if other.parameters()[name] != value} == {"law_digest"}
    assert one.parameters() == linear(ns.Clusters([[1.0, 0.5], [-1.0, 0.0]], labels=(1, -1))).parameters()
    assert linear(BIRDS).parameters()["rate"] == 0.1 and linear(BIRDS).parameters()["positive"] == 0.3
    assert one.name == "Clusters, linear, depth 0, sigma_b^2 1, width 4, N 20".replace("linear", one.network.activation.name)
    keys = (training_key(c.parameters(), 0) for c in (one, other))
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == 2


@pytest.mark.slow
@pytest.mark.branches
def test_runs_resume_and_the_report_has_a_row_for_each_entry(tmp_path, monkeypatch):
    calls = []

    def counted(configuration, seed=0):
        calls.append(configuration.name)
        return fake(configuration, seed)

    monkeypatch.setattr(LawConfiguration, "compare", counted)
    law = tmp_path / "birds.toml"
    law.write_text('law = "waterbirds"\nmajority = 0.8\n[noise]\nrate = 0.1\n')
    for _ in range(2):
        assert main(["validate", "--law", str(law), "--output", str(tmp_path / "run")]) == 0
    assert len(calls) == 2 and all(name.startswith("birds, relu, depth") for name in calls)
    records = comparison.read(tmp_path / "run" / "records.jsonl")
    text = (tmp_path / "run" / "report.md").read_text()
    assert text.startswith("# Theory against training: birds, preset quick\n\n2 configurations in the table and 0 in")
    assert "## Agreement of the mean accuracy in the group" in text and "Decision surfaces" not in text
    assert all(text.count(f": {group} | 16 x 2 |") == 2 * len(records[0]["times"]) for group in GROUPS)
    # Seconds and networks are those of configurations, not of rows.
    summary = comparison.summarize(records)
    assert (summary["configurations"], summary["networks"], summary["seconds"]["train"]) == (2, 64, 16.0)
    assert summary["agreement"]["averaged"]["points"] == 2 * 4 * 3
    figures = comparison.report_figures(records)
    assert list(figures) == ["agreement"]
    assert figures["agreement"].axes[0].get_xlabel() == "predicted accuracy in the group"


def test_the_command_names_the_law(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(LawConfiguration, "compare", fake)
    law = tmp_path / "three.toml"
    ns.laws.write_law(THREE, law)
    assert main(["validate", "--law", str(law), "--output", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["law"] == str(law) and found["records"][0]["entries"] == ["shortcut 0", "shortcut 1"]
    assert main(["validate", "--law", str(law), "--preset", "paper", "--output", str(tmp_path / "run")]) == 2
    assert "preset must be one of quick, standard for a law from a file; got 'paper'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"law": 3}, "law"),
        ({"law": ns.Pool(np.eye(4), [-1, 1, -1, 1])}, "law"),
        ({"network": ns.MLP(1)}, "width"),
        ({"times": (3.0, 10.0)}, "times"),
        ({"num_samples": 1}, "num_samples"),
        ({"num_datasets": 1}, "num_datasets"),
        ({"num_inits": 1}, "num_inits"),
    ],
)
def test_bad_configurations_name_the_argument(change, name):
    with pytest.raises(ValueError, match=f"^{name} must be"):
        dataclasses.replace(linear(BIRDS), **change)


def test_presets_are_of_the_law():
    quick, standard = (law_preset(name, THREE) for name in ("quick", "standard"))
    assert len(quick) == 2 and len(standard) == 5 and all(c.law is THREE for c in (*quick, *standard))


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("law", [BIRDS, THREE, UNNAMED], ids=["groups", "shortcuts", "clusters"])
def test_a_record_is_what_the_parts_say(law):
    """Networks with a constant kernel are their own prediction at any width, which only rounding keeps apart; the average
    over data sets is within standard errors of them, and another law's is not."""
    configuration = linear(law)
    record = compare_law(configuration, seed=1)
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    shape = (2, len(record["entries"]))
    trained = np.array(record["trained"])
    assert trained.shape == shape and np.max(np.abs(record["ensemble_gap"])) < 2e-3
    key = training_key(configuration.parameters(), 1)
    options = {"key": key, "orthogonal": True, "dtype": np.float32}
    e = ns.experiments.train_on_law(law, configuration.network, configuration.training(), 20, 24, 2, **options)
    again = e.read(GroupAccuracy()).mean(axis=(1, 2)) if e.points.groups is not None else np.asarray(e.mean_bias)
    np.testing.assert_allclose(trained, again.reshape(shape), rtol=1e-5)
    for data in e.datasets[:2]:
        directions = np.asarray(data.embedding.directions)
        np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-6)
    # 24 data sets: Student's t has wider tails than the normal law.
    assert np.max(np.abs(record["averaged_z"])) < 4.5 and np.max(np.abs(record["expected_z"])) < 4.5
    shifted = (trained - np.array(record["averaged"]) + 0.25) / np.array(record["trained_data_error"])
    assert np.max(np.abs(shifted)) > 4.5


def test_inputs_that_are_no_latents_have_no_directions():
    data = ns.laws.Dataset.from_arrays(np.ones((2, 3)), [-1, 1])
    with pytest.raises(ValueError, match=r"^orthogonal must be False for inputs that are no embedded latents"):
        Drawn(THREE, 4, 1, data, True)
