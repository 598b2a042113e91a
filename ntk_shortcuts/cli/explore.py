"""`ntk-shortcuts explore`: predictions that follow sliders, in the browser."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ntk_shortcuts.cli.engine import many_small_problems
from ntk_shortcuts.cli.options import takes_options


@dataclass(frozen=True)
class ExploreOptions:
    """What is explored, and where it is served."""

    pool: Annotated[
        Path | None,
        typer.Argument(help="A pool: an .npz with inputs, labels and attributes by name; by default two features."),
    ] = None
    port: Annotated[int, typer.Option(help="Of this machine's own address, 127.0.0.1; 0: one that is free.")] = 0
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True


@takes_options()
def explore(asked: ExploreOptions) -> None:
    """Open a page on which sliders move a setting and its predictions follow; Ctrl-C ends it."""
    if importlib.util.find_spec("panel") is None:
        from ntk_shortcuts.validation import extra

        raise ValueError(f"the explorer must be installed, {extra('explorer')}; got no module named panel")
    if not 0 <= asked.port < 65536:
        raise ValueError(f"port must be an integer from 0 to 65535; got {asked.port}")
    if asked.pool is not None and not asked.pool.is_file():
        raise ValueError(f"pool must be an .npz file; there is no {str(asked.pool)!r}")
    if asked.pool is None:
        many_small_problems()
    from ntk_shortcuts.explorer.server import serve

    serve(
        asked.pool, asked.port, asked.show, lambda url: print(f"explorer at {url}, until Ctrl-C", file=sys.stderr, flush=True)
    )
