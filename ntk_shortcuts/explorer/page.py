"""The page of one browser window: choices on one side, figures on the other, and what runs between them."""

from __future__ import annotations

import dataclasses
import functools
import html
import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import panel

from ntk_shortcuts.explorer.code import Code
from ntk_shortcuts.explorer.controls import Control
from ntk_shortcuts.explorer.headline import headline, no_number, notes, problem
from ntk_shortcuts.explorer.query import from_query, to_query
from ntk_shortcuts.explorer.setting import Setting
from ntk_shortcuts.explorer.subjects import Subject
from ntk_shortcuts.explorer.views.base import View, save_tool
from ntk_shortcuts.explorer.work import Newest
from ntk_shortcuts.results.prediction import Prediction

_HERE = files("ntk_shortcuts.explorer")
_STYLES = (_HERE / "panes.css").read_text()
# While a slider moves, only the prediction follows; the other figures wait until it has stayed for so many seconds.
_QUIET = 0.15


class Page:
    """A window: the newest setting, and the threads that answer it.

    Args:
        subject: what it is about.

    The window is the one that Panel is making; its address may have a setting.
    """

    def __init__(self, subject: Subject):
        document: Any = panel.state.curdoc
        self._subject, self._document = subject, document
        self._views = subject.views()
        self._drawn: dict[View, Any] = {}
        self._setting, self._refused = _asked_for(document.session_context.request, subject.default)
        self._controls = {name: widget(control, self._setting, name) for name, control in self._setting.controls().items()}
        for name, control in self._controls.items():
            control.param.watch(functools.partial(self._choose, name), "value")
        self._headline, self._status, self._notes, self._code = (_pane() for _ in range(4))
        self._address = panel.widgets.TextInput(visible=False)
        self._address.jscallback(value="history.replaceState(null, '', '?' + cb_obj.value)")
        self._now, self._later = Newest("explorer: prediction"), Newest("explorer: figures")
        document.on_session_destroyed(lambda _: self._close())
        # What the threads show must find the window there.
        panel.state.onload(self._follow)

    def template(self) -> panel.Template:
        """The page as Panel serves it."""
        page = panel.Template((_HERE / "page.html").read_text())
        page.add_variable("title", self._subject.title)
        page.add_variable("views", [f"view_{i}" for i in range(len(self._views))])
        page.add_panel("controls", self._sections())
        for name in ("headline", "status", "notes", "code", "address"):
            page.add_panel(name, getattr(self, f"_{name}"))
        for i, view in enumerate(self._views):
            page.add_panel(f"view_{i}", _card(view))
        return page

    def _sections(self) -> panel.Column:
        """Controls under the headings of their sections."""
        column = panel.Column(sizing_mode="stretch_width")
        controls = self._setting.controls()
        for section in self._setting.sections:
            column.append(_pane(f"<h3>{section}</h3>"))
            column.extend(self._controls[name] for name, control in controls.items() if control.section == section)
        return column

    def _choose(self, name: str, event: Any) -> None:
        chosen = self._setting.controls()[name].read(name, event.new)
        self._setting = dataclasses.replace(self._setting, **{name: chosen})
        self._refused = ""
        self._follow()

    def _follow(self) -> None:
        """Have the newest setting answered, and nothing older."""
        self._show_status("prediction")
        for name, control in self._controls.items():
            control.visible = self._setting.matters(name) and len(self._setting.controls()[name].values) > 1
        self._later.put(())
        self._now.put(self._predict(self._setting))

    def _predict(self, setting: Setting) -> Iterator[None]:
        started = time.perf_counter()
        try:
            prediction = self._subject.predict(setting)
        except Exception as error:  # whatever it is, the page says it, and goes on
            self._show(self._show_failure, setting, error)
            return
        self._show(self._show_prediction, setting, prediction, time.perf_counter() - started)
        if not self._now.superseded:  # else the figures of a setting that is gone would delay the next prediction
            self._later.put(self._answer(setting))
        yield

    def _answer(self, setting: Setting) -> Iterator[None]:
        """What all figures need, by turns, so that each has something to show soon."""
        time.sleep(_QUIET)
        yield
        running = {view: view.answers(setting) for view in self._views}
        while running:
            for view, answers in list(running.items()):
                self._show(self._show_status, view.title)
                try:
                    answer = next(answers)
                except StopIteration:
                    del running[view]
                    continue
                except Exception as error:
                    del running[view]
                    self._show(self._add_note, setting, problem(error, view.title))
                    continue
                self._show(self._show_answer, setting, view, answer)
                yield
        self._show(self._show_status, "")
        self._subject.warm_up()

    def _show(self, function: Callable[..., None], *arguments: Any) -> None:
        """Have it done on the event loop, its changes in one message."""

        def at_once() -> None:
            with panel.io.hold(self._document):
                function(*arguments)

        self._document.add_next_tick_callback(at_once)

    def _show_prediction(self, setting: Setting, prediction: Prediction, seconds: float) -> None:
        self._show_setting(setting, headline(prediction, to_query(setting)), self._refused + notes(prediction, seconds))
        for view in self._views:
            view.mark(setting, prediction)

    def _show_answer(self, setting: Setting, view: View, answer: Any) -> None:
        if setting == self._setting and answer is not self._drawn.get(view):
            self._drawn[view] = answer
            view.draw(answer)

    def _show_status(self, title: str) -> None:
        self._status.object = f'<span class="status">{f"computing: {title}" if title else "ready"}</span>'

    def _show_failure(self, setting: Setting, error: Exception) -> None:
        """No number of an earlier setting stays; the figures do, until there is another."""
        self._show_setting(setting, no_number(to_query(setting)), self._refused + problem(error, "prediction"))
        self._show_status("")

    def _show_setting(self, setting: Setting, number: str, noted: str) -> None:
        self._headline.object, self._notes.object = number, noted
        self._code.object = _code(self._subject.code(setting))
        self._address.value = to_query(setting)

    def _add_note(self, setting: Setting, note: str) -> None:
        if setting == self._setting:
            self._notes.object += note

    def _close(self) -> None:
        for worker in (self._now, self._later):
            worker.stop()


