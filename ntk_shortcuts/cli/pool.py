"""`ntk-shortcuts predict --pool`: accuracies of one network on samples from a file."""

from __future__ import annotations

from typing import Any

from ntk_shortcuts.cli.answer import Answer
from ntk_shortcuts.cli.options import (
    AgreementOptions,
    LawOptions,
    MethodOptions,
    NetworkOptions,
    PoolOptions,
    RuleOptions,
)
from ntk_shortcuts.cli.printing import print_numbers
from ntk_shortcuts.cli.records import resolved_parameters


def predict_pool(
    law: LawOptions,
    source: PoolOptions,
    weights: AgreementOptions,
    network: NetworkOptions,
    rule: RuleOptions,
    method: MethodOptions,
) -> Answer:
    """The groups' accuracies."""
    law.refuse_beside("--pool, which is the law")
    import ntk_shortcuts

    pool, test = source.split(method.seed)
    pool = weights.reweighted(pool)
    mlp, training, name = network.network(), rule.training(), method.name()
    options = method.options(name, None)
    result = ntk_shortcuts.predict(pool, mlp, training, num_samples=method.num_samples, method=name, test=test, **options)
    about = {"pool": str(source.pool), "agreement": weights.agreement, "test_fraction": source.test_fraction}
    about |= {"pool_samples": len(pool), "test_samples": len(test)}
    parameters = resolved_parameters(pool, mlp, training, method.num_samples, name, method.seed, options)
    found = {**result.numbers(), "group_accuracy": _groups(result.group_accuracy)}
    shown = {**result.numbers(), "accuracy of": result.group_accuracy}
    return Answer(
        {**found, **parameters, **about, "diagnostics": result.diagnostics},
        lambda: result.to_xarray().assign_attrs({**about, "seed": method.seed}),
        result.plot,
        lambda: print_numbers(shown, result.coordinates, {"method": result.method}),
    )


def _groups(accuracy: Any) -> list[dict[str, Any]]:
    """A row for each group: its label and attributes, and its accuracy, of several settings a list."""
    dims = accuracy.dims[accuracy.dims.index("label") :]
    stacked = accuracy.stack(group=dims).transpose("group", ...)
    return [
        {**dict(zip(dims, map(int, group), strict=True)), "accuracy": values.tolist()}
        for group, values in zip(stacked["group"].values, stacked.values, strict=True)
    ]
