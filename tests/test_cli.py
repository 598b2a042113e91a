"""The command line, called as a user does: results on standard output, one line for each mistake."""

import json
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
import ntk_shortcuts.experiments.comparison
from ntk_shortcuts.cli import main

EXAMPLE = "predict --predictivity 0.85 0.9 --amplification 4 1 --depth 1 --time 30 --method population --no-random-init --json"
SMALL_MAP = "map --predictivities 0.6 0.9 3 --ratios 0.25 4 3 --no-random-init --tolerance 0.1"


def run(capsys, line, *more):
    status = main([*line.split(), *map(str, more)])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_predict_json_is_the_python_answer(capsys):
    status, out, _ = run(capsys, EXAMPLE)
    found = json.loads(out)
    model = ns.GenerativeModel((0.85, 0.9), (4.0, 1.0))
    expected = ns.predict_bias(model, ns.MLP(depth=1), ns.GradientFlow(time=30.0), random_init=False)
    assert status == 0
    for name in ("bias", "reliance", "optimal_reliance", "method"):
        assert found[name] == getattr(expected, name)
    resolved = {
        "predictivity": [0.85, 0.9],
        "amplification": [4.0, 1.0],
        "correlation": 0.6,
        "nesting": [0, 0],
        "input_dim": 100,
        "depth": 1,
        "activation": "relu",
        "width": None,
        "weight_variance": 2.0,
        "bias_variance": 0.0,
        "parameterization": "ntk",
        "initialization": "normal",
        "residual": None,
        "normalization": None,
        "richness": None,
        "training": "GradientFlow",
        "time": 30.0,
        "num_samples": None,
        "random_init": False,
        "tolerance": 2e-3,
        "seed": 0,
    }
    assert {name: found[name] for name in resolved} == resolved
    assert found["diagnostics"]["converged"] == 1.0


def test_predict_runs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ntk_shortcuts.cli", *EXAMPLE.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert json.loads(done.stdout)["bias"] == pytest.approx(1.13, abs=0.01)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    # Files, figures and trained networks are not asked for.
    assert "jax" in imported and not imported & {"xarray", "pandas", "matplotlib", "scipy.stats", "diffrax", "optax", "sympy"}


@pytest.mark.parametrize("command", ["--help", "--version", "map --help"])
def test_help_does_not_wait_for_what_computes(command):
    heavy = "('jax', 'numpy', 'scipy', 'matplotlib', 'xarray', 'optax', 'sympy')"
    run = f"from ntk_shortcuts.cli import main; main({command.split()})"
    program = f"import sys; {run}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("--time inf", {"training": "GradientFlow", "time": "inf"}),
        (
            "--learning-rate 0.5 --steps 20",
            {"training": "GradientDescent", "learning_rate": 0.5, "steps": 20.0},
        ),
        ("--ridge 0.01", {"training": "Ridge", "strength": 0.01}),
        ("", {"training": "GradientFlow", "time": 30.0}),
    ],
)
def test_training_rules(capsys, rule, expected):
    status, out, _ = run(capsys, f"predict --json --no-random-init --tolerance 0.1 {rule}")
    found = json.loads(out)
    assert status == 0 and {name: found[name] for name in expected} == expected


@pytest.mark.slow
@pytest.mark.branches
@pytest.mark.parametrize("method", [pytest.param("monte_carlo --num-datasets 2", marks=pytest.mark.slow), "dataset"])
def test_sampling_methods_repeat_with_their_seed(capsys, method):
    line = f"predict --json --num-samples 20 --input-dim 30 --method {method} --seed"
    first, again, other = (json.loads(run(capsys, f"{line} {seed}")[1]) for seed in (1, 1, 2))
    assert first == again
    assert first["bias"] != other["bias"]
    assert first["num_samples"] == 20 and first["seed"] == 1
    if "num_datasets" in first:
        assert first["num_datasets"] == 2 and first["diagnostics"]["bias_standard_error"] > 0


@pytest.mark.slow
@pytest.mark.branches
def test_predict_a_network_of_finite_width(capsys):
    line = "predict --method population-flow --width 8 --depth 1 --time 1 --num-inits 2 --loss logistic"
    status, out, _ = run(capsys, f"{line} --parameterization standard --initialization torch --json")
    found = json.loads(out)
    network = ns.MLP(1, width=8, parameterization="standard", initialization="torch")
    options = {"key": jax.random.key(0), "num_inits": 2, "loss": "logistic"}
    expected = ns.predict_bias(ns.GenerativeModel(), network, ns.GradientFlow(1.0), method="population_flow", **options)
    assert status == 0 and found["loss"] == "logistic" and found["num_inits"] == 2
    assert found["bias"] == expected.bias and found["bias_std"] == expected.bias_std


