"""`ntk-shortcuts predict --law`: one network on a law that a file describes."""

from __future__ import annotations

from typing import Any

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.options import LawFileOptions, LawOptions, MethodOptions, NetworkOptions, RuleOptions
from ntk_shortcuts.cli.printing import error_rows, print_numbers
from ntk_shortcuts.cli.records import resolved_parameters


def predict_law(
    law: LawOptions, source: LawFileOptions, network: NetworkOptions, rule: RuleOptions, method: MethodOptions
) -> Answer:
    """What is read off the outputs: biases of shortcuts, or accuracies of groups."""
    import numpy as np

    import ntk_shortcuts

    model, mlp, training, name = source.instead_of(law), network.network(), rule.training(), method.name()
    options = method.options(name, model)
    result = ntk_shortcuts.predict(model, mlp, training, num_samples=method.num_samples, method=name, **options)
    parameters = resolved_parameters(model, mlp, training, method.num_samples, name, method.seed, options)
    shown = result.numbers()
    numbers = {name: np.asarray(value).tolist() for name, value in shown.items()}
    axes: dict[str, Any] = dict(result.metric.coordinates(result.points))
    if result.points.groups is not None:
        axes = dict(zip(result.points.groups.names, map(list, result.points.groups.values), strict=True))
        numbers["group_accuracy"] = result.group_accuracy.values.tolist()
        shown["accuracy of"] = result.group_accuracy
    return Answer(
        {**numbers, **axes, "law": str(source.law), **parameters, "diagnostics": result.diagnostics},
        lambda: result.to_xarray().assign_attrs(law=str(source.law), seed=method.seed),
        result.plot,
        lambda: print_numbers(shown, result.coordinates, {"method": result.method, **error_rows(result.diagnostics)}),
    )
