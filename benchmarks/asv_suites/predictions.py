"""Predictions and trained ensembles on the two-feature data."""

import jax

import ntk_shortcuts as ns

MODEL = ns.GenerativeModel((0.85, 0.90), (4.0, 1.0))
FINITE = ns.MLP(1, width=128, parameterization="standard", initialization="torch")


def population():
    return ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(30.0))


def dataset_averaged():
    return ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(30.0), 200)


def dataset():
    data = MODEL.sample(jax.random.key(0), 1000)
    return ns.predict_bias(MODEL, ns.MLP(1), ns.GradientFlow(30.0), dataset=data)


def population_flow():
    training = ns.GradientFlow(30.0)
    return ns.predict_bias(MODEL, FINITE, training, method="population_flow", key=jax.random.key(0), num_inits=4)


PREDICTIONS = {function.__name__: function for function in (population, dataset_averaged, dataset, population_flow)}


class Predictions:
    """One prediction of each method; infinite data, an average over data sets of 200, one of 1000 samples, a flow of 4."""

    params = (list(PREDICTIONS),)
    param_names = ("method",)
    timeout = 600

    def setup(self, method):
        self.predict = PREDICTIONS[method]
        self.predict()

    def time_prediction(self, method):
        self.predict()

    def peakmem_prediction(self, method):
        self.predict()


class Ensembles:
    """200 steps of 8 networks of width 128 on 200 samples."""

    timeout = 600

    def setup(self):
        self.time_training()

    def time_training(self):
        training = ns.GradientDescent(0.1, 200)
        jax.block_until_ready(ns.train_ensemble(MODEL, FINITE, training, 200, 2, 4, key=jax.random.key(0)).outputs)

    def peakmem_training(self):
        self.time_training()
