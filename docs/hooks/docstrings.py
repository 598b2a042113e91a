"""What the site needs beyond mkdocs-material: MathJax from its Python package, docstrings and names read as they are meant."""

import importlib.resources
import re

import griffe
from mkdocs.structure.files import File

# One file, which needs no fonts and no network; its licence goes with it.
MATHJAX = {"javascripts/tex-svg.js": "es5/tex-svg.js", "javascripts/MATHJAX-LICENSE.txt": "LICENSE"}
WRITTEN_ROLE = re.compile(r":(class|func|meth|mod|attr):`(~?)([\w.]+)`")
_EITHER = griffe.ParameterKind.positional_or_keyword
ROLE = re.compile(r":(?:class|func|meth|mod|attr):<code>(~?)([\w.]+)</code>")


def on_files(files, config):
    package = importlib.resources.files("mathjax") / "static" / "mathjax"
    for target, source in MATHJAX.items():
        files.append(File.generated(config, target, content=(package / source).read_bytes()))
    return files


def on_page_content(html, page, config, files):
    """Docstrings say :func:`name`; on the site that is a link, where the name is documented."""

    def link(match):
        short, name = match.groups()
        shown = name.rpartition(".")[2] if short else name.removeprefix("ntk_shortcuts.")
        return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'

    return ROLE.sub(link, html)


class ExampleSections(griffe.Extension):
    """Docstrings say "Example:", which Griffe knows as "Examples:" only; else the prompts of doctests become quotations."""

    def on_instance(self, *, obj, **kwargs):
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)


class NamesInScope(griffe.Extension):
    """Roles in docstrings name what the module or the class has; the site links full names."""

    def on_package(self, *, pkg, **kwargs):
        for obj in _objects(pkg):
            if obj.docstring:
                obj.docstring.value = WRITTEN_ROLE.sub(lambda role, obj=obj: _full_role(role, obj), obj.docstring.value)


class FieldsAsParameters(griffe.Extension):
    """Modules of equinox and named tuples are made with their fields, which have types and defaults."""

    def on_package(self, *, pkg, **kwargs):
        classes = [obj for obj in _objects(pkg) if obj.is_class]
        families = {cls: [cls, *cls.mro()] for cls in classes}
        for cls, family in families.items():
            bases = {str(base) for relative in family for base in relative.bases}
            if bases & {"eqx.Module", "NamedTuple"} and not any("__init__" in relative.members for relative in family):
                fields = {field.name: field for relative in reversed(family) for field in _fields(relative)}
                parameters = griffe.Parameters(griffe.Parameter("self"), *map(_parameter, fields.values()))
                cls.made_with = griffe.Function("__init__", parameters=parameters, returns="None")
        for cls in classes:
            if hasattr(cls, "made_with"):
                cls.set_member("__init__", cls.made_with)


class FunctionsBeforeModules(griffe.Extension):
    """A namespace that takes a function from the module of the same name has the function, as at run time."""

    def on_package(self, *, pkg, **kwargs):
        modules = [obj for obj in _objects(pkg) if obj.is_module]
        functions = {
            hidden.path: hidden.members[name]
            for module in modules
            for name, hidden in module.members.items()
            if not hidden.is_alias and hidden.is_module and name in (module.exports or ()) and name in hidden.members
        }
        members = [(module, name, member) for module in modules for name, member in module.members.items()]
        for _, _, member in members:
            if member.is_alias and member.target_path.startswith(tuple(f"{path}." for path in functions)):
                member.resolve_target()  # through the module, while it is found there
        for module, name, member in members:
            meant = functions.get(member.target_path if member.is_alias else member.path)
            if meant is not None:
                module.members[name] = griffe.Alias(name, meant, parent=module)


def _objects(obj):
    yield obj
    for member in obj.members.values():
        if not member.is_alias:
            yield from _objects(member)


def _fields(cls):
    attributes = [member for member in cls.members.values() if not member.is_alias and member.is_attribute]
    return [field for field in attributes if field.annotation is not None and "instance-attribute" in field.labels]


def _parameter(field):
    default = field.value
    if isinstance(default, griffe.ExprCall) and str(default.function) == "eqx.field":
        given = {part.name: part.value for part in default.arguments}
        default = given.get("default", "..." if "default_factory" in given else None)
    return griffe.Parameter(field.name, annotation=field.annotation, kind=_EITHER, default=default)


def _full_role(role, obj):
    kind, short, name = role.groups()
    scope = obj
    while scope is not None and name.split(".")[0] not in scope.members:
        scope = scope.parent
    if scope is None or name.startswith("ntk_shortcuts."):
        return role.group()
    return f":{kind}:`{short or '~'}{scope.path}.{name}`"
