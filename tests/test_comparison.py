"""Theory against training: records by other routes, statistics by hand, runs that resume, and the report."""

import json
import re

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.experiments import comparison
from ntk_shortcuts.experiments.comparison import Configuration, agreement, fit_power_law
from ntk_shortcuts.experiments.comparison.configuration import _output_gaps
from ntk_shortcuts.experiments.comparison.parts import training_key
from ntk_shortcuts.experiments.comparison.statistics import initialisation_error, resolution

MODEL = ns.GenerativeModel(amplification=(2.0, 0.5), input_dim=20)
TINY = Configuration(MODEL, ns.MLP(1, width=16), (3.0, 9.0), 20, 1, 3)
TINY_TABLE = Configuration(MODEL, ns.MLP(1, width=16), (3.0, 9.0), 20, 2, 3)


def fake(configuration, seed=0):
    """A record of the right form without any training: agreement to noise of known size."""
    rng = np.random.default_rng([seed, configuration.network.width, configuration.network.depth, configuration.num_datasets])
    times, width = np.array(configuration.times), configuration.network.width
    trained = np.linspace(0.2, 0.8, len(times)) / configuration.network.depth
    ones = np.ones(len(times))
    surface = np.asarray(configuration.model.probe_grid()) @ [0.5, 0.2]
    record = {
        "name": configuration.name,
        "parameters": configuration.parameters(),
        "seed": seed,
        "learning_rate": 1.0,
        "steps": times.astype(int).tolist(),
        "times": times.tolist(),
        "trained": trained.tolist(),
        "trained_data_error": (0.02 * ones).tolist(),
        "trained_init_error": (0.01 * ones).tolist(),
        "own_init": (trained - 0.002).tolist(),
        "expected": (trained - 0.005).tolist(),
        "expected_z": (0.5 * ones).tolist(),
        "single_gap": (ones / np.sqrt(width)).tolist(),
        "ensemble_gap": (0.002 * ones).tolist(),
        "ensemble_gap_error": (0.001 * ones).tolist(),
        "single_output_gap": (ones / width * rng.uniform(0.95, 1.05, len(times))).tolist(),
        "single_output_gap_error": (0.03 * ones / width).tolist(),
        "ensemble_output_gap": (ones / width**2).tolist(),
        "ensemble_output_gap_error": (0.1 * ones / width**2).tolist(),
        "surface": {"predicted": surface.tolist(), "trained": surface.tolist()},
        "seconds": {"train": 8.0, "own_init": 2.0, "expected": 2.0, "averaged": 1.0},
        "environment": {"commit": "abc", "device": "cpu"}
        | dict.fromkeys(("ntk_shortcuts_version", "jax_version", "numpy", "scipy", "python", "num_devices"), "1"),
    }
    if configuration.num_datasets > 1:
        record |= {"averaged": (trained + 0.01).tolist(), "averaged_z": (-0.5 * ones).tolist(), "averaged_trusted": 1.0}
    return record


def configurations():
    table = [Configuration(MODEL, ns.MLP(depth, width=16), (3.0, 9.0), 20, 2, 3) for depth in (1, 2)]
    study = [Configuration(MODEL, ns.MLP(1, width=width), (3.0, 9.0), 20, 1, 3) for width in (16, 32, 64)]
    return [*table, *study]


pytestmark = pytest.mark.xdist_group("comparison")


@pytest.fixture(scope="module", params=[TINY, pytest.param(TINY_TABLE, marks=pytest.mark.slow)], ids=["study", "table"])
def compared(request):
    return request.param, comparison.compare(request.param, seed=1)


