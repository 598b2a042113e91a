"""Maps and sweeps of any law: the agreement axis of clusters, figures of two axes, and the command line."""

import json

import numpy as np
import pytest
import xarray

import ntk_shortcuts as ns
from ntk_shortcuts.axes import at, axes_of
from ntk_shortcuts.cli import main
from ntk_shortcuts.experiments.sweeps.grid import Point, checked_grid
from ntk_shortcuts.experiments.sweeps.identity import sweep_attributes
from ntk_shortcuts.plotting import plot_map, plot_sweep

BIRDS = ns.Clusters.waterbirds(0.9, positive=0.3, amplification=(3.0, 1.0))
FAST = "--depth 0 --bias-variance 1 --time 10 --method population --no-random-init --tolerance 0.2"


def table(name, values, **axes):
    return xarray.Dataset({name: (tuple(axes), np.asarray(values, float))}, {k: np.asarray(v) for k, v in axes.items()})


def test_agreement_is_that_of_the_preset_and_keeps_the_classes():
    moved = at(ns.NoisyLabels(BIRDS, 0.1), {"agreement": 0.6, "rate": 0.2})
    np.testing.assert_allclose(moved.law.proportions, ns.Clusters.waterbirds(0.6, positive=0.3).proportions, rtol=1e-12)
    assert float(moved.rate) == 0.2 and abs(float(moved.positive_share) - 0.3) < 1e-12
    core = at(ns.Clusters.xor_core(0.9), {"agreement": 0.7})
    np.testing.assert_allclose(core.proportions, ns.Clusters.xor_core(0.7).proportions, rtol=1e-12)
    # Within the sides clusters keep their ratios.
    uneven = ns.Clusters([[1.0]] * 6, (3, 1, 1, 1, 1, 1), (1, 1, 1, -1, -1, -1), (1, 1, -1, 1, -1, -1))
    found = at(uneven, {"agreement": 0.5}).proportions
    assert found[0] == pytest.approx(3 * found[1]) and found[2] == pytest.approx(found[0] + found[1])


@pytest.mark.parametrize(
    ("law", "value", "message"),
    [
        (BIRDS, 1.0, r"^agreement must be in \(0, 1\); got 1.0"),
        (
            ns.Clusters([[1.0], [-1.0]], labels=(1, -1)),
            0.6,
            "^agreement must be an axis of clusters with one attribute; got '0",
        ),
        (ns.Clusters.imbalanced(), 0.6, "^agreement must be an axis of clusters .* as minority must"),
    ],
)
def test_agreement_needs_an_attribute_like_the_label(law, value, message):
    assert "agreement" in axes_of(law)
    with pytest.raises(ValueError, match=message):
        at(law, {"agreement": value})


def test_what_an_axis_sets_as_a_whole_is_not_stated_as_fixed():
    grid = checked_grid({"agreement": [0.6, 0.9]}, Point(BIRDS, ns.MLP(0), ns.GradientFlow(3.0), None), True)
    stated = sweep_attributes(grid, "population", None, {})
    assert not any(name.startswith("proportions") for name in stated) and stated["amplification_0"] == 3.0
    for both in (["agreement", "proportions_1"], ["proportions_1", "agreement"]):
        with pytest.raises(ValueError, match=f"^axes must be one of {both[0]} and {both[1]}, not both"):
            checked_grid({name: [0.6] for name in both}, grid.base, True)


def test_a_map_has_a_panel_for_each_shortcut_and_one_scale():
    result = table("bias", np.arange(12).reshape(2, 3, 2) - 3, correlation=[0.0, 0.5], ratio=[0.25, 1.0, 4.0], shortcut=[0, 1])
    figure = plot_map(result)
    first, second, bar = figure.axes
    assert (first.get_title(), second.get_title(), bar.get_ylabel()) == (
        "shortcut 0",
        "shortcut 1",
        "shortcut bias (0: Bayes optimal)",
    )
    assert first.collections[0].get_clim() == second.collections[0].get_clim() == (-8, 8)
    np.testing.assert_array_equal(second.collections[0].get_array(), [[-2, 0, 2], [4, 6, 8]])
    assert (first.get_xscale(), first.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in first.get_xticklabels()] == ["0.25", "1", "4"]
    # The first axis upwards and in order, whatever the order of the grid.
    turned = plot_map(result.isel(correlation=[1, 0]).sel(shortcut=[1]))
    np.testing.assert_array_equal(turned.axes[0].collections[0].get_array(), [[-2, 0, 2], [4, 6, 8]])


