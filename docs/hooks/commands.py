"""The page of the command line is made from the program itself: every command, argument and flag, with its default."""

from __future__ import annotations

from typing import Any

import typer

MARKER = "<!-- commands -->"


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Put the commands in the place of the marker."""
    return markdown.replace(MARKER, commands()) if MARKER in markdown else markdown


def commands() -> str:
    """Markdown of all commands."""
    from ntk_shortcuts.cli.app import app

    program: Any = typer.main.get_command(app)
    context = typer.Context(program, info_name="ntk-shortcuts")
    return "\n".join(_command(name, program.get_command(context, name), context) for name in program.list_commands(context))


def _command(name: str, command: Any, parent: Any) -> str:
    context = typer.Context(command, info_name=name, parent=parent)
    rows = [_row(record) for parameter in command.params if (record := parameter.get_help_record(context))]
    usage = command.get_usage(context).removeprefix("Usage: ")
    table = ["| flag | meaning |", "| --- | --- |", *rows]
    return "\n".join([f"## {name}", "", command.help or "", "", f"`{usage}`", "", *table, ""])


def _row(record: tuple[str, str]) -> str:
    names, meaning = (text.replace("|", r"\|") for text in record)
    return f"| `{names}` | {meaning} |"