@pytest.mark.slow
def test_a_record_survives_json_and_has_every_parameter(compared):
    configuration, record = compared
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    expected = {"depth": 1, "width": 16, "num_samples": 20, "num_inits": 3, "orthogonal": True}
    assert {name: record["parameters"][name] for name in expected} == expected
    assert record["parameters"]["amplification"] == [2.0, 0.5] and record["seed"] == 1
    assert record["learning_rate"] * np.array(record["steps"]) == pytest.approx(record["times"])
    averaged = {"averaged"} if configuration is TINY_TABLE else set()
    assert set(record["seconds"]) == {"train", "own_init", "expected"} | averaged and averaged <= set(record)
    assert (record["trained_data_error"][0] is None) == (configuration is TINY)
    assert {"jax_version", "device", "commit"} <= set(record["environment"])


@pytest.mark.slow
def test_a_record_is_what_the_parts_say(compared):
    """Trained anew, and predicted from inputs in R^d: the prediction with own initial outputs as plain kernel descent."""
    configuration, record = compared
    network, training, datasets = configuration.network, configuration.training(), configuration.num_datasets
    key, options = training_key(configuration.parameters(), 1), {"orthogonal": True, "dtype": np.float32}
    ensemble = ns.train_ensemble(MODEL, network, training, 20, datasets, 3, key=key, **options)
    bias = np.asarray(ensemble.bias, float)
    np.testing.assert_allclose(record["trained"], bias.mean(axis=(1, 2)), rtol=1e-5)
    own = np.empty_like(bias)
    for d, i in np.ndindex(datasets, 3):
        data = ensemble.dataset(d)
        kernels = network.kernels(data.inputs), network.kernels(data.embedding(ensemble.probes), data.inputs)
        train, cross = (np.asarray(k.ntk) for k in kernels)
        outputs = ensemble.initial_train_outputs[d, i].astype(float)
        at_probes = ensemble.initial_outputs[d, i].astype(float)
        done = 0
        for t, steps in enumerate(record["steps"]):
            for _ in range(done, steps):
                residual = np.asarray(data.labels) - outputs
                at_probes = at_probes + record["learning_rate"] * cross @ residual / 20
                outputs = outputs + record["learning_rate"] * train @ residual / 20
            done = steps
            own[t, d, i] = ns.metrics.shortcut_bias(at_probes, MODEL)
    np.testing.assert_allclose(record["own_init"], own.mean(axis=(1, 2)), atol=0.005)
    np.testing.assert_allclose(record["single_gap"], np.sqrt(np.mean((bias - own) ** 2, axis=(1, 2))), atol=0.005)
    law = [ns.predict_bias(MODEL, network, training, dataset=ensemble.dataset(d)) for d in range(datasets)]
    np.testing.assert_allclose(record["expected"], np.mean([p.bias for p in law], axis=0), atol=1e-5)
    z = (np.array(record["trained"]) - record["expected"]) / np.array(record["trained_init_error"])
    np.testing.assert_allclose(record["expected_z"], z, rtol=1e-3)
    if configuration is TINY_TABLE:
        averaged = ns.predict_bias(MODEL, network, training, 20, "dataset_averaged")
        np.testing.assert_allclose(record["averaged"], averaged.bias, rtol=1e-5)
        z = (np.array(record["trained"]) - record["averaged"]) / np.array(record["trained_data_error"])
        np.testing.assert_allclose(record["averaged_z"], z, rtol=1e-3)