def widget(control: Control, setting: Setting, name: str) -> Any:
    """A slider for numbers, a list for words, over the words of the values."""
    value = getattr(setting, name)
    kind = panel.widgets.DiscreteSlider if control.numbers else panel.widgets.Select
    return kind(
        name=control.label,
        options=[control.word(one) for one in control.including(value)],
        value=control.word(value),
        css_classes=[f"control-{name}"],
        sizing_mode="stretch_width",
        margin=(2, 0),
    )


def _asked_for(request: Any, default: Setting) -> tuple[Setting, str]:
    """The setting of the window's address, or the default and what is wrong with the address."""
    given = ((name, value) for name, values in request.arguments.items() for value in values)
    query = urlencode([(name, value.decode(errors="replace")) for name, value in given])
    try:
        return from_query(query, default), ""
    except ValueError as error:
        return default, problem(error, "link")


def _card(view: View) -> panel.Column:
    """A view under its heading, with what saves it."""
    button = panel.widgets.Button(
        name="SVG", description="Save the figure", button_style="outline", width=52, height=26, margin=0
    )
    button.js_on_click(args={"save": save_tool(view.figure)}, code="save.do.emit()")
    head = panel.Row(_pane(f"<h2>{view.title}</h2>"), button, sizing_mode="stretch_width")
    figure = panel.pane.Bokeh(view.figure, sizing_mode="stretch_width")
    return panel.Column(head, figure, _pane(f"<p>{view.caption}</p>"), sizing_mode="stretch_width")


def _code(code: Code) -> str:
    """Both texts, each under a button that copies it, and one for the link."""
    copy = "navigator.clipboard.writeText({}); this.textContent = 'copied'"
    text = "this.parentElement.nextElementSibling.textContent"
    parts = [
        f'<h3>{name} <button onclick="{copy.format(text)}">copy</button></h3>'
        f'<pre class="{name.lower()}">{html.escape(said)}</pre>'
        for name, said in (("Python", code.python), ("Command", code.shell))
    ]
    link = f'<h3>Link <button onclick="{copy.format("location.href")}">copy</button></h3>'
    return f"<h2>What you see, as code</h2>{''.join(parts)}{link}<p>The address of this page holds the setting.</p>"


def _pane(text: str = "") -> panel.pane.HTML:
    return panel.pane.HTML(text, stylesheets=[_STYLES], sizing_mode="stretch_width", margin=0)
