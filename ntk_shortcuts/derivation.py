r"""Derivations: symbolic results that are tied to the code by a label, checked against it, and drawn.

Each script in `derivations/` derives one result with sympy and holds it as `DERIVATION`. The docstring of the code that
implements it names the same label ("Label D1.1"); a test keeps both sides together. `ntk-shortcuts derive` runs them.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import multiprocessing
import pydoc
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ntk_shortcuts.validation import require

if TYPE_CHECKING:
    import sympy
    from matplotlib.figure import Figure


# A row of the index, and the label in it.
_ROW = re.compile(r"^(?=\| \[(D\d+\.\d+)\])(.*)$", re.M)


class Step(NamedTuple):
    """One step: what is done, in words with LaTeX between dollar signs, and the formula it ends in (sympy or LaTeX)."""

    text: str
    formula: sympy.Basic | str | None = None


class Check(NamedTuple):
    """Agreement of two independent routes to one number: the largest discrepancy found, and what is allowed."""

    name: str
    discrepancy: float
    tolerance: float = 1e-12

    @property
    def sampled(self) -> bool:
        """Whether one of the routes is random: judged by its standard error."""
        return "z-score" in self.name

    @property
    def passed(self) -> bool:
        """False for NaN as well."""
        return bool(self.discrepancy <= self.tolerance)


@dataclass(frozen=True)
class Derivation:
    """A labelled result.

    - `label`: such as "D1.2"; `title`; `source`: paper and equation, or "this project".
    - `statement`: the result in words and LaTeX between dollar signs; `assumptions`: under which it holds.
    - `code`: full names of what implements it; their docstrings name the label.
    - `steps`: derives the result symbolically and returns the steps; the last formula is the result.
    - `checks`: compares it with the code, and both with another route where there is one.
    - `figure`: draws it; None where there is nothing to see.
    - `builds_on`: labels of the results that it uses.
    - `evidence`: pages of the site that set it beside trained networks, by title.
    """

    label: str
    title: str
    statement: str
    assumptions: Sequence[str]
    code: Sequence[str]
    source: str
    steps: Callable[[], list[Step]]
    checks: Callable[[], list[Check]]
    figure: Callable[[], Figure] | None = None
    builds_on: Sequence[str] = ()
    evidence: Mapping[str, str] = field(default_factory=dict)


def compare(name: str, expected: Any, got: Any, tolerance: float = 1e-12) -> Check:
    r"""Check two arrays: the largest of \(|a-b|/\max(1,|a|)\), NaN where either has one.

    Example:
        >>> compare("a third", 1 / 3, 0.3333, tolerance=1e-3).passed
        True
    """
    expected, got = (np.asarray(values, dtype=float) for values in (expected, got))
    error = np.abs(expected - got) / np.maximum(1, np.abs(expected))
    return Check(name, float(np.max(error)), tolerance)


def told_apart(wrong: str, score: float, limit: float = 4.0) -> Check:
    """Check that something wrong is seen to be so: its z-score is above the limit that the right one is within.

    Example:
        >>> told_apart("twice the variance", score=8.0)
        Check(name='wrong on purpose, twice the variance: 4 / its z-score', discrepancy=0.5, tolerance=1.0)
    """
    return Check(f"wrong on purpose, {wrong}: {limit:g} / its z-score", limit / score if score else math.inf, 1.0)


def lines(*formulas: str) -> str:
    r"""One display of several lines of LaTeX, for what is wider than a page.

    Example:
        >>> print(lines("a=b,", "c=d"))
        \begin{aligned}&a=b,\\&c=d\end{aligned}
    """
    return r"\begin{aligned}&" + r"\\&".join(formulas) + r"\end{aligned}"


def derivations_folder() -> Path:
    """Where the scripts are: inside an installed package, beside it in a checkout."""
    package = Path(__file__).parent
    candidates = package / "derivations", package.parent / "derivations"
    found = [path for path in candidates if path.is_dir()]
    if not found:
        raise FileNotFoundError(f"no derivations in {candidates[0]} or {candidates[1]}: install ntk-shortcuts again")
    return found[0]


def load_derivations() -> dict[str, Derivation]:
    """All derivations by label, in order.

    Raises:
        ValueError: a label used twice.
    """
    found: dict[str, Derivation] = {}
    for path in derivations_folder().glob("d*.py"):
        derivation = _load(path).DERIVATION
        require(derivation.label not in found, "label", f"used once, in {path.name}", derivation.label)
        found[derivation.label] = derivation
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0][1:].split(".")]))


def _load(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(f"ntk_shortcuts_scripts.{path.stem}", path)
    if specification is None or specification.loader is None:
        raise ImportError(f"{path} is not a Python script")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module  # dataclasses look themselves up there
    sys.path.insert(0, str(path.parent))  # where Python looks first for what a script imports
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


def gallery() -> list[Callable[[], dict[str, Figure]]]:
    """What draws the figures of the gallery, by name; those of measurements only in a checkout, which holds their records."""
    module = _load(derivations_folder() / "gallery.py")
    benchmarks = derivations_folder().parent / "benchmarks"
    scripts = [benchmarks / name for name in module.MEASURED] if benchmarks.is_dir() else []
    predicted = [functools.partial(lambda name, draw: {name: draw()}, *item) for item in module.FIGURES.items()]
    return predicted + [functools.partial(lambda path: _load(path).figures(), path) for path in scripts]


def save_figure(figure: Figure, path: Path, pixels: float = math.inf) -> None:
    """A PNG of the same bytes each time, at most so many pixels wide."""
    # matplotlib writes its version into the file otherwise.
    figure.savefig(path, dpi=min(figure.dpi, pixels / figure.get_figwidth()), metadata={"Software": None})


def select(labels: Sequence[str]) -> list[Derivation]:
    """The derivations of these labels; "D2" stands for all that begin with "D2.", and "D2.4.5" for D2.4, whose step 5 it is.

    Raises:
        ValueError: an unknown label; the known ones are listed.
    """
    known = load_derivations()
    chosen: dict[str, Derivation] = {}
    for label in labels:
        matches = {name: known[name] for name in known if f"{name}.".startswith(f"{label}.") or label.startswith(f"{name}.")}
        allowed = f"one of {', '.join(known)}, a group such as D1, or the number of a formula such as D1.2.3"
        require(bool(matches), "label", allowed, label)
        chosen |= matches
    return list(chosen.values())


def formula(number: str) -> sympy.Basic | str:
    r"""The formula that pages cite by a number, "D2.4.5" for step 5 of D2.4: sympy's, or LaTeX where the step holds no more.

    The derivation is run for it, which takes a second or some.

    Raises:
        ValueError: no such derivation, or no formula of that number in it.

    Example:
        >>> formula("D2.4.5").rhs
        2*asin(2*q_12/(sqrt(2*q_11 + 1)*sqrt(2*q_22 + 1)))/pi
    """
    label = number.rpartition(".")[0]
    known = load_derivations()
    require(label in known, "number", "a label and a step, such as D2.4.5", number)
    found = {f"{label}.{place}": step.formula for place, step in enumerate(known[label].steps(), 1) if step.formula is not None}
    require(number in found, "number", f"one of {', '.join(found)}", number)
    return found[number]


def resolve(name: str) -> Any:
    """The object of a full name such as "ntk_shortcuts.linear.linear_bias".

    Raises:
        ValueError: there is none.
    """
    found = pydoc.locate(name)
    require(found is not None, "code", "the full name of an object", name)
    return found


def formula_latex(formula: sympy.Basic | str | None) -> str | None:
    """LaTeX of a step's formula."""
    if formula is None or isinstance(formula, str):
        return formula
    import sympy

    return sympy.latex(formula)


