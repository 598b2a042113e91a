"""`ntk-shortcuts report`: one page on a pool of samples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ntk_shortcuts.cli.options import AgreementOptions, NetworkOptions, PageOptions, read_file, takes_options
from ntk_shortcuts.cli.options.numbers import Numbers, all_values, numbers_option
from ntk_shortcuts.cli.printing import report_written


@dataclass(frozen=True)
class ReportOptions:
    """What is reported on."""

    pool: Annotated[Path, typer.Argument(metavar="FILE", help="An .npz with inputs, labels and attributes by name.")]
    num_samples: Annotated[int, typer.Option(help="Samples of a data set.")] = 200
    time: Annotated[list[Numbers] | None, numbers_option("T", "Training times, two or more; 3, 30 and 300 by default.")] = None
    test_fraction: Annotated[float, typer.Option(help="Of each group of the pool: samples to test on.")] = 0.3
    draws: Annotated[int, typer.Option(help="Of rare groups: data sets drawn.")] = 50
    seed: Annotated[int, typer.Option(help="Of the split and the draws.")] = 0


@takes_options()
def report(asked: ReportOptions, weights: AgreementOptions, network: NetworkOptions, files: PageOptions) -> None:
    """What is learnt first, which group suffers and what helps: one HTML page with figures."""
    paths = files.paths((".html",), "a report", default="report.html")
    import jax

    from ntk_shortcuts.cli.options.pool import PoolOptions
    from ntk_shortcuts.experiments.pool_report import pool_report

    read_file("pool", asked.pool)
    pool, test = PoolOptions(asked.pool, asked.test_fraction).split(asked.seed)
    options = {"num_draws": asked.draws, "key": jax.random.key(asked.seed)}
    times = all_values(asked.time or [Numbers([3.0, 30.0, 300.0])])
    page = pool_report(weights.reweighted(pool), network.network(), times, asked.num_samples, test, **options)
    for path in paths:
        path.write_text(page)
    report_written(paths)