def test_a_map_of_accuracies_leaves_groups_without_points_out():
    values = np.full((2, 2, 2, 2), 0.25)
    values[0, 0] = [[0.9, 0.5], [np.nan, 0.4]]
    values[:, :, 1, 0] = np.nan
    axes = {"rate": [0.0, 0.2], "num_samples": [10, 1000], "label": [-1, 1], "background": [-1, 1]}
    figure = plot_map(table("group_accuracy", values, **axes))
    assert [panel.get_title() for panel in figure.axes[:-1]] == [
        "label −1, background −1",
        "label −1, background +1",
        "label +1, background +1",
    ]
    assert figure.axes[0].collections[0].get_clim() == (0.25, 0.9)


def test_long_sweeps_of_any_law_are_maps_too():
    result = table("worst_group_accuracy", np.linspace(0, 1, 64).reshape(8, 8), a=np.arange(8.0), b=np.geomspace(1, 9, 8))
    for figure in (plot_sweep(result), plot_map(result, "worst_group_accuracy")):
        assert figure.axes[-1].get_ylabel() == "worst group accuracy" and figure.axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("result", "variable", "message"),
    [
        (table("bias", [1.0, 2.0], a=[1, 2]), None, "^result must be over two axes of several numbers"),
        (table("bias", [[1, 2], [3, 4]], a=["x", "y"], b=[1, 2]), None, "^result must be over two axes"),
        (table("bias", [[1, 2], [3, 4]], a=[1, 2], b=[1, 2]), "accuracy", "^variable must be one of bias; got 'accuracy'"),
    ],
)
def test_what_is_no_map_is_refused(result, variable, message):
    with pytest.raises(ValueError, match=message):
        plot_map(result, variable)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--law {law}", "x must be given with --law, as --x NAME=MIN:MAX:COUNT; got None"),
        ("--x depth=0,1", "y must be given with --x and --y"),
        ("--show bias", "show must be given with --x and --y; got 'bias'"),
        ("--x depth=0,1 --y depth=0,1", "y must be another axis than x; got depth twice"),
        ("--law {law} --x depth=0,1 --y correlation=0,0.1", "model must be a GenerativeModel for the axis correlation"),
        (
            "--law {law} --x depth=0,1 --y rate=0:1",
            "y must be NAME=MIN:MAX:COUNT, or NAME=MIN:MAX:COUNT:log of positive numbers",
        ),
        ("--law {law} --x depth=0,1 --y rate=0:0.5:3:log", "log of positive numbers; got '0:0.5:3:log'"),
        ("--law {law} --amplification 2 1 --x depth=0,1 --y rate=0,0.1", "amplification must not be given with --law"),
        ("--x depth=0,1 --y correlation=0,0.1 --time 3,30", "time must be one number for a map over --x and --y"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, line, message):
    law = tmp_path / "law.toml"
    ns.laws.write_law(ns.NoisyLabels(BIRDS, 0.1), law)
    assert main(["map", *line.format(law=law).split()]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.branches
def test_maps_and_sweeps_of_files_are_the_python_answer(capsys, tmp_path):
    law, figure = tmp_path / "law.toml", tmp_path / "map.png"
    ns.laws.write_law(BIRDS, law)
    axes = "--x amplification_0=1:4:3:log --y agreement=0.6,0.9"
    assert main(f"map --law {law} {axes} {FAST} --json --output {figure}".split()) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agreement"] == [0.6, 0.9] and found["amplification_0"] == [1.0, 2.0, 4.0] and figure.stat().st_size > 5000
    moved = ns.Clusters.waterbirds(0.6, positive=0.3, amplification=(4.0, 1.0))
    options = {"random_init": False, "tolerance": 0.2}
    p = ns.predict(moved, ns.MLP(0, bias_variance=1.0), ns.GradientFlow(10.0), **options)
    assert abs(found["worst_group_accuracy"][0][2] - p.worst_group_accuracy) < 1e-9
    np.testing.assert_allclose(np.array(found["group_accuracy"])[0, 2], p.group_accuracy, atol=1e-9)
    assert main(f"sweep --law {law} --axis amplification_0=4 --axis agreement=0.6 {FAST}".split()) == 0
    out = capsys.readouterr().out
    assert f"4.0\t0.6\t{p.worst_group_accuracy:.4f}\t{p.accuracy:.4f}" in out
    assert main(f"map --law {law} {axes.replace('3:log', '1:log')} {FAST} --show accuracy --output {figure}".split()) == 2
    assert "result must be over two axes of several numbers" in capsys.readouterr().err