@dataclass(frozen=True)
class Derived:
    """A derivation that was run: its steps and checks, its page in Markdown, and the seconds it took."""

    derivation: Derivation
    steps: Sequence[Step]
    checks: Sequence[Check]
    page: str
    seconds: float

    def summary(self) -> dict[str, Any]:
        """Everything in plain lists, strings and numbers, for JSON."""
        entry = self.derivation
        plain = {name: getattr(entry, name) for name in ("label", "title", "statement", "source")}
        return {
            **plain,
            "assumptions": list(entry.assumptions),
            "code": list(entry.code),
            "steps": [{"text": step.text, "latex": formula_latex(step.formula)} for step in self.steps],
            "checks": [{**check._asdict(), "passed": check.passed} for check in self.checks],
            "seconds": self.seconds,
        }


def derive(derivation: Derivation, folder: Path | None = None) -> Derived:
    """Run the steps and the checks; with a folder, write LABEL.md and the figure LABEL.png there, the same bytes each time."""
    began = time.perf_counter()
    steps, checks = derivation.steps(), derivation.checks()
    page = _page(derivation, steps, checks, folder is not None and derivation.figure is not None)
    if folder is not None:
        (folder / f"{derivation.label}.md").write_text(page)
        if derivation.figure is not None:
            save_figure(derivation.figure(), folder / f"{derivation.label}.png")
    return Derived(derivation, steps, checks, page, time.perf_counter() - began)


def derive_all(folder: Path, gallery_folder: Path | None, progress: Callable[[int, int], Any]) -> list[Derived]:
    """All derivations, and the figures of the gallery, side by side in as many processes as there are processors.

    Args:
        gallery_folder: None: without the gallery, which takes half as long again.
        progress: called as `progress(done, total)` after each of them.
    """
    entries = load_derivations()
    folder.mkdir(parents=True, exist_ok=True)
    if gallery_folder is not None:
        gallery_folder.mkdir(parents=True, exist_ok=True)
    # Fresh processes: JAX's threads do not survive a fork.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        # The last ones take longest: what begins first has no others to wait for at the end.
        running = {label: pool.submit(_derived, label, folder) for label in reversed(entries)}
        drawn = [] if gallery_folder is None else [pool.submit(_drawn, i, gallery_folder) for i in range(len(gallery()))]
        for done, finished in enumerate(as_completed([*running.values(), *drawn]), 1):
            finished.result()
            progress(done, len(running) + len(drawn))
    # What a derivation is made of are functions of its script, which do not travel between processes.
    return [Derived(entry, *running[label].result()) for label, entry in entries.items()]


