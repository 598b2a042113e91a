"""The first number of a prediction, what stands beside it, and what keeps it from being trusted, as HTML."""

from __future__ import annotations

import html

from ntk_shortcuts.results.prediction import Prediction

_SIGNED = ("bias", "reliance")
_ERRORS = {"discretization_error": "refinement moved it by", "bias_standard_error": "standard error"}


def headline(prediction: Prediction, query: str) -> str:
    """The number that the prediction is asked for first, and the query of the setting that it is of.

    Example:
        >>> import ntk_shortcuts as ns
        >>> arguments = ns.GenerativeModel(), ns.MLP(0), ns.GradientFlow(30.0)
        >>> headline(ns.predict_bias(*arguments, method="leading_order"), "depth=0")
        '<div class="number"><span>shortcut bias</span><span class="first" data-query="depth=0">...</span></div>'
    """
    name, value = next(iter(prediction.numbers().items()))
    first = f'<span class="first" data-query="{html.escape(query)}">{_number(name, value)}</span>'
    return f'<div class="number"><span>{_words(name)}</span>{first}</div>'


def notes(prediction: Prediction, seconds: float) -> str:
    """The other numbers, how they were found, and what keeps them from being trusted."""
    beside = [f"{_words(name)} <b>{_number(name, value)}</b>" for name, value in list(prediction.numbers().items())[1:]]
    errors = prediction.diagnostics
    beside += [f"{words} {errors[name]:.1g}" for name, words in _ERRORS.items() if errors.get(name)]
    beside += [f"method {prediction.method}", f"{seconds:.2f} s"]
    issues = "".join(f"<li><b>{issue.kind}</b>: {html.escape(str(issue))}</li>" for issue in prediction.issues)
    listed = f'<ul class="issues">{issues}</ul>' if issues else ""
    return f'<div class="beside">{" · ".join(beside)}</div>{listed}'


def no_number(query: str) -> str:
    """In the place of a number, where there is none."""
    return f'<div class="number"><span class="first" data-query="{html.escape(query)}">\N{EM DASH}</span></div>'


def problem(error: Exception, of: str) -> str:
    """What there is not: the prediction, a figure by its title, or the setting of a link; and why.

    Example:
        >>> problem(ValueError("depth must be an integer from 0 to 6; got '9'"), "link")
        '<div class="problem"><b>Not shown: link.</b> depth must be an integer from 0 to 6; got &#x27;9&#x27;</div>'
    """
    said = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return f'<div class="problem"><b>Not shown: {html.escape(of)}.</b> {html.escape(" ".join(said.split()))}</div>'


def _words(name: str) -> str:
    return "shortcut bias" if name == "bias" else html.escape(name.replace("_", " "))


def _number(name: str, value: float) -> str:
    return f"{value:+.3f}" if any(word in name for word in _SIGNED) else f"{value:.3f}"
