"""Specs name their own axes: numbers of the constructor by default, others as declared; sweeps know no class of them."""

import equinox as eqx
import jax
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.axes import Axis, at, axes_of, declare_axes, parameter_set_by, parameters_of
from ntk_shortcuts.description import described
from ntk_shortcuts.experiments.sweeps.sweep import sweep
from ntk_shortcuts.laws.two_features.whitening import whitened

MODEL = ns.GenerativeModel((0.7, 0.92), (1.0, 2.0), correlation=0.3, input_dim=50)


class Scaled(eqx.Module):
    """A network of a user: an MLP whose inputs are multiplied by a gain."""

    network: ns.MLP
    gain: float = 1.0
    layers: int = 1
    trained: bool = True

    def kernels(self, x1, x2=None):
        return self.network.kernels(self.gain * x1, None if x2 is None else self.gain * x2)


class Clouds(eqx.Module):
    """A law with a radius of its own, and a width that networks have too."""

    radius: float = 2.0
    width: int = 3


def answer(model, network, training, num_samples):
    return {"product": model.radius * network.gain * float(training.time)}


def test_the_axes_of_the_specs_of_the_package():
    model = ["shortcut_predictivity", "core_predictivity", "shortcut_amplification", "core_amplification"]
    assert list(axes_of(MODEL))[:6] == [*model, "amplification_ratio", "correlation"]
    assert {"input_dim", "nesting_gain", "nesting_bias"} == set(list(axes_of(MODEL))[6:])
    assert list(axes_of(ns.MLP(1)))[:5] == ["depth", "activation", "width", "weight_variance", "bias_variance"]
    assert [list(axes_of(rule)) for rule in (ns.GradientFlow(1.0), ns.GradientDescent(0.1, 2), ns.Ridge(1.0))] == [
        ["time"],
        ["learning_rate", "steps", "momentum", "weight_decay"],
        ["strength"],
    ]
    assert axes_of("mlp") == axes_of(None) == axes_of(whitened(MODEL, ns.MLP(1))) == {}


def test_numbers_of_a_constructor_are_axes_by_their_own_name():
    axes = axes_of(Scaled(ns.MLP(1), np.float64(2.0)))
    assert axes == {"gain": Axis("gain", "iuf"), "layers": Axis("layers", "iu")}
    assert at(Scaled(ns.MLP(1)), {"gain": 3.0, "layers": 2}) == Scaled(ns.MLP(1), 3.0, 2)


def test_values_are_set_together_and_checked_by_the_constructor():
    moved = at(MODEL, {"amplification_ratio": 3.0, "core_amplification": 5.0, "shortcut_predictivity": 0.6})
    np.testing.assert_array_equal(moved.amplification, [15.0, 5.0])
    np.testing.assert_array_equal(moved.predictivity, [0.6, 0.92])
    assert float(moved.correlation) == 0.3 and moved.input_dim == 50
    # Any argument can be given, an array of times for instance.
    np.testing.assert_array_equal(at(ns.GradientFlow(1.0), {"time": np.array([1.0, 2.0])}).time, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"predictivity must be in \[0.5, 1\)"):
        at(MODEL, {"core_predictivity": 0.3})
    with pytest.raises(ValueError, match="axis must be one of time for a GradientFlow; got 'depth'"):
        at(ns.GradientFlow(1.0), {"depth": 1})


def test_parameters_split_pairs_and_an_axis_says_what_it_sets():
    found = parameters_of(MODEL)
    assert "predictivity" not in found and "amplification_ratio" not in found
    assert (found["shortcut_predictivity"], found["core_amplification"]) == (0.7, 2.0)
    assert parameter_set_by("amplification_ratio", MODEL) == "shortcut_amplification"
    assert parameter_set_by("correlation", MODEL) == "correlation"


