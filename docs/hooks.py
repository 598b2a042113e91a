"""What the site needs beyond mkdocs-material: MathJax from its Python package, and docstrings read as they are written."""

import importlib.resources
import re

import griffe
from mkdocs.structure.files import File

# One file, which needs no fonts and no network; its licence goes with it.
MATHJAX = {"javascripts/tex-svg.js": "es5/tex-svg.js", "javascripts/MATHJAX-LICENSE.txt": "LICENSE"}
ROLE = re.compile(r":(?:class|func|meth|mod):<code>(~?)([\w.]+)</code>")


def on_files(files, config):
    package = importlib.resources.files("mathjax") / "static" / "mathjax"
    for target, source in MATHJAX.items():
        files.append(File.generated(config, target, content=(package / source).read_bytes()))
    return files


def on_page_content(html, page, config, files):
    """Docstrings say :func:`name`; on the site that is a link, where the name is documented."""

    def link(match):
        short, name = match.groups()
        shown = name.rpartition(".")[2] if short else name
        target = name if name.startswith("ntk_shortcuts") else f"ntk_shortcuts.{name}"
        return f'<autoref identifier="{target}" optional><code>{shown}</code></autoref>'

    return ROLE.sub(link, html)


class ExampleSections(griffe.Extension):
    """Docstrings say "Example:", which Griffe knows as "Examples:" only; else the prompts of doctests become quotations."""

    def on_instance(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
