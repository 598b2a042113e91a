"""A setting as the query of a link, and back."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qsl, urlencode

from ntk_shortcuts.explorer.setting import AnySetting, Setting
from ntk_shortcuts.validation import require


def to_query(setting: Setting) -> str:
    """Every field that matters, so that a link stays what it is where defaults change.

    Example:
        >>> from ntk_shortcuts.explorer.setting import Setting
        >>> to_query(Setting(depth=0, rule="ridge"))
        'depth=0&weight_variance=2&bias_variance=0&rule=ridge&strength=0.01&num_samples=infinite'
    """
    controls = setting.controls().items()
    return urlencode({name: control.word(getattr(setting, name)) for name, control in controls if setting.matters(name)})


def from_query(query: str, default: AnySetting) -> AnySetting:
    """The setting of a query; fields that it does not have are the default's.

    Raises:
        ValueError: an unknown field, or a value that is none of its choices.

    Example:
        >>> from ntk_shortcuts.explorer.setting import Setting
        >>> from_query("depth=3&time=3", Setting()) == Setting(depth=3, time=3.0)
        True
    """
    controls = default.controls()
    found = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        require(name in controls, "the link", f"of the fields {', '.join(controls)}", name)
        found[name] = controls[name].read(name, text)
    return dataclasses.replace(default, **found)
