"""What `import ntk_shortcuts as ns` gives: few names, each of them there, and those of 0.1 at their new places."""

import inspect
import operator
import types

import pytest

import ntk_shortcuts as ns

NAMESPACES = [
    "analysis",
    "experiments",
    "finite_width",
    "images",
    "kernels",
    "laws",
    "linear",
    "methods",
    "metrics",
    "networks",
    "training",
]

# ntk_shortcuts.__all__ of version 0.1.0.
OLD = """
MLP Activation Crossing Dataset DivergenceWarning Embedding Ensemble Extreme FiniteWidthMoments GenerativeModel
GradientDescent GradientFlow Influence KernelMotion KernelSpectrum Kernels LeakyReLU Prediction Preprocessed Quadrature Ridge
Telescope TrainingRule UntrustedPredictionWarning bias_map critical_ratio direction_reliance edgeworth_density empirical_nngp
empirical_ntk expected_reliance finite_width_moments halving_time influence kernel_motion kernel_spectrum known_activations
known_methods laziness_gap linear_bias linearized_outputs most_biased optimal_reliance optimal_reliance_limit output_direction
output_fourth_cumulant predict_bias predict_outputs reliance shortcut_bias sweep telescope train_ensemble train_ensembles
whitened
""".split()


def test_the_names_are_what_is_there_and_few():
    assert len(ns.__all__) == len(set(ns.__all__)) <= 45
    assert set(dir(ns)) == set(ns.__all__)
    assert all(isinstance(getattr(ns, name), types.ModuleType) for name in NAMESPACES)
    taken = {}
    exec("from ntk_shortcuts import *", taken)
    assert taken.keys() - {"__builtins__"} == set(ns.__all__)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_a_namespace_gives_what_it_lists(namespace):
    module = getattr(ns, namespace)
    listed = getattr(module, "__all__", [])
    assert list(listed) == list(dict.fromkeys(listed)) and all(hasattr(module, name) for name in listed)


def test_no_name_of_the_first_version_is_lost():
    assert set(OLD) - set(ns.__all__) == ns._MOVED.keys() == ns._MOVED.keys() - set(ns.__all__)


@pytest.mark.parametrize("name", sorted(ns._MOVED))
def test_a_name_that_moved_still_works_and_says_where_it_is(name):
    place = f"{ns._MOVED[name]}.{name}"
    with pytest.warns(DeprecationWarning, match=rf"^ntk_shortcuts\.{name} has moved: use ntk_shortcuts\.{place}$") as said:
        line = inspect.currentframe().f_lineno + 1
        found = getattr(ns, name)
    assert found is operator.attrgetter(place)(ns)
    assert [(warning.filename, warning.lineno) for warning in said] == [(__file__, line)]


def test_from_imports_of_moved_names_work():
    with pytest.warns(DeprecationWarning, match=r"use ntk_shortcuts\.analysis\.influence"):
        from ntk_shortcuts import influence
    assert influence is ns.analysis.influence


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="module 'ntk_shortcuts' has no attribute 'infuence'"):
        ns.infuence  # noqa: B018
