"""`ntk-shortcuts predict`: the bias of one network on one law."""

from __future__ import annotations

from typing import Any

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
from ntk_shortcuts.cli.printing import error_rows, print_json, print_table, report_written
from ntk_shortcuts.cli.records import prediction_dataset, resolved_parameters, save_netcdf


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
    """Predict the bias of one network on one model of the data; --output draws its decision surface.

    With --law, predict on the law that a file describes: biases of several shortcuts, or accuracies of groups. With --pool,
    predict the accuracies of the groups of samples of your own, on a part of them that is kept for it.
    """
    rule.check()
    if source.pool is not None:
        if described.law is not None:
            raise ValueError(f"law must not be given with --pool; got {str(described.law)!r}")
        predict_pool(law, source, weights, network, rule, method, output, files)
        return
    source.refuse_without_pool()
    weights.refuse_without_pool()
    if described.law is not None:
        predict_law(law, described, network, rule, method, output, files)
        return
    paths = files.paths()
    from ntk_shortcuts import predict_bias

    model, mlp, training, name = law.model(), network.network(), rule.training(), method.name()
    options = method.options(name, model)
    result = predict_bias(model, mlp, training, method.num_samples, name, **options)
    parameters = resolved_parameters(model, mlp, training, method.num_samples, name, method.seed, options)
    for path in paths:
        if path.suffix == ".nc":
            save_netcdf(prediction_dataset(result, parameters), path)
        else:
            from ntk_shortcuts.plotting import plot_decision_surface

            plot_decision_surface(result, model, options.get("dataset")).savefig(path)
    report_written(paths)
    if output.json:
        print_json({**_summary(result), **parameters, "diagnostics": result.diagnostics})
    else:
        print_table(_rows(result))


def _summary(result: Any) -> dict[str, float]:
    summary = {name: getattr(result, name) for name in ("bias", "reliance", "optimal_reliance")}
    return summary if result.bias_std is None else {**summary, "bias_std": result.bias_std}


def _rows(result: Any) -> dict[str, str]:
    return {
        "shortcut bias": f"{result.bias:+.4f}",
        **({} if result.bias_std is None else {"spread over initialisations": f"{result.bias_std:.4f}"}),
        "reliance": f"{result.reliance:+.4f}",
        "optimal reliance": f"{result.optimal_reliance:+.4f}",
        "method": result.method,
        **error_rows(result.diagnostics),
    }
