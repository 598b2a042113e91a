"""Groups of options: frozen dataclasses whose annotated fields are the options, and commands that take them filled."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any


def takes_options(**defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator that makes a function of groups one of all their options, from which Typer builds the command line.

    The options keep the order of the groups and of their fields.

    Args:
        **defaults: of options that this command starts from another value than their group says.

    Raises:
        TypeError: two groups have an option of the same name, or a default is of none.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Circle:
        ...     radius: float = 1.0
        >>> @takes_options(radius=2.0)
        ... def area(circle: Circle) -> None:
        ...     print(3 * circle.radius**2)
        >>> area.__signature__, area(radius=1.5)
        6.75
        (<Signature (*, radius: float = 2.0)>, None)
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        groups = {name: group for name, group in typing.get_type_hints(command).items() if name != "return"}
        options = [_parameter(group, field, defaults) for group in groups.values() for field in dataclasses.fields(group)]
        names = [option.name for option in options]
        if len(set(names)) < len(names) or not set(defaults) <= set(names):
            raise TypeError(f"options must have different names, and defaults one of them; got {names} and {list(defaults)}")

        @functools.wraps(command)
        def run(**given: Any) -> None:
            filled = {}
            for name, group in groups.items():
                filled[name] = group(**{field.name: given[field.name] for field in dataclasses.fields(group)})
            command(**filled)

        run.__signature__ = Signature(options)  # type: ignore[attr-defined]
        run.__annotations__ = {option.name: option.annotation for option in options}
        return run

    return decorate


def _parameter(group: Any, field: dataclasses.Field, defaults: dict[str, Any]) -> Parameter:
    default = defaults.get(field.name, Parameter.empty if field.default is dataclasses.MISSING else field.default)
    annotation = typing.get_type_hints(group, include_extras=True)[field.name]
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