def test_predict_table_and_files(capsys, tmp_path):
    import xarray

    figure, data = tmp_path / "surface.svg", tmp_path / "prediction.nc"
    line = "predict --no-random-init --tolerance 0.1 --correlation -0.5"
    status, out, err = run(capsys, line, "--output", figure, "--output", data)
    assert status == 0
    assert "shortcut bias" in out and "population" in out
    assert str(figure) in err.replace("\n", "") and "wrote" not in out
    assert figure.read_text().lstrip().startswith("<?xml")
    with xarray.open_dataset(data, engine="h5netcdf") as loaded:
        assert loaded["mean"].shape == (900,) and loaded.attrs["correlation"] == -0.5
        assert f"{float(loaded['bias']):+.4f}" in out


def test_map_writes_figure_and_data(capsys, tmp_path):
    import xarray

    figure, data = tmp_path / "map.png", tmp_path / "map.nc"
    status, out, err = run(capsys, SMALL_MAP, "--json", "--output", figure, "--output", data)
    found = json.loads(out)
    assert status == 0 and len(err.splitlines()) == 2  # what was written, and no bar
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert found["shortcut_predictivity"] == pytest.approx([0.6, 0.75, 0.9])
    assert found["amplification_ratio"] == pytest.approx([0.25, 1.0, 4.0])
    assert found["depth"] == 1 and found["time"] == 30.0 and found["method"] == "population"
    with xarray.open_dataset(data, engine="h5netcdf") as loaded:
        np.testing.assert_array_equal(loaded["bias"], found["bias"])
        assert loaded["bias"].dims == ("shortcut_predictivity", "amplification_ratio")


