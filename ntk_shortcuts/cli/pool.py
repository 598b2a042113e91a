"""`ntk-shortcuts predict --pool`: accuracies of one network on samples from a file."""

from __future__ import annotations

from typing import Any

from ntk_shortcuts.cli.options import (
    AgreementOptions,
    FileOptions,
    JsonOption,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    PoolOptions,
    RuleOptions,
)
from ntk_shortcuts.cli.printing import print_json, print_table, report_written
from ntk_shortcuts.cli.records import resolved_parameters, save_netcdf


def predict_pool(
    law: LawOptions,
    source: PoolOptions,
    weights: AgreementOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
    output: JsonOption,
    files: FileOptions,
) -> None:
    """Predict, and print the groups' accuracies."""
    law.refuse_beside("--pool, which is the law")
    paths = files.paths((".nc",), "a pool")
    import ntk_shortcuts
    from ntk_shortcuts.description import netcdf_value

    pool, test = source.split(method.seed)
    pool = weights.reweighted(pool)
    mlp, training, name = network.network(), rule.training(), method.name()
    options = method.options(name, None)
    result = ntk_shortcuts.predict(pool, mlp, training, num_samples=method.num_samples, method=name, test=test, **options)
    parameters = {
        **resolved_parameters(pool, mlp, training, method.num_samples, name, method.seed, options),
        **{"pool": str(source.pool), "agreement": weights.agreement, "test_fraction": source.test_fraction},
        **{"pool_samples": len(pool), "test_samples": len(test)},
    }
    for path in paths:
        attributes = {name: netcdf_value(value) for name, value in {**parameters, **result.numbers()}.items()}
        save_netcdf(result.group_accuracy.to_dataset(name="group_accuracy").assign_attrs(attributes), path)
    report_written(paths)
    groups = _groups(result.group_accuracy)
    if output.json:
        print_json({**result.numbers(), "group_accuracy": groups, **parameters, "diagnostics": result.diagnostics})
        return
    rows = {
        name.replace("_", " "): f"{value:+.4f}" if "reliance" in name else f"{value:.4f}"
        for name, value in result.numbers().items()
    }
    for group in groups:
        accuracy = group.pop("accuracy")
        rows[", ".join(f"{name} {value:+d}" for name, value in group.items())] = f"{accuracy:.4f}"
    print_table({**rows, "method": result.method})


def _groups(accuracy: Any) -> list[dict[str, Any]]:
    """A row for each group: its label and attributes, and its accuracy."""
    stacked = accuracy.stack(group=accuracy.dims)
    return [
        {**dict(zip(accuracy.dims, map(int, group), strict=True)), "accuracy": float(value)}
        for group, value in zip(stacked["group"].values, stacked.values, strict=True)
    ]