def test_axes_are_inherited_and_can_be_added():
    class Wider(Clouds):
        spread: tuple[float, float] = (1.0, 1.0)

    declare_axes(Clouds, "model", "a Clouds", {"radius": Axis("radius of a cloud")})
    declare_axes(Wider, "model", "a Wider", {"first_spread": Axis("spread of the first", field="spread", entry=0)})
    assert axes_of(Wider())["radius"].long_name == "radius of a cloud"
    assert at(Wider(), {"first_spread": 4.0, "radius": 1.0}) == Wider(1.0, 3, (4.0, 1.0))


def test_a_sweep_asks_a_law_and_a_network_of_ones_own():
    axes = {"radius": [1.0, 2.0], "gain": [0.5, 1.5, 2.5], "time": [3.0]}
    result = sweep(axes, Clouds(), Scaled(ns.MLP(1)), compute=answer)
    assert result["product"].dims == ("radius", "gain", "time")
    np.testing.assert_allclose(result["product"], 3.0 * np.outer([1.0, 2.0], [0.5, 1.5, 2.5])[..., None])
    assert (result.attrs["model"], result.attrs["network"], result.attrs["layers"]) == ("Clouds", "Scaled", 1)
    assert not {"radius", "gain", "time"} & set(result.attrs)


@pytest.mark.slow
@pytest.mark.branches
def test_a_network_of_ones_own_is_predicted_at_its_own_axis():
    options = {"random_init": False, "tolerance": 0.1}
    result = sweep({"gain": [0.5, 1.0]}, MODEL, Scaled(ns.MLP(1)), ns.GradientFlow(3.0), **options)
    for gain in (0.5, 1.0):
        expected = ns.predict_bias(MODEL, Scaled(ns.MLP(1), gain), ns.GradientFlow(3.0), **options)
        assert float(result["bias"].sel(gain=gain)) == pytest.approx(expected.bias, abs=1e-12)
    # A homogeneous kernel: inputs twice as large learn four times as fast.
    fast = ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(0.75), **options)
    assert float(result["bias"].sel(gain=0.5)) == pytest.approx(fast.bias, abs=1e-6)


BOTH = r"axes must be of one spec each, and width is an axis of the model \(Clouds\) and the network \(MLP\); got 'width'"
MAPPED = whitened(MODEL, ns.MLP(1))
SCALED = Scaled(ns.MLP(1))


@pytest.mark.parametrize(
    ("axes", "specs", "message"),
    [
        ({"width": [8]}, {"model": Clouds()}, BOTH),
        ({"depth": [1]}, {"network": MAPPED}, "network must be an MLP for the axis depth; got 'Preprocessed'"),
        ({"correlation": [0.1]}, {"model": Clouds()}, "model must be a GenerativeModel for the axis correlation; got 'Clouds'"),
        ({"gian": [1.0]}, {"network": SCALED}, "axes must be named one of .*gain, layers, .*num_samples; got 'gian'"),
        ({"layers": [1.5]}, {"network": SCALED}, "axis layers must be .*integers"),
    ],
)
def test_an_axis_that_no_spec_or_two_specs_have_is_named(axes, specs, message):
    with pytest.raises(ValueError, match=message):
        sweep(axes, compute=answer, **specs)


def test_parameters_of_one_name_are_told_apart():
    found = described({"model": Clouds(width=5), "network": ns.MLP(1, width=64), "training": ns.GradientFlow(1.0)})
    assert (found["width"], found["network_width"], found["model"]) == (5, 64, "Clouds")
    assert "network" not in found and found["training"] == "GradientFlow"


def test_keys_and_traced_numbers_are_no_trouble():
    class Keyed(eqx.Module):
        key: jax.Array
        strength: float

    assert list(axes_of(Keyed(jax.random.key(0), 1.0))) == ["strength"]
    assert jax.jit(lambda t: at(ns.GradientFlow(1.0), {"time": t}).time * len(axes_of(ns.GradientFlow(t))))(2.0) == 2.0
