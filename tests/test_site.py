"""What the pages promise: each flag, option, issue, label, source and formula is there, and reports open with their figure."""

import ast
import inspect
import pathlib
import re
import tomllib

import pytest
import typer

import ntk_shortcuts as ns
from ntk_shortcuts import issues
from ntk_shortcuts.cli.app import app
from ntk_shortcuts.methods import METHODS

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text() for path in DOCS.rglob("*.md")}
# Their tables are their records: the scripts write the pages.
TABLES_ONLY = ("evidence/agreement.md", "evidence/extremes.md")
OTHERS = ("evidence/index.md", "evidence/gallery.md", *TABLES_ONLY)
# What nothing derives: the law, its inputs, what is measured, an operator, and the risk that a flow goes down.
DEFINITIONS = (
    r"z\mid y\sim N(y\mu,\Sigma)",
    r"x=f_{\eta_s}(\alpha_sw_sz_s)",
    r"\begin{aligned}&\mathrm{reliance}(f)=",
    r"(Tf)(z)=\int",
    r"\dot\theta=-\nabla_\theta",
)
EVIDENCE = sorted(name for name in PAGES if name.startswith("evidence/") and name not in OTHERS)


def _hook(name):
    """Names of a hook of the site."""
    path = DOCS / "hooks" / f"{name}.py"
    found = {"__file__": str(path), "__name__": name}
    exec(compile(path.read_text(), str(path), "exec"), found)
    return found


def test_every_command_and_flag_is_on_the_page():
    page, program = _hook("commands")["commands"](), typer.main.get_command(app)
    for name, command in program.commands.items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        flags = [flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)]
        assert flags and [flag for flag in flags if flag not in section] == [], name
    assert "<!-- commands -->" in PAGES["reference/commands.md"]


def test_every_option_of_every_method_is_described():
    for cls in METHODS.values():
        options = [name for name in inspect.signature(cls).parameters]
        assert [name for name in options if not re.search(rf"\b{name}\b", cls.__doc__)] == [], cls
        assert f"::: ntk_shortcuts.{cls.__name__}\n" in PAGES["reference/methods.md"]


def test_every_kind_of_issue_is_in_troubleshooting():
    kinds = {kind.__name__ for kind in issues.Issue.__subclasses__() if kind.__module__.startswith("ntk_shortcuts.")}
    page = PAGES["reference/troubleshooting.md"]
    assert {kind for kind in kinds if f"[{kind}](issues.md#{kind.lower()})" not in page} == set()


def test_what_troubleshooting_quotes_is_printed_by_the_package():
    """Between the dots, each part stands in some text of the package, where numbers and names may come between."""
    texts = []
    for path in (ROOT / "ntk_shortcuts").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    said = "\n".join(texts)
    quoted = re.findall(r"^\| (\".*?) \|", PAGES["reference/troubleshooting.md"], re.M)
    parts = [
        part.strip(" ,;.") for row in quoted for text in re.findall(r'"([^"]+)"', row) for part in re.split(r"\.\.\.|; ", text)
    ]
    assert len(parts) > 60
    unknown = [part for part in parts if part and not re.search(_loosely(part), said)]
    assert unknown == []


def _loosely(part):
    """Names, numbers and values may be filled in: "labels must be" is `{name} must be`."""
    part = re.sub(r"^((\w+ )?must be|got) ?", "", part)  # what `require` puts together
    part = part.replace("{-1, +1}", "").removeprefix("in ").strip()  # the braces of an f-string
    words = [re.escape(word) for word in part.split()]
    return r"\s+".join(rf"(?:{word}|[^\s]*\0[^\s]*)" for word in words)


@pytest.mark.parametrize("name", EVIDENCE)
def test_reports_open_with_their_figure_and_its_data(name):
    opening = "\n".join(PAGES[name].split("\n")[1:8])
    figure = re.search(r"!\[[^\]]{10,}\]\(\.\./figures/(\w+)\.png\)", opening)
    assert figure and (DOCS / "figures" / f"{figure.group(1)}.png").exists()
    evidence = _hook("evidence")
    records = {f"../data/{evidence['name_of'](path)}" for path in evidence["RECORDS"]}
    linked = set(re.findall(r"\((\.\./data/[^)]+)\)", opening))
    assert linked and linked <= records


def test_formulas_of_pages_are_formulas_of_derivations():
    formulas = _hook("formulas")["formulas"]
    printed = [macro for text in PAGES.values() for macro in re.findall(r"\{\{ (D\d+\.\d+)\.(\d+) \}\}", text)]
    assert len(printed) > 45
    assert [macro for macro in printed if macro[1] not in formulas(macro[0])] == []


def test_displays_on_pages_are_printed_or_define_something():
    typed = [found for text in PAGES.values() for found in re.findall(r"^\\\[(.*)", text, re.M)]
    assert sorted(next((d for d in DEFINITIONS if found.startswith(d)), found) for found in typed) == sorted(DEFINITIONS)


def test_labels_have_pages_and_pages_name_labels_that_exist():
    labels = {name.removeprefix("derivations/").removesuffix(".md") for name in PAGES if re.match(r"derivations/D", name)}
    assert all(f"[{label}]({label}.md)" in PAGES["derivations/index.md"] for label in labels)
    named = {label for text in PAGES.values() for label in re.findall(r"\bD\d+\.\d+\b", text)}
    assert named == labels


def test_every_source_of_a_derivation_is_in_the_bibliography():
    entries = _hook("citations")["entries"]()
    cited = {
        (first, year)
        for name, text in PAGES.items()
        if re.match(r"derivations/D", name)
        for line in re.findall(r"^- \*\*Source\*\*: (.*)$", text, re.M)
        for first, year in re.findall(r"([A-Z][\w-]+)(?: et al\.|(?:, [A-Z]\w+)*(?: & [A-Z]\w+)?),? \(?(\d{4})", line)
    }
    assert len(cited) > 15 and cited - set(entries) == set()


def test_blocks_are_run_or_say_by_their_kind_that_they_are_not():
    """`python` is run; `py` is not (the page says why), and `sh`, `text`, `toml` are no Python."""
    for name, text in PAGES.items():
        kinds = re.findall(r"^```([\w{.}]*)\n.*?^```$", text, re.M | re.S)
        assert set(kinds) <= {"python", "py", "sh", "text", "toml", ""}, name


def test_the_version_stands_in_one_file():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert (
        "version" in project["project"]["dynamic"] and project["tool"]["hatch"]["version"]["path"] == "ntk_shortcuts/version.py"
    )
    assert "version:" not in (ROOT / "CITATION.cff").read_text().replace("cff-version:", "")
    assert f"## [{ns.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
