"""The options of the commands, in groups: each is written once, and taken by every command that has it."""

from ntk_shortcuts.cli.options.groups import takes_options
from ntk_shortcuts.cli.options.law import LawFileOptions, LawOptions
from ntk_shortcuts.cli.options.method import MethodOptions
from ntk_shortcuts.cli.options.network import NetworkOptions
from ntk_shortcuts.cli.options.output import DATA_SUFFIXES, FIGURE_SUFFIXES, SUFFIXES, FileOptions, JsonOption, PageOptions
from ntk_shortcuts.cli.options.pool import AgreementOptions, PoolOptions, read_file
from ntk_shortcuts.cli.options.rule import RuleOptions

__all__ = [
    "DATA_SUFFIXES",
    "FIGURE_SUFFIXES",
    "SUFFIXES",
    "AgreementOptions",
    "FileOptions",
    "JsonOption",
    "LawFileOptions",
    "LawOptions",
    "MethodOptions",
    "NetworkOptions",
    "PageOptions",
    "PoolOptions",
    "RuleOptions",
    "read_file",
    "takes_options",
]