@pytest.mark.slow
def test_own_initial_outputs_make_linear_models_exact():
    """A model linear in its parameters has a constant kernel at any width: prediction and training are the same function."""
    model, network, training = ns.GenerativeModel(input_dim=20), ns.MLP(0), ns.GradientDescent(0.5, [2, 9])
    with jax.enable_x64(True):
        ensemble = ns.train_ensemble(model, network, training, 20, 1, 2, key=jax.random.key(0))
    initial = ensemble.initial_train_outputs[0], ensemble.initial_outputs[0]
    both = ns.predict_bias(model, network, training, dataset=ensemble.dataset(0), initial_outputs=initial)
    np.testing.assert_allclose(both.mean, ensemble.outputs[:, 0], atol=1e-9)
    assert both.bias.shape == (2, 2) and not np.any(both.std)
    one = ns.predict_bias(
        model, network, ns.GradientDescent(0.5, 9), dataset=ensemble.dataset(0), initial_outputs=[v[1] for v in initial]
    )
    assert one.mean.shape == (900,) and one.bias == pytest.approx(float(both.bias[1, 1]))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"initial_outputs": np.zeros(20)}, r"^initial_outputs must be a pair of shapes \(\*inits, 20\) and \(\*inits, 900\)"),
        ({"initial_outputs": (np.zeros(19), np.zeros(900))}, r"^initial_outputs must be .* got 'shapes \(19,\)"),
        ({"initial_outputs": (np.zeros((2, 20)), np.zeros(900))}, r"^initial_outputs must be .* got 'shapes \(2, 20\)"),
        ({"initial_outputs": (np.full(20, np.nan), np.zeros(900))}, r"^initial_outputs must be finite"),
        ({"initial_outputs": (np.zeros(20), np.zeros(900)), "random_init": False}, r"^random_init must be True"),
    ],
)
def test_initial_outputs_are_checked(change, text):
    data = MODEL.sample(jax.random.key(0), 20)
    with pytest.raises(ValueError, match=text):
        ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(3.0), dataset=data, **change)


def test_statistics_by_hand():
    row = {
        "name": "a",
        "times": [3.0, 30.0],
        "trained": [0.0, 1.0],
        "own_init": [0.1, 0.9],
        "expected": [0.1, 1.3],
        "expected_z": [-1.0, -4.0],
        "averaged": [0.04, 0.8],
        "averaged_z": [-5.0, 3.0],
    }
    own = agreement([row], "own_init")
    assert own.points == 2 and own.mean_absolute_error == pytest.approx(0.1) and own.largest_z is None
    assert own.r_squared == pytest.approx(1 - 0.02 / 0.5)
    expected = agreement([row], "expected")
    assert expected.worst == pytest.approx(-0.3) and expected.worst_at == "a, t 30" and expected.largest_z == -4.0
    assert expected.rms_z == pytest.approx(np.sqrt(8.5))
    # 0.04 is within 0.05, and 0.2 within 3.5 standard errors.
    assert agreement([row], "averaged").beyond == 0
    assert agreement([{**row, "averaged_z": [-5.0, 3.6]}], "averaged").beyond == 1
    bias = np.array([[[0.0, 0.2], [1.0, 1.4]]])
    assert initialisation_error(bias, 900) == pytest.approx(np.sqrt((0.02 + 0.08) / 2 / 4))
    assert initialisation_error(np.zeros((1, 2, 2)), 900) == pytest.approx(resolution(4, 900)) == 4 / 900 / 2


def test_z_scores_accept_the_truth_and_refuse_a_shifted_prediction(rng):
    truth = rng.normal(size=(20, 16, 1))
    bias = truth + 0.1 * rng.normal(size=(20, 16, 4))
    gap = bias.mean(axis=(1, 2)) - truth.mean(axis=(1, 2))
    error = initialisation_error(bias, 900)
    assert np.max(np.abs(gap / error)) < 4
    assert np.max(np.abs((gap + 0.06) / error)) > 4


def test_output_gaps_are_unbiased_and_their_jackknife_is_the_plain_one(rng):
    class Ensemble:
        outputs = rng.normal(size=(1, 1, 7, 5)) + 0.3

    class Own:
        mean = np.zeros((1, 7, 5))

    found = _output_gaps(Ensemble, [Own])

    def estimate(gap):
        pairs = [np.mean(a * b) for i, a in enumerate(gap) for j, b in enumerate(gap) if i != j]
        return np.mean(pairs)

    gap = Ensemble.outputs[0, 0]
    left_out = [estimate(np.delete(gap, i, axis=0)) for i in range(7)]
    assert found["ensemble_output_gap"] == pytest.approx(estimate(gap))
    assert found["ensemble_output_gap_error"] == pytest.approx(np.sqrt(6 * np.var(left_out)))
    assert found["single_output_gap"] == pytest.approx(np.mean(gap**2))