def _derived(label: str, folder: Path) -> tuple[list[Step], Sequence[Check], str, float]:
    """One derivation by its label: steps with their formulas as LaTeX, checks, page and seconds."""
    result = derive(_known()[label], folder)
    steps = [Step(step.text, formula_latex(step.formula)) for step in result.steps]
    return steps, result.checks, result.page, result.seconds


def _drawn(number: int, folder: Path) -> None:
    """The figures of one entry of the gallery."""
    for name, figure in gallery()[number]().items():
        save_figure(figure, folder / f"{name}.png", pixels=1100)


_known = functools.cache(load_derivations)


def _page(derivation: Derivation, steps: Sequence[Step], checks: Sequence[Check], drawn: bool) -> str:
    lines = [f"# {derivation.label}: {derivation.title}", "", derivation.statement, "", *_facts(derivation, steps, checks), ""]
    lines += ["## Assumptions", "", *[f"- {text}" for text in derivation.assumptions], "", "## Derivation", ""]
    for number, step in enumerate(steps, 1):
        lines += [f"{number}. {step.text}", ""]
        if step.formula is not None:
            # Indented, so that the display belongs to its step.
            lines += ["    $$", f"    {formula_latex(step.formula)}", "    $$", ""]
    if drawn:
        lines += ["## Figure", "", f"![{derivation.title}]({derivation.label}.png)", ""]
    lines += ["## Checks", "", "| check | discrepancy | allowed |", "| --- | --- | --- |"]
    lines += [f"| {_cell(check.name)} | {check.discrepancy:.1e} | {check.tolerance:.0e} |" for check in checks]
    return "\n".join(lines) + "\n"


def _facts(derivation: Derivation, steps: Sequence[Step], checks: Sequence[Check]) -> list[str]:
    """How it was verified, what it builds on, what implements it and whose it is."""
    lines = [f"- **Verified**: {'; '.join(_marks(derivation, steps, checks))}"]
    if derivation.builds_on:
        lines.append(f"- **Builds on**: {', '.join(f'[{label}]({label}.md)' for label in derivation.builds_on)}")
    lines.append(f"- **In the code**: {', '.join(f'`{name}`' for name in derivation.code)}")
    return [*lines, f"- **Source**: {derivation.source}"]


def _marks(derivation: Derivation, steps: Sequence[Step], checks: Sequence[Check]) -> list[str]:
    """By sympy, by numbers, against draws, against trained networks: what applies."""
    formulas = [step.formula for step in steps if step.formula is not None]
    printed = sum(not isinstance(formula, str) for formula in formulas)
    exact = [check.tolerance for check in checks if not check.sampled]
    marks = [f"symbolic (identities asserted by sympy, which prints {printed} of {len(formulas)} formulas)"]
    marks += [f"numeric ({len(exact)} checks, the strictest to {min(exact):.0e})"] if exact else []
    marks += ["against random draws (z-scores)"] if any(check.sampled for check in checks) else []
    return marks + [f"against training ([{title}]({page}))" for title, page in derivation.evidence.items()]


def _cell(text: str) -> str:
    """Text for a cell of a table, which a bar would end."""
    return text.replace("|", r"\|")


def index_markdown(results: Sequence[Derived], earlier: str = "") -> str:
    """The page of all results: a table with the check that comes nearest to its tolerance.

    Args:
        earlier: such a page; its rows of other derivations stay.
    """
    rows = dict(_ROW.findall(earlier)) | {result.derivation.label: _row(result) for result in results}
    listed = [rows[label] for label in load_derivations() if label in rows]
    lines = [
        "# Derivations",
        "",
        f"{len(listed)} results, each with its algebra asserted by sympy and its formulas compared with the code. "
        "`ntk-shortcuts derive LABEL` prints one;",
        "`ntk-shortcuts derive --all --output FOLDER` makes all pages and figures. Discrepancies are relative to",
        "max(1, |value|); those of sampled checks are z-scores.",
        "",
    ]
    lines += ["| label | result | check nearest to its tolerance | discrepancy | allowed | holds |", "| --- |" + " --- |" * 5]
    return "\n".join([*lines, *listed]) + "\n"


def _row(result: Derived) -> str:
    worst = max(result.checks, key=lambda check: math.inf if not check.passed else check.discrepancy / check.tolerance)
    holds = "yes" if all(check.passed for check in result.checks) else "no"
    entry = result.derivation
    return (
        f"| [{entry.label}]({entry.label}.md) | {entry.title} | {_cell(worst.name)} | {worst.discrepancy:.1e} "
        f"| {worst.tolerance:.0e} | {holds} |"
    )


def main(derivation: Derivation) -> None:
    """Run one script by itself: print the derivation, and write page and figure into the current folder."""
    result = derive(derivation, Path())
    print(result.page)
    failed = [check.name for check in result.checks if not check.passed]
    if failed:
        sys.exit(f"{derivation.label}: failed: {', '.join(failed)}")
