"""One page on a pool of samples: what is learnt first, which group suffers, and what helps."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ntk_shortcuts.analysis.audit import audit
from ntk_shortcuts.analysis.mitigations import mitigations
from ntk_shortcuts.entry import predict
from ntk_shortcuts.laws.pool.pool import Pool
from ntk_shortcuts.plotting.group_curves import plot_group_curves
from ntk_shortcuts.training.gradient_flow import GradientFlow
from ntk_shortcuts.validation import require, require_integer

_SHOWN = ["final", "best", "best_error", "best_error_test_samples", "best_time"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "img{max-width:100%}table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;text-align:right}"
    "th{border-bottom:1px solid #888}td:first-child,th:first-child{text-align:left}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}img{background:#fff}}"
)


def pool_report(
    pool: Pool,
    network: Any,
    times: Sequence[float],
    num_samples: int,
    test: Pool,
    *,
    remedies: Sequence[str] | None = None,
    ensemble: Any = None,
    **options: Any,
) -> str:
    """A self-contained HTML page: the audit, accuracies by group against time, and mitigations, each with its figure.

    Args:
        pool: samples with labels, at least one attribute, and weights.
        network: an infinitely wide network.
        times: of gradient flow, learning rate x steps, at least two.
        num_samples: N, of a data set.
        test: samples that are not in the pool.
        remedies: names of mitigations; all by default.
        ensemble: trained networks to set beside the predictions, of :func:`ntk_shortcuts.train_ensemble`.
        **options: of :func:`ntk_shortcuts.predict`, such as `method`, `key`, `num_draws`.

    Raises:
        ValueError: a pool without attributes, less than two times, or what `predict` refuses.

    Example:
        >>> import jax
        >>> from ntk_shortcuts import MLP
        >>> rng = np.random.default_rng(0)
        >>> label, patch = np.repeat([-1, 1], 40), np.tile([-1, 1], 40)
        >>> inputs = np.stack([label, 3 * patch, *rng.normal(size=(2, 80))], axis=1)
        >>> pool, test = Pool(inputs, label, {"patch": patch}).split(jax.random.key(0), 0.6)
        >>> options = {"method": "monte_carlo", "key": jax.random.key(0), "num_datasets": 2, "remedies": ["none"]}
        >>> page = pool_report(pool.with_agreement(0.9), MLP(0), [1.0, 3.0], 40, test, **options)
        >>> page.startswith("<!DOCTYPE html>"), page.count("<img")
        (True, 3)
    """
    require(isinstance(pool, Pool), "pool", "a Pool", type(pool).__name__)
    require_integer("num_samples", num_samples, len(pool.classes))
    at = np.sort(np.asarray(times, float))
    require(at.ndim == 1 and len(at) >= 2, "times", "two or more", at)
    audited = audit(pool, network)
    prediction = predict(pool, network, GradientFlow(at), num_samples=num_samples, test=test, **options)
    compared = mitigations(pool, network, at, num_samples=num_samples, test=test, only=remedies, **options)
    worst = np.asarray(prediction.worst_group_accuracy)
    groups = prediction.group_accuracy.to_dataframe(name="accuracy")["accuracy"].unstack("time")
    said = [
        f"{pool!r}.",
        f"Data sets of {num_samples} samples are drawn from it; {len(test)} others are tested on. Network: {network!r}.",
        f"The worst group has an accuracy of {worst[-1]:.2f} at time {at[-1]:g}, and {worst.max():.2f} at its best "
        f"(time {at[int(worst.argmax())]:g}).",
        str(compared.attrs["recommendation"]) + ".",
    ]
    parts = [
        *(f"<p>{html.escape(line)}</p>" for line in said),
        *(f"<p><strong>{html.escape(str(issue))}</strong></p>" for issue in prediction.issues),
        "<h2>Which group suffers, and for how long</h2>",
        _image(plot_group_curves(prediction, ensemble), "Accuracy of each group against training time"),
        groups.round(3).to_html(border=0),
        "<h2>What is learnt first</h2>",
        _image(audited.plot(), "Learning times of the label and of each attribute"),
        audited.to_dataframe().round(3).to_html(border=0),
        "<h2>What helps</h2>",
        _image(compared.plot(), "Accuracy of the worst group under each mitigation"),
        compared[_SHOWN].to_dataframe().round(3).to_html(border=0),
    ]
    head = (
        f"<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'><title>Pool report</title><style>{_STYLE}</style></head>"
    )
    return f"{head}\n<body>\n<h1>Will this network use the shortcut?</h1>\n" + "\n".join(parts) + "\n</body></html>\n"


def _image(figure: Figure, described: str) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<p><img alt="{html.escape(described)}" src="data:image/png;base64,{data}"></p>'