def test_power_laws_are_recovered_with_their_error(rng):
    widths = np.array([32.0, 64, 128, 256, 512])
    law = fit_power_law(widths, (3 / widths) ** 2, 0.05 * (3 / widths) ** 2)
    assert law.exponent == pytest.approx(-1) and law.scale == pytest.approx(3) and law.reduced_chi_squared < 1e-6
    # The last square is all noise and came out negative.
    errors = np.full(5, 1e-4)
    noisy = fit_power_law(widths, (3 / widths) ** 2 + errors * [0.5, -1, 1, -0.5, -1], errors)
    assert abs(noisy.exponent + 1) < 4 * noisy.exponent_error < 1
    draws = [fit_power_law(widths, (3 / widths) * (1 + 0.1 * rng.normal(size=5)), 0.1 * 3 / widths) for _ in range(200)]
    z = [(d.exponent + 0.5) / d.exponent_error for d in draws]
    assert 0.8 < np.std(z) < 1.2 and abs(np.mean(z)) < 0.3
    with pytest.raises(ValueError, match=r"^widths must be at least three"):
        fit_power_law([1, 2], [1, 1], [1, 1])


class Killed(Exception):
    pass


def test_a_killed_run_resumes_to_the_same_records(tmp_path, monkeypatch):
    calls = []

    def counted(configuration, seed=0):
        calls.append(configuration.name)
        if len(calls) == 3:
            raise Killed
        return fake(configuration, seed)

    monkeypatch.setattr(Configuration, "compare", counted)
    path = tmp_path / "new" / "records.jsonl"
    with pytest.raises(Killed):
        comparison.run(configurations(), path)
    with path.open("a") as file:
        file.write('{"name": "half a')  # killed while it wrote
    progress = []
    resumed = comparison.run(configurations(), path, progress=lambda done, total: progress.append((done, total)))
    assert resumed == [fake(c) for c in configurations()] == comparison.read(path)
    assert progress == [(2, 5), (3, 5), (4, 5), (5, 5)] and len(calls) == 6
    # Another seed is another run, and leaves these records alone.
    assert comparison.run(configurations()[:1], path, seed=1)[0]["seed"] == 1
    assert len(comparison.read(path)) == 6 and len(calls) == 7


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"name": 1}\n')
    with pytest.raises(ValueError, match=r"^output must hold records of validate only; got .*line 1"):
        comparison.run(configurations(), path)


def test_the_report_says_what_the_records_say(tmp_path):
    records = [fake(c) for c in configurations()]
    # One miss of each kind.
    records[0]["expected_z"][1] = 5.0
    records[0]["ensemble_gap"][0] = 0.03
    records[1]["averaged"][0], records[1]["averaged_z"][0] = 0.9, -9.0
    paths = comparison.write_report(records, tmp_path, "Theory against training")
    text = (tmp_path / "report.md").read_text()
    assert text.startswith("# Theory against training\n\n2 configurations in the table and 3 in the studies")
    for path in paths:
        assert path.stat().st_size > 1000
        assert path.name == "report.md" or f"({path.name})" in text
    assert {path.name for path in paths} == {"report.md", "agreement.png", "width.png", "depth_time.png", "surfaces.png"}
    assert "4 times as long as predicting" in text and "8 times as long as the analytic average" in text
    assert re.search(r"\| 1 \| 3 \| outputs, ensemble mean \| -1\.00 \+- 0\.\d\d \|", text)
    assert re.search(r"\| 1 \| 3 \| outputs, one network \| -0\.\d\d \+- 0\.\d\d \|", text)
    misses = re.findall(r"^- relu.*$", text, re.M)
    assert [re.search("own_init|expected|averaged", line)[0] for line in misses] == ["own_init", "expected", "averaged"]
    assert "commit abc" in text and "seed 0" in text
    summary = comparison.summarize(records)
    assert summary["time_ratio"] == {"own_init": 4.0, "expected": 4.0, "averaged": 8.0}
    exponents = {(e["time"], e["gap"]): e["exponent"] for e in summary["exponents"]}
    assert exponents[3.0, "bias, one network"] == pytest.approx(-0.5)
    with pytest.raises(ValueError, match=r"^records must be at least one of several data sets"):
        comparison.write_report(records[2:], tmp_path, "none")


