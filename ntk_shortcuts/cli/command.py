"""What Typer's parser leaves unsaid: an option that is short of values takes the next option for one."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from typer.core import TyperCommand

_COUNTS = {2: "two", 3: "three"}
_FULL_NAMES = {"S C": "shortcut core"}


class Command(TyperCommand):
    """A command whose options say what they take, where a value is missing or is one too many.

    An option of several values takes all words up to the next option, so it has no place in a command with arguments.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:
            # A shell completes a line that is not finished.
            return super().parse_args(ctx, args)
        options = {flag: option for option in self.params for flag in (*option.opts, *option.secondary_opts)}
        for place, word in enumerate(args):
            flag, equals, attached = word.partition("=")
            option: Any = options.get(flag.replace("_", "-"))
            if option is None or option.param_type_name != "option" or option.is_flag:
                continue
            name, following = flag.removeprefix("--"), args[place + 1 :]
            values = ([attached] if equals else []) + list(takewhile(lambda w: not _is_option(w), following))
            if option.nargs > 1 and len(values) != option.nargs:
                raise ValueError(f"{name} must be {_described(flag, option)}; got {' '.join(values) or 'none'}")
            if not values and following and following[0] in options:
                raise ValueError(f"{name} must be given a value; got {following[0]}, the next option")
        return super().parse_args(ctx, args)


def _described(flag: str, option: Any) -> str:
    """Such as "two numbers, shortcut core, as in --amplification 4 1"."""
    example = option.default if isinstance(option.default, tuple | list) else ()
    kind = "integers" if example and all(isinstance(value, int) for value in example) else "numbers"
    shown = f", as in {flag} {' '.join(f'{value:g}' for value in example)}" if example else ""
    return f"{_COUNTS[option.nargs]} {kind}, {_FULL_NAMES.get(option.metavar, option.metavar)}{shown}"


def _is_option(word: str) -> bool:
    """Whether a word is an option, and no value such as -4 or -inf."""
    try:
        float(word)
    except ValueError:
        return word.startswith("-")
    return False
