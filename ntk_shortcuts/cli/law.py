"""`ntk-shortcuts predict --law`: one network on a law that a file describes."""

from __future__ import annotations

from typing import Any

from ntk_shortcuts.cli.options import (
    FileOptions,
    JsonOption,
    LawFileOptions,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    RuleOptions,
)
from ntk_shortcuts.cli.printing import print_json, print_table
from ntk_shortcuts.cli.records import resolved_parameters


def predict_law(
    law: LawOptions,
    source: LawFileOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    output: JsonOption,
    files: FileOptions,
) -> None:
    """Predict, and print what is read off the outputs: biases of shortcuts, or accuracies of groups."""
    law.refuse_beside("--law, whose file has it")
    if files.output:
        raise ValueError(f"output must not be given with --law; got {str(files.output[0])!r}")
    import numpy as np

    import ntk_shortcuts
    from ntk_shortcuts.cli.printing import error_rows

    model, mlp, training, name = source.read(), network.network(), rule.training(), method.name()
    options = method.options(name, model)
    result = ntk_shortcuts.predict(model, mlp, training, num_samples=method.num_samples, method=name, **options)
    parameters = resolved_parameters(model, mlp, training, method.num_samples, name, method.seed, options)
    numbers = {name: np.asarray(value).tolist() for name, value in result.numbers().items()}
    axes: dict[str, Any] = dict(result.metric.coordinates(result.points))
    if result.points.groups is not None:
        numbers["group_accuracy"] = result.group_accuracy.values.tolist()
        axes = dict(zip(result.points.groups.names, map(list, result.points.groups.values), strict=True))
    if output.json:
        print_json({**numbers, **axes, "law": str(source.law), **parameters, "diagnostics": result.diagnostics})
        return
    rows: dict[str, str] = {}
    for name, value in {**result.numbers(), **({"accuracy of": result.group_accuracy} if result.points.groups else {})}.items():
        if np.ndim(value) == 0:
            rows[name.replace("_", " ")] = f"{value:+.4f}"
            continue
        entries = value.stack(entry=value.dims)
        for entry, number in zip(entries["entry"].values, entries.values, strict=True):
            place = ", ".join(f"{axis} {at}" for axis, at in zip(value.dims, np.atleast_1d(entry).tolist(), strict=True))
            rows[f"{name.replace('_', ' ')} {place}"] = f"{number:+.4f}"
    print_table({**rows, "method": result.method, **error_rows(result.diagnostics)})