def test_map_goes_to_bias_map_png_by_default(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = run(capsys, SMALL_MAP.replace("0.9 3", "0.6 1").replace("4 3", "4 2"))
    assert status == 0 and "bias, range" in out
    assert (tmp_path / "bias_map.png").stat().st_size > 1000


def test_validate_writes_records_and_report(capsys, tmp_path, monkeypatch):
    from test_comparison import configurations, fake

    monkeypatch.setattr(ntk_shortcuts.experiments.comparison.Configuration, "compare", fake)
    monkeypatch.setitem(ntk_shortcuts.experiments.comparison.PRESETS, "quick", configurations)
    status, out, err = run(capsys, "validate --json --output", tmp_path / "new")
    found = json.loads(out)
    assert status == 0 and all(line.startswith("wrote") for line in err.splitlines()) and "wrote" in err
    assert found["preset"] == "quick" and found["seed"] == 0 and found["configurations"] == 2
    assert found["agreement"]["own_init"]["mean_absolute_error"] == pytest.approx(0.002)
    assert found["time_ratio"]["averaged"] == 8.0 and len(found["records"]) == 5
    assert all((tmp_path / "new" / name).exists() for name in ("records.jsonl", "report.md", "agreement.png"))
    status, out, _ = run(capsys, "validate --output", tmp_path / "new")
    assert status == 0 and "mean error 0.0020" in out and "8 (averaged)" in out


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("predict --predictivity 0.4 0.9", "predictivity"),
        ("predict --predictivity 0.8", "predictivity"),
        ("predict --amplification -4 1", "amplification"),
        ("predict --correlation 1", "correlation"),
        ("predict --nesting 1 -1", "nesting"),
        ("predict --input-dim 1", "input_dim"),
        ("predict --depth -1", "depth"),
        ("predict --depth two", "depth"),
        ("predict --activation relo", "activation"),
        ("predict --weight-variance nan", "weight_variance"),
        ("predict --parameterization mup", "parameterization"),
        ("predict --initialization torch", "parameterization"),
        ("predict --parameterization standard", "width"),
        ("predict --time -1", "time"),
        ("predict --time 1 --ridge 1", "training rule"),
        ("predict --learning-rate 1", "steps"),
        ("predict --steps 10", "learning-rate"),
        ("predict --learning-rate 1 --steps 2.5", "steps"),
        ("predict --method guess", "method"),
        ("predict --method population --num-samples 10", "num_samples"),
        ("predict --method monte_carlo", "num_samples"),
        ("predict --method monte_carlo --num-samples 11", "num_samples"),
        ("predict --method dataset", "num_samples"),
        ("predict --num-datasets 4", "num_datasets"),
        ("predict --method population-flow", "width"),
        ("predict --method population-flow --width 8 --loss hinge", "loss"),
        ("predict --method population --loss hinge", "loss"),
        ("predict --method leading_order --loss logistic", "loss"),
        ("predict --num-inits 4", "num_inits"),
        ("predict --seed -1", "seed"),
        ("predict --tolerance 0", "tolerance"),
        ("predict --output figure.jpg", "output"),
        ("predict --output no-such-folder/figure.png", "output"),
        ("predict --colour blue", "--colour"),
        ("map --predictivities 0.6 1 3", "predictivities"),
        ("map --predictivities 0.8 0.6 3", "predictivities"),
        ("map --predictivities 0.6 0.8 0", "predictivities"),
        ("map --ratios 0 8 3", "ratios"),
        ("map --ratios 1 8 2.5", "ratios"),
        ("map --method dataset --num-samples 10", "method"),
        ("map --output map.txt", "output"),
        ("validate --preset slow", "preset"),
        ("validate --seed -1", "seed"),
        ("validate --seed one", "seed"),
        (f"validate --output {__file__}", "output"),
        ("guess", "guess"),
        ("", "command"),
    ],
)
def test_bad_arguments_exit_2_with_one_line(capsys, line, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, line)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and name in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "predict --amplification 4 --time 30",
            "amplification must be two numbers, shortcut core, as in --amplification 1 1; got 4",
        ),
        (
            "map --amplification --depth 2",
            "amplification must be two numbers, shortcut core, as in --amplification 4 1; got none",
        ),
        ("predict --amplification=-4 --json", "two numbers, shortcut core, as in --amplification 1 1; got -4"),
        ("sweep --axis depth=1 --predictivity 0.8", "two numbers, shortcut core, as in --predictivity 0.85 0.9; got 0.8"),
        ("spectrum --nesting 1 -h", "nesting must be two integers, shortcut core, as in --nesting 0 0; got 1"),
        ("predict --nesting 1 2 3", "nesting must be two integers, shortcut core, as in --nesting 0 0; got 1 2 3"),
        ("map --ratios 1 8 --json", "three numbers, MIN MAX COUNT, as in --ratios 0.125 8 15; got 1 8"),
        ("map --predictivities 0.6,0.8,3", "three numbers, MIN MAX COUNT, as in --predictivities 0.55 0.9 15; got 0.6,0.8,3"),
        ("predict --method --time 30", "method must be given a value; got --time"),
        ("sweep --axis depth=1 --store --json", "store must be given a value; got --json"),
        ("predict --batch-size 4", 'batch_size must be given with --method population_flow; got method="population"'),
        ("map --num-inits 2", 'num_inits must be given with --method population_flow; got method="population"'),
        (
            "sweep --axis depth=1 --batch-size 4",
            'batch_size must be given with --method population_flow; got method="population"',
        ),
        ("predict --num-datasets 4 --num-samples 20", "num_datasets must be given with --method monte_carlo; got"),
        ("predict --loss logistic --num-samples 20", "(method=\"monte_carlo\" takes any loss); got 'logistic'"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(capsys, line, message):
    status, out, err = run(capsys, line)
    assert status == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("error: ") and message in err


@pytest.mark.parametrize(
    "values", ["--amplification=4 1", "--amplification 2 2 --amplification 4 1", "--time inf --amplification 4 1e0"]
)
def test_values_of_an_option_may_be_spelled_in_any_way(capsys, values):
    status, out, _ = run(capsys, f"predict --json --no-random-init --tolerance 0.1 {values}")
    assert status == 0 and json.loads(out)["amplification"] == [4.0, 1.0]


def test_the_command_line_itself_imports_nothing_that_computes():
    # The package is empty here, so that what it imports does not count.
    lines = """
        import sys, types, importlib.util
        package = types.ModuleType("ntk_shortcuts")
        package.__path__ = list(importlib.util.find_spec("ntk_shortcuts").submodule_search_locations)
        sys.modules["ntk_shortcuts"] = package
        from ntk_shortcuts.cli import main
        assert main(["sweep", "--help"]) == 0 and main(["sweep", "--axis", "depth"]) == 2
        loaded = {"jax", "equinox", "numpy", "xarray", "matplotlib", "sympy"} & set(sys.modules)
        assert not loaded, loaded
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_output_is_checked_before_computing(capsys, monkeypatch):
    monkeypatch.setattr("ntk_shortcuts.predict_bias", lambda *_, **__: pytest.fail("work was done"))
    assert run(capsys, "predict --output figure.jpg")[0] == 2


def test_divergence_is_a_warning_on_standard_error(capsys):
    status, out, err = run(capsys, "predict --json --no-random-init --learning-rate 50 --steps 3 --tolerance 0.1")
    json.loads(out)
    assert status == 0 and err.startswith("warning: ") and err.count("\n") == 1


@pytest.mark.parametrize("line", ["--help", "predict --help", "map --help", "sweep --help", "validate --help"])
def test_help(capsys, line):
    status, out, err = run(capsys, line)
    assert status == 0 and "Usage: ntk-shortcuts" in out and err == ""


def test_version(capsys):
    assert run(capsys, "--version") == (0, f"ntk-shortcuts {ns.__version__}\n", "")
