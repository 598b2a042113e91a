"""What the command line knows of the methods: which options each has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def options_for(name: str, given: dict[str, Any], supplied: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Options to hand on to a method.

    Args:
        name: the method's.
        given: what the user gave; each must be an option of the method.
        supplied: what the command line can make; a method is given those of which it has the option.

    Raises:
        ValueError: an unknown method, or an option that it does not have, with the methods that do.

    Example:
        >>> options_for("leading_order", {"regime": "quadratic"}, {"key": lambda: "never made"})
        {'regime': 'quadratic'}
        >>> options_for("population", {"batch_size": 16}, {})
        Traceback (most recent call last):
        ValueError: batch_size must be given with --method population_flow; got method="population"
    """
    from ntk_shortcuts.methods import known_methods, method_options
    from ntk_shortcuts.validation import require

    accepted = {method: method_options(method) for method in known_methods()}
    require(name in accepted, "method", f"one of {', '.join(accepted)}", name)
    for option in given:
        if option not in accepted[name]:
            having = " or ".join(method for method in accepted if option in accepted[method])
            raise ValueError(f'{option} must be given with --method {having}; got method="{name}"')
    return given | {option: make() for option, make in supplied.items() if option in accepted[name]}
