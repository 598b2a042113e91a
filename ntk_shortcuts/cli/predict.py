"""`ntk-shortcuts predict`: the bias of one network on one law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.law import predict_law
from ntk_shortcuts.cli.options import (
    AgreementOptions,
    FileOptions,
    JsonOption,
    LawFileOptions,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    PoolOptions,
    RuleOptions,
    takes_options,
)
from ntk_shortcuts.cli.pool import predict_pool
from ntk_shortcuts.cli.printing import error_rows, print_numbers
from ntk_shortcuts.cli.records import resolved_parameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@takes_options()
def predict(
    law: LawOptions,
    described: LawFileOptions,
    source: PoolOptions,
    weights: AgreementOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    output: JsonOption,
    files: FileOptions,
) -> None:
    """Predict the bias of one network on one model of the data, at one time or at several; --output draws its decision surface.

    With --law, predict on the law that a file describes: biases of several shortcuts, or accuracies of groups. With --pool,
    predict the accuracies of the groups of samples of your own, on a part of them that is kept for it.
    """
    rule.check()
    paths = files.paths()
    if source.pool is not None:
        if described.law is not None:
            raise ValueError(f"law must not be given with --pool; got {str(described.law)!r}")
        predict_pool(law, source, weights, network, rule, method).give(output, paths)
        return
    source.refuse_without_pool()
    weights.refuse_without_pool()
    if described.law is not None:
        predict_law(law, described, network, rule, method).give(output, paths)
        return
    _predict_model(law, network, rule, method).give(output, paths)


def _predict_model(law: LawOptions, network: NetworkOptions, rule: RuleOptions, method: MethodOptions) -> Answer:
    from ntk_shortcuts import predict_bias

    model, mlp, training, name = law.model(), network.network(), rule.training(), method.name()
    options = method.options(name, model)
    result = predict_bias(model, mlp, training, method.num_samples, name, **options)
    parameters = resolved_parameters(model, mlp, training, method.num_samples, name, method.seed, options)

    return Answer(
        {**result.numbers(), **parameters, "diagnostics": result.diagnostics},
        lambda: result.to_xarray().assign_attrs(seed=method.seed),
        lambda: _figure(result, model, options.get("dataset")),
        lambda: print_numbers(result.numbers(), result.coordinates, {"method": name, **error_rows(result.diagnostics)}),
    )


def _figure(result: Any, model: Any, dataset: Any) -> Figure:
    """The decision surface, with the samples where there are some; of several settings the bias against them."""
    from ntk_shortcuts.plotting import plot_decision_surface

    return result.plot() if result.coordinates else plot_decision_surface(result, model, dataset)
