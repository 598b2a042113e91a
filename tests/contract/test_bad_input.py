"""Bad input over the public API and the command line: every message names the argument, what is allowed and what came.

One row for each mistake: the argument, a call that makes it, and pieces of the message (allowed range, value got). Rows are
refused before anything is computed.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntk_shortcuts as ns
from ntk_shortcuts.cli import main

KEY = jax.random.key(0)
MODEL, NESTED = ns.GenerativeModel(), ns.GenerativeModel(nesting=(1, 0))
WIDE, NARROW = ns.MLP(1), ns.MLP(1, width=4)
TORCH = ns.MLP(1, width=4, parameterization="standard", initialization="torch")
FLOW, DESCENT = ns.GradientFlow(3.0), ns.GradientDescent(0.1, 3)
DATA = ns.Dataset.from_arrays(np.eye(4, 3), [1, -1, 1, -1])
POINTS = np.ones((2, 3))
POOL = ns.Pool(np.eye(4, 3), [1, -1, 1, -1])
LATENTS = [[0.5, 0.5], [1.0, 1.0], [-0.5, -0.5], [-1.0, -2.0]]


def predict(model=MODEL, network=WIDE, training=FLOW, num_samples=None, **options):
    return ns.predict_bias(model, network, training, num_samples, **options)


def train(network=NARROW, training=DESCENT, num_samples=10, model=MODEL, **options):
    return ns.train_ensemble(model, network, training, num_samples, **{"key": KEY, **options})


def gram(g12=((1.0,),), g11=(1.0,), g22=(1.0,), d=3):
    return WIDE.kernels_from_gram(g12, g11, g22, d)


def tangent(network=NARROW, params=None, x1=POINTS, x2=None, **options):
    params = NARROW.init(KEY, 3) if params is None else params
    return ns.empirical_ntk(network, params, x1, x2, **options)


def bias_map(predictivities=(0.6, 0.8), ratios=(1.0, 2.0), model=MODEL, network=WIDE, training=FLOW, **options):
    return ns.bias_map(model, network, training, predictivities, ratios, **options)


MODELS = [
    ("predictivity", lambda: ns.GenerativeModel(predictivity=(0.4, 0.9)), "in [0.5, 1)", "got (0.4, 0.9)"),
    ("predictivity", lambda: ns.GenerativeModel(predictivity=(0.8, 1.0)), "in [0.5, 1)", "got (0.8, 1.0)"),
    ("predictivity", lambda: ns.GenerativeModel(predictivity=0.8), "of shape (2,)", "got 0.8"),
    ("predictivity", lambda: ns.GenerativeModel(predictivity=("a", "b")), "in [0.5, 1)", "got ('a', 'b')"),
    ("amplification", lambda: ns.GenerativeModel(amplification=(0.0, 1.0)), "positive and finite", "got (0.0, 1.0)"),
    ("amplification", lambda: ns.GenerativeModel(amplification=(np.inf, 1.0)), "positive and finite", "got (inf, 1.0)"),
    ("correlation", lambda: ns.GenerativeModel(correlation=1.0), "in (-1, 1)", "got 1.0"),
    ("correlation", lambda: ns.GenerativeModel(correlation=np.nan), "in (-1, 1)", "got nan"),
    ("nesting", lambda: ns.GenerativeModel(nesting=(1, -1)), "an integer >= 0", "got -1"),
    ("nesting", lambda: ns.GenerativeModel(nesting=2), "two integers >= 0", "got 2"),
    ("input_dim", lambda: ns.GenerativeModel(input_dim=1), "an integer >= 2", "got 1"),
    ("input_dim", lambda: ns.GenerativeModel(input_dim=10.0), "an integer >= 2", "got 10.0"),
    ("nesting_gain", lambda: ns.GenerativeModel(nesting_gain=0.0), "positive and finite", "got 0.0"),
    ("nesting_bias", lambda: ns.GenerativeModel(nesting_bias=-1.0), ">= 0 and finite", "got -1.0"),
    ("num_samples", lambda: MODEL.sample(KEY, 0), "an integer >= 1", "got 0"),
    ("num_samples", lambda: MODEL.sample(KEY, 3), "even for balanced classes", "got 3"),
    ("points", lambda: MODEL.probe_grid(1), "an integer >= 2", "got 1"),
    ("latents", lambda: MODEL.class_expectation([1.0, 2.0]), "of shape (n, 2)", "got [1.0, 2.0]"),
    ("labels", lambda: ns.GenerativeModel.from_latents(LATENTS, [1, 1, 1, -1]), "at least two of each", "got '1 and 3'"),
    ("latents", lambda: ns.GenerativeModel.from_latents(np.ones((4, 2)), [1, 1, -1, -1]), "of positive spread", "got [0.0"),
    ("amplification", lambda: MODEL.with_shortcut(amplification_ratio=-1.0), "positive and finite", "got "),
    ("inputs", lambda: ns.Dataset.from_arrays([1.0, 2.0], [1, -1]), "of shape (n, d)", "got [1.0, 2.0]"),
    ("inputs", lambda: ns.Dataset.from_arrays([[np.nan]], [1]), "must be finite", "index (0, 0): nan"),
    ("inputs", lambda: ns.Dataset.from_arrays([["a"]], [1]), "real numbers", "got [['a']]"),
    ("labels", lambda: ns.Dataset.from_arrays([[1.0], [2.0]], [0, 1]), "in {-1, +1}", "got [0.0]"),
    ("labels", lambda: ns.Dataset.from_arrays([[1.0], [2.0]], [1]), "of shape (2,)", "got [1"),
    ("latents", lambda: ns.Dataset.from_arrays([[1.0], [2.0]], [1, -1], [[0.0, 1.0]]), "of shape (2, 2)", "got [[0.0, 1.0]]"),
]
NETWORKS = [
    ("depth", lambda: ns.MLP(-1), "an integer >= 0", "got -1"),
    ("depth", lambda: ns.MLP(1.5), "an integer >= 0", "got 1.5"),
    ("depth", lambda: ns.MLP(True), "an integer >= 0", "got True"),
    ("activation", lambda: ns.MLP(1, "relo"), "one of", "got 'relo'"),
    ("width", lambda: ns.MLP(1, width=0), "None or an integer >= 1", "got 0"),
    ("weight_variance", lambda: ns.MLP(1, weight_variance=0.0), "positive and finite", "got 0.0"),
    ("bias_variance", lambda: ns.MLP(1, bias_variance=-0.1), ">= 0 and finite", "got -0.1"),
    ("parameterization", lambda: ns.MLP(1, parameterization="mup"), "one of ntk, standard, mean_field", "got 'mup'"),
    ("initialization", lambda: ns.MLP(1, initialization="he"), "one of normal, torch", "got 'he'"),
    ("parameterization", lambda: ns.MLP(1, initialization="torch"), '"standard" with', "got 'ntk'"),
    ("width", lambda: ns.MLP(1, parameterization="standard").kernels(POINTS), "an integer in the standard", "got None"),
    ("residual", lambda: ns.MLP(2, residual=-0.5), "None or >= 0 and finite", "got -0.5"),
    ("normalization", lambda: ns.MLP(2, normalization="batch"), "None or layer", "got 'batch'"),
    ("width", lambda: ns.MLP(2, width=1, normalization="layer"), ">= 2 with a normalization over the width", "got 1"),
    ("richness", lambda: ns.MLP(1, richness=1.0), 'None but with parameterization="mean_field"', "got 1.0"),
    ("richness", lambda: ns.MLP(1, parameterization="mean_field", richness=-1.0), ">= 0 and finite", "got -1.0"),
    ("richness", lambda: ns.MLP(1, width=4, parameterization="mean_field", richness=0), "positive and finite at", "got 0"),
    ("depth", lambda: ns.MLP(0, parameterization="mean_field"), "at least 1 with", "got 0"),
    ("width", lambda: ns.MLP(1, parameterization="mean_field").kernels(POINTS), "an integer at a richness above 0", "got None"),
    ("width", lambda: WIDE.init(KEY, 3), "an integer for a finite network", "got None"),
    ("input_dim", lambda: NARROW.init(KEY, 0), "an integer >= 1", "got 0"),
    ("x", lambda: NARROW.apply(NARROW.init(KEY, 3), np.ones((2, 4))), "of shape (n, 3)", "got an array of shape (2, 4)"),
    ("x2", lambda: WIDE.kernels(POINTS, np.ones((2, 2))), "of shape (n, 3)", "got [[1.0, 1.0], [1.0, 1.0]]"),
    ("x1", lambda: WIDE.kernels([[np.inf]]), "must be finite", "inf"),
    ("network", lambda: ns.MLP(1, bias_variance=1.0).angular_kernels(2), "bias-free with a piecewise linear", "got "),
    ("g12", lambda: gram(g12=[1.0]), "of shape (n, d)", "got [1.0]"),
    ("g11_diag", lambda: gram(g11=[-1.0]), ">= 0 and finite", "got [-1.0]"),
    ("g22_diag", lambda: gram(g22=[1.0, 1.0]), "of shape (1,)", "got [1.0, 1.0]"),
    ("g12", lambda: gram(g12=[[2.0]]), "Cauchy-Schwarz", "got '1 more'"),
    ("input_dim", lambda: gram(d=0), "an integer >= 1", "got 0"),
    ("network", lambda: ns.networks.Preprocessed("relu", np.eye(2)), "an infinitely wide MLP", "got 'str'"),
    ("matrix", lambda: ns.networks.Preprocessed(WIDE, np.ones(2)), "of shape (n, d)", "got [1.0, 1.0]"),
]
RULES = [
    ("time", lambda: ns.GradientFlow(-1.0), ">= 0", "got -1.0"),
    ("time", lambda: ns.GradientFlow(np.nan), ">= 0", "got nan"),
    ("time", lambda: ns.GradientFlow([[1.0]]), "a number, or a one-dimensional array", "got [[1.0]]"),
    ("time", lambda: ns.GradientFlow([]), "with entries", "got []"),
    ("steps", lambda: ns.GradientDescent(0.1, []), "with entries", "got []"),
    ("time", lambda: ns.GradientFlow("long"), ">= 0", "got 'long'"),
    ("time", lambda: ns.GradientFlow(None), ">= 0", "got None"),
    ("learning_rate", lambda: ns.GradientDescent(0.0, 1), "positive and finite", "got 0.0"),
    ("steps", lambda: ns.GradientDescent(1.0, 2.5), "an integer >= 0, or inf", "got 2.5"),
    ("steps", lambda: ns.GradientDescent(1.0, -1), "an integer >= 0, or inf", "got -1"),
    ("strength", lambda: ns.Ridge(-1e-3), ">= 0 and finite", "got -0.001"),
    ("strength", lambda: ns.Ridge(np.inf), ">= 0 and finite", "got inf"),
]
PREDICTIONS = [
    ("model", lambda: predict(model="law"), "a GenerativeModel", "got 'law'"),
    ("network", lambda: predict(network="relu"), "an MLP", "got 'relu'"),
    ("training", lambda: predict(training=30.0), "a training rule", "got 30.0"),
    ("method", lambda: predict(method="magic"), "one of", "got 'magic'"),
    ("option", lambda: predict(colour=1), "one of probes", "got 'colour'"),
    ("num_samples", lambda: predict(num_samples=10, method="population"), "None for", "got 10"),
    ("tolerance", lambda: predict(tolerance=-1.0), "positive", "got -1.0"),
    ("probes", lambda: predict(probes=np.ones((2, 3))), "of shape (n, 2)", "got [[1.0, 1.0, 1.0]"),
    ("sample_weight", lambda: predict(sample_weight=lambda z, y: -jnp.ones(len(z))), ">= 0 and finite", "got an array"),
    ("num_samples", lambda: predict(method="dataset_averaged"), "an integer >= 2", "got None"),
    ("num_samples", lambda: predict(num_samples=1), "an integer >= 2", "got 1"),
    ("num_samples", lambda: predict(num_samples=0.5), "an integer >= 2", "got 0.5"),
    ("num_samples", lambda: predict(num_samples="many"), "an integer >= 2", "got 'many'"),
    ("form", lambda: predict(num_samples=10, form="global"), "one of", "got 'global'"),
    ("tolerance", lambda: predict(num_samples=10, tolerance=0.0), "positive", "got 0.0"),
    ("key", lambda: predict(num_samples=10, method="monte_carlo"), "a jax.random key", "got None"),
    (
        "key",
        lambda: predict(num_samples=10, method="monte_carlo", key=jax.random.split(KEY)),
        "a single one",
        "an array of shape (2,)",
    ),
    ("random_init", lambda: predict(random_init="no"), "True or False", "got 'no'"),
    ("replace", lambda: predict(num_samples=10, method="monte_carlo", key=KEY, replace=1), "True or False", "got 1"),
    ("activation", lambda: ns.MLP(1, activation=lambda a, b: a), "of one variable", "missing 1 required positional argument"),
    ("model", lambda: predict(POOL, method="population_flow", test=POOL), "a law of latents", "got 'Pool'"),
    ("indices", lambda: POOL.take([4]), "from -4 to 3", "got [4]"),
    ("indices", lambda: POOL.take([]), "whole numbers", "got []"),
    ("num_samples", lambda: predict(method="monte_carlo", key=KEY), "an even integer", "got None"),
    ("num_samples", lambda: predict(num_samples=11, method="monte_carlo", key=KEY), "even", "got 11"),
    ("num_datasets", lambda: predict(num_samples=10, method="monte_carlo", key=KEY, num_datasets=1), ">= 2", "got 1"),
    ("dataset", lambda: predict(method="dataset"), "given for", "got None"),
    ("dataset", lambda: predict(method="dataset", dataset=np.eye(2)), "a Dataset", "got 'ndarray'"),
    ("num_samples", lambda: predict(num_samples=5, dataset=DATA), "None or 4", "got 5"),
    ("probe_inputs", lambda: predict(dataset=DATA), "given for data of your own", "got None"),
    ("probe_inputs", lambda: predict(dataset=DATA, probe_inputs=np.ones((2, 3))), "of shape (900, 3)", "got [[1.0, 1.0, 1.0]"),
    ("probe_inputs", lambda: predict(dataset=DATA, probe_inputs=np.ones((900, 2))), "of shape (n, 3)", "shape (900, 2)"),
    ("regime", lambda: predict(method="leading_order", regime="late"), "one of", "got 'late'"),
    ("num_samples", lambda: predict(num_samples=10, method="leading_order"), "None for", "got 10"),
    ("network", lambda: predict(method="population_flow", network="relu"), "an MLP", "got 'relu'"),
    ("width", lambda: predict(method="population_flow", key=KEY), "an integer", "got None"),
    ("key", lambda: predict(method="population_flow", network=NARROW), "a jax.random key", "got None"),
    ("num_inits", lambda: predict(method="population_flow", network=NARROW, key=KEY, num_inits=0), ">= 1", "got 0"),
    ("loss", lambda: predict(method="population_flow", network=NARROW, key=KEY, loss="hinge"), "one of squared", "got 'hinge'"),
    ("momentum", lambda: predict(method="population_flow", network=NARROW, key=KEY, momentum=1.0), "in [0, 1)", "got 1.0"),
    ("nesting", lambda: predict(NESTED, method="population_flow", network=NARROW, key=KEY), "(0, 0)", "got (1, 0)"),
    (
        "time",
        lambda: predict(method="population_flow", network=NARROW, key=KEY, training=ns.GradientFlow(np.inf)),
        "finite",
        "inf",
    ),
    ("inputs", lambda: ns.predict_outputs(WIDE, FLOW, [1.0], [1.0], [[1.0]]), "of shape (n, d)", "got [1.0]"),
    ("labels", lambda: ns.predict_outputs(WIDE, FLOW, POINTS, [1.0], POINTS), "of shape (2,)", "got [1.0]"),
    ("probe_inputs", lambda: ns.predict_outputs(WIDE, FLOW, POINTS, [1, -1], [[1.0]]), "of shape (n, 3)", "got [[1.0]]"),
]
FINITE = [
    ("network", lambda: train(network="relu"), "an MLP", "got 'str'"),
    ("width", lambda: train(network=WIDE), "an integer for a finite network", "got None"),
    ("training", lambda: train(training=FLOW), "GradientDescent(learning_rate, steps)", "got GradientFlow"),
    ("steps", lambda: train(training=ns.GradientDescent(0.1, np.inf)), "finite", "inf"),
    ("learning_rate", lambda: train(training=ns.GradientDescent([0.1, 0.2], 3)), "a number", "got "),
    ("num_samples", lambda: train(num_samples=7), "even, for balanced classes", "got 7"),
    ("num_samples", lambda: train(num_samples=None), "an integer >= 2", "got None"),
    ("num_datasets", lambda: train(num_datasets=0), "an integer >= 1", "got 0"),
    ("num_inits", lambda: train(num_inits=-1), "an integer >= 1", "got -1"),
    ("loss", lambda: train(loss="hinge"), "one of squared, logistic", "got 'hinge'"),
    ("batch_size", lambda: train(batch_size=11), "at most N", "got 11"),
    ("optimizer", lambda: train(optimizer="adam"), "a function from the learning rate", "got 'adam'"),
    ("num_validation", lambda: train(num_validation=3), "even", "got 3"),
    ("plane", lambda: train(model=NESTED, plane=True), "False or None with nesting", "got True"),
    ("model", lambda: train(model=None), "a GenerativeModel", "got None"),
    ("key", lambda: train(key=None), "a jax.random key", "got None"),
    (
        "models",
        lambda: ns.experiments.train_ensembles([MODEL, NESTED], NARROW, DESCENT, 10, key=KEY),
        "of one nesting and one input_dim",
        "((1, 0), 100)",
    ),
    ("network", lambda: tangent(network="relu"), "an MLP or a JAX function", "got 'relu'"),
    ("x1", lambda: tangent(x1=[[np.nan, 1.0, 1.0]]), "must be finite", "nan"),
    ("x2", lambda: tangent(x2=np.ones((1, 4))), "(n, 3)", "got [[1.0, 1.0, 1.0, 1.0]]"),
    ("params", lambda: tangent(params=[1.0]), "layer", "got "),
    ("learning_rates", lambda: tangent(learning_rates="fast"), '"ntk"', "got 'fast'"),
    ("memory", lambda: tangent(memory=0), "a positive finite number of bytes", "got 0"),
    ("network", lambda: ns.kernels.empirical.empirical_nngp("relu", None, POINTS), "an MLP", "got 'relu'"),
    ("network", lambda: ns.finite_width.finite_width_moments("relu", POINTS), "an MLP", "got 'relu'"),
    ("initialization", lambda: ns.finite_width.finite_width_moments(TORCH, POINTS), '"normal"', "got 'torch'"),
    ("width", lambda: ns.finite_width.finite_width_moments(WIDE, POINTS), "an integer for a finite network", "got None"),
    ("x", lambda: ns.finite_width.finite_width_moments(NARROW, [1.0]), "of shape (n, d)", "got [1.0]"),
]
STUDIES = [
    ("modes", lambda: ns.kernel_spectrum(MODEL, WIDE, modes=0), "an integer >= 1", "got 0"),
    ("modes", lambda: ns.kernel_spectrum(MODEL, WIDE, modes=33), "at most 32", "got 33"),
    ("tolerance", lambda: ns.kernel_spectrum(MODEL, WIDE, tolerance=0.0), "positive", "got 0.0"),
    ("model", lambda: ns.kernel_spectrum("law", WIDE), "a GenerativeModel", "got 'law'"),
    ("network", lambda: ns.kernel_spectrum(MODEL, "relu"), "an MLP", "got 'relu'"),
    ("num_samples", lambda: ns.analysis.influence(MODEL, WIDE, FLOW, 1), "an integer >= 2", "got 1"),
    (
        "training",
        lambda: ns.analysis.influence(MODEL, WIDE, ns.GradientFlow([1.0, 2.0]), 10),
        "scalar parameters",
        "got GradientFlow",
    ),
    ("latents", lambda: ns.analysis.influence(MODEL, WIDE, FLOW, 10, [1.0, 2.0]), "of shape (n, 2)", "got [1.0, 2.0]"),
    ("model", lambda: ns.analysis.influence("law", WIDE, FLOW, 10), "a GenerativeModel", "got 'law'"),
    ("parameter", lambda: ns.analysis.critical_ratio(MODEL, WIDE, FLOW, parameter="depth"), "one of", "got 'depth'"),
    ("bracket", lambda: ns.analysis.critical_ratio(MODEL, WIDE, FLOW, bracket=(2.0, 1.0)), "low < high", "got (2.0, 1.0)"),
    ("bracket", lambda: ns.analysis.critical_ratio(MODEL, WIDE, FLOW, bracket=(0.0, 1.0)), "positive", "got (0.0, 1.0)"),
    ("bracket", lambda: ns.analysis.critical_ratio(MODEL, WIDE, FLOW, bracket=3.0), "two finite numbers", "got 3.0"),
    ("training", lambda: ns.analysis.critical_ratio(MODEL, WIDE, ns.Ridge(1.0), parameter="time"), "GradientFlow", "got Ridge"),
    (
        "num_samples",
        lambda: ns.analysis.critical_ratio(MODEL, WIDE, FLOW, parameter="num_samples"),
        "given to vary it",
        "got None",
    ),
    ("level", lambda: ns.analysis.critical_ratio(MODEL, WIDE, FLOW, level=np.nan), "finite", "got nan"),
    ("training", lambda: ns.analysis.critical_ratio(MODEL, WIDE, 30.0), "a training rule", "got 30.0"),
    ("bounds", lambda: ns.analysis.most_biased(MODEL, WIDE, FLOW, bounds={"depth": (1, 2)}), "of", "got 'depth'"),
    ("bounds", lambda: ns.analysis.most_biased(MODEL, WIDE, FLOW, bounds={"time": (3.0, 1.0)}), "low < high", "got (3.0, 1.0)"),
    ("bounds", lambda: ns.analysis.most_biased(MODEL, WIDE, FLOW, bounds={}), "at least one parameter", "got {}"),
    ("starts", lambda: ns.analysis.most_biased(MODEL, WIDE, FLOW, starts=0), "an integer >= 1", "got 0"),
    ("shortcut_predictivities", lambda: bias_map(predictivities=[0.4]), "in [0.5, 1)", "got [0.4]"),
    ("shortcut_predictivities", lambda: bias_map(predictivities=0.6), "one-dimensional", "got 0.6"),
    ("amplification_ratios", lambda: bias_map(ratios=[-1.0]), "positive", "got [-1.0]"),
    ("amplification_ratios", lambda: bias_map(ratios=[]), "at least one entry", "got []"),
    ("model", lambda: bias_map(model="law"), "a GenerativeModel", "got 'law'"),
    ("training", lambda: bias_map(training=3.0), "a training rule", "got 3.0"),
    ("method", lambda: bias_map(method="magic"), "one of", "got 'magic'"),
    ("progress", lambda: bias_map(progress="yes"), "None or a function", "got 'yes'"),
    ("axes", lambda: ns.sweep({}), "at least one axis", "got {}"),
    ("axes", lambda: ns.sweep({"colour": [1]}), "named one of", "got 'colour'"),
    ("axis depth", lambda: ns.sweep({"depth": [0.5]}), "one-dimensional", "got [0.5]"),
    ("axis time", lambda: ns.sweep({"time": [1.0, 1.0]}), "without repeated values", "got [1.0, 1.0]"),
    ("axis time", lambda: ns.sweep({"time": [-1.0]}), ">= 0", "got -1.0"),
    ("axis correlation", lambda: ns.sweep({"correlation": [2.0]}), "in (-1, 1)", "got 2.0"),
    ("training", lambda: ns.sweep({"time": [1.0]}, training=ns.Ridge(1.0)), "GradientFlow for the axis time", "got 'Ridge'"),
    ("engine", lambda: ns.sweep({"time": [1.0]}, engine="spark"), "", "got 'spark'"),
    ("method", lambda: ns.sweep({"time": [1.0]}, method="magic"), "one of", "got 'magic'"),
    ("num_samples", lambda: ns.sweep({"num_samples": [10]}, num_samples=10), "None where it is an axis", "got 10"),
]
COMMANDS = [
    ("predictivity", "predict --predictivity 0.85 1", "in [0.5, 1)", "1.0"),
    ("amplification", "predict --amplification 0 1", "positive and finite", "(0.0, 1.0)"),
    ("correlation", "predict --correlation -1", "in (-1, 1)", "got -1.0"),
    ("nesting", "predict --nesting -1 0", "an integer >= 0", "got -1"),
    ("input_dim", "predict --input-dim 0", "an integer >= 2", "got 0"),
    ("width", "predict --width 0", "an integer >= 1", "got 0"),
    ("width", "predict --richness 1", "an integer at a richness above 0", "got None"),
    ("residual", "predict --residual -1", "None or >= 0", "got -1.0"),
    ("normalization", "map --normalization batch", "None or layer", "got 'batch'"),
    ("bias_variance", "predict --bias-variance -1", ">= 0 and finite", "got -1.0"),
    ("time", "predict --time nan", ">= 0", "got nan"),
    ("strength", "predict --ridge -1", ">= 0 and finite", "got -1.0"),
    ("learning_rate", "predict --learning-rate 0 --steps 3", "positive and finite", "got 0.0"),
    ("num_samples", "predict --num-samples 1", "an integer >= 2", "got 1"),
    ("num_datasets", "predict --method monte_carlo --num-samples 10 --num-datasets 1", "an integer >= 2", "got 1"),
    ("num-samples", "predict --num-samples ten", "integer", "Invalid value"),
    ("tolerance", "predict --tolerance nan", "positive", "got nan"),
    ("modes", "spectrum --modes 0", "an integer >= 1", "got 0"),
    ("modes", "spectrum --modes 40", "at most 32", "got 40"),
    ("output", "spectrum --output spectrum.txt", "end in one of .png", "spectrum.txt"),
    ("activation", "spectrum --activation relo", "one of", "got 'relo'"),
    ("width", "spectrum --parameterization standard", "an integer in the standard", "got None"),
    ("predictivities", "map --predictivities 0.4 0.9 3", "in [0.5, 1)", "got 0.4 0.9"),
    ("ratios", "map --ratios 2 1 3", "MIN <= MAX", "got 2 1"),
    ("ratios", "map --ratios 1 inf 3", "positive and finite", "inf"),
    ("method", "map --method magic", "one of", "got 'magic'"),
    ("correlation", "map --correlation 1.5", "in (-1, 1)", "got 1.5"),
    ("axis", "sweep", "at least once", "got none"),
    ("axis", "sweep --axis depth", "NAME=VALUE", "got 'depth'"),
    ("axes", "sweep --axis colour=1,2", "named one of", "got 'colour'"),
    ("axis depth", "sweep --axis depth=1,two", "one-dimensional", "two"),
    ("axis", "sweep --axis depth=1 --axis depth=2", "given once for each name", "depth twice"),
    ("depth", "sweep --axis depth=-1", "an integer >= 0", "got -1"),
    (
        "output",
        "sweep --axis depth=1,2 --axis correlation=0,0.5 --time 3,30 --output sweep.png",
        "end in one of .nc",
        "sweep.png",
    ),
    ("steps", "sweep --axis learning_rate=0.1", "--learning-rate", "got none"),
]


def _rows(rows):
    return [pytest.param(*row, id=f"{row[0]}-{index}") for index, row in enumerate(rows)]


@pytest.mark.parametrize(
    ("name", "call", "allowed", "got"), _rows([*MODELS, *NETWORKS, *RULES, *PREDICTIONS, *FINITE, *STUDIES])
)
def test_a_mistake_is_named_with_what_is_allowed_and_what_came(name, call, allowed, got):
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(name) and allowed in message and got in message, message


@pytest.mark.parametrize(("name", "line", "allowed", "got"), _rows(COMMANDS))
def test_a_mistake_on_the_command_line_exits_2_with_one_line(capsys, name, line, allowed, got, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status = main(line.split())
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and err.count("\n") == 1
    assert err.startswith("error: ") and name in err and allowed in err and got in err, err
    assert not list(tmp_path.iterdir())
