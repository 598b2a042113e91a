"""Command line: `ntk-shortcuts predict`, `audit`, `map`, `spectrum`, `sweep`, `validate`, `derive`, `explore`: one file each.

Results go to standard output, everything else to standard error. Exit status: 0, or 2 with one line for bad
arguments. What computes is imported by the command that runs, not by the command line.
"""

from ntk_shortcuts.cli.app import main

__all__ = ["main"]
