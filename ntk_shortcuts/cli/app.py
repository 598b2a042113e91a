"""The program `ntk-shortcuts`: its commands, and how it ends."""

from __future__ import annotations

import atexit
import gc
import sys
import warnings
from typing import Annotated, Any

import typer

from ntk_shortcuts.cli.audit import audit
from ntk_shortcuts.cli.command import Command
from ntk_shortcuts.cli.derive import derive
from ntk_shortcuts.cli.explore import explore
from ntk_shortcuts.cli.info import info
from ntk_shortcuts.cli.map import map_command
from ntk_shortcuts.cli.predict import predict
from ntk_shortcuts.cli.report import report
from ntk_shortcuts.cli.spectrum import spectrum
from ntk_shortcuts.cli.sweep import sweep_command
from ntk_shortcuts.cli.validate import validate

COMMANDS = {
    "predict": predict,
    "audit": audit,
    "report": report,
    "map": map_command,
    "spectrum": spectrum,
    "explore": explore,
    "sweep": sweep_command,
    "derive": derive,
    "validate": validate,
    "info": info,
}

app = typer.Typer(
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    # Options are known by either spelling too: messages call --num-samples num_samples, as Python does.
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": lambda word: word.replace("_", "-")},
    help="Predict the shortcut bias of neural networks analytically, without training them.",
)
for name, function in COMMANDS.items():
    app.command(name, cls=Command)(function)

# typer re-exports BadParameter, but not its base for everything that is wrong with a command line. Newer
# versions carry their own copy of click, so importing click's would miss it.
_UsageProblem = typer.BadParameter.__mro__[2]


def _hurry() -> None:
    """Python looks for garbage rarely, and not when the process ends: of the 8 s of README's map that took one."""
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Example:
        >>> main(["--version"])
        ntk-shortcuts ...
        0
    """
    if argv is None:
        _hurry()
    command = typer.main.get_command(app)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        # Whatever the filters of the process that calls: deprecations in libraries are for their authors.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            status = command.main(
                args=sys.argv[1:] if argv is None else list(argv),
                prog_name="ntk-shortcuts",
                standalone_mode=False,
            )
        except _UsageProblem as problem:  # pyright: ignore[reportGeneralTypeIssues]  typer names no common base
            return _fail(problem.format_message())
        except ValueError as problem:
            return _fail(str(problem))
        except OSError as problem:
            return _fail(str(problem), status=1)
        except (KeyboardInterrupt, typer.Abort):
            return _fail("interrupted", status=130)
    # Commands return None, --help and --version their status.
    return status if isinstance(status, int) else 0


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from ntk_shortcuts.version import __version__

        print(f"ntk-shortcuts {__version__}")
        raise typer.Exit()
    if context.invoked_subcommand is None:
        raise ValueError(f"command must be one of {', '.join(COMMANDS)} (see ntk-shortcuts --help); got none")


def _show_warning(message: Any, *_: Any, **__: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)


def _fail(message: str, status: int = 2) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status