def test_the_report_on_an_unfinished_run_of_studies_without_a_common_width():
    records = [fake(c) for c in configurations()]
    records[-1]["parameters"]["depth"] = 2
    figures = comparison.report_figures(records)
    assert list(figures) == ["agreement", "depth_time", "surfaces"]
    assert "width 64" in figures["depth_time"].axes[0].get_title()


def test_the_figure_over_width_names_the_time_that_each_line_shows():
    study = [Configuration(MODEL, ns.MLP(1, width=width), (3.0, 9.0), 20, 1, 3) for width in (16, 32, 64)]
    table = Configuration(MODEL, ns.MLP(1, width=16), (3.0, 9.0), 20, 2, 3)
    later = [Configuration(MODEL, ns.MLP(2, width=width), (3.0, 9.0, 27.0, 81.0), 20, 1, 3) for width in (16, 32, 64)]

    def panel(configurations):
        axes = comparison.report_figures([fake(c) for c in configurations])["width"].axes[1]
        return axes.get_title(), [text.get_text().split(":")[0] for text in axes.get_legend().get_texts()]

    title, labels = panel([table, *study])
    assert title == "gap of the bias (t = 9)"
    assert labels == ["one network, depth 1", "ensemble mean, depth 1"]
    title, labels = panel([table, *study, *later])
    assert title == "gap of the bias (each in the middle of its times)"
    assert labels == [
        f"{what}, depth {where}" for where in ("1, t = 9", "2, t = 27") for what in ("one network", "ensemble mean")
    ]


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"network": ns.MLP(1)}, "width"),
        ({"network": ns.MLP(1, width=4, parameterization="standard")}, "parameterization"),
        ({"model": ns.GenerativeModel(nesting=(1, 0))}, "nesting"),
        ({"times": (3.0, 10.0)}, "times"),
        ({"times": ()}, "times"),
        ({"num_samples": 1}, "num_samples"),
        ({"num_datasets": 0}, "num_datasets"),
        ({"num_inits": 1}, "num_inits"),
        ({"num_datasets": 1, "num_inits": 2}, "num_inits"),
    ],
)
def test_bad_configurations_name_the_argument(change, name):
    given = {
        "model": MODEL,
        "network": ns.MLP(1, width=16),
        "times": (3.0, 9.0),
        "num_samples": 20,
        "num_datasets": 2,
        "num_inits": 3,
    }
    with pytest.raises(ValueError, match=f"^{name} must be"):
        Configuration(**{**given, **change})


def test_the_standard_preset_covers_what_was_asked():
    table = [c for c in comparison.preset("standard") if c.num_datasets > 1]
    assert len(table) >= 20 and min(c.network.width for c in table) >= 512
    assert all(c.num_datasets >= 16 and c.num_inits >= 4 for c in table)
    assert {c.network.depth for c in table} == {1, 2, 3}
    assert {c.network.activation.name for c in table} == {"relu", "erf", "tanh", "linear"}
    ratios = [c.parameters()["amplification"][0] / c.parameters()["amplification"][1] for c in table]
    assert min(ratios) == pytest.approx(0.5) and max(ratios) == pytest.approx(8)
    assert all((c.times[0], c.times[-1]) == (3.0, 300.0) for c in table)
    for name in comparison.PRESETS:
        assert len(comparison.preset(name)) == len({json.dumps(c.parameters()) for c in comparison.preset(name)})
    with pytest.raises(ValueError, match=r"^preset must be one of quick, standard, paper, accelerator; got 'slow'"):
        comparison.preset("slow")
