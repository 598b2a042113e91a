"""The server of the page, for this machine alone."""

from __future__ import annotations

import socket
import threading
import warnings
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import panel

from ntk_shortcuts.explorer.page import Page
from ntk_shortcuts.explorer.subjects import OwnSamples, Subject, TwoFeatures
from ntk_shortcuts.issues import UntrustedPredictionWarning

ADDRESS = "127.0.0.1"


def serve(path: Path | None = None, port: int = 0, show: bool = True, ready: Callable[[str], None] = print) -> None:
    """Serve the page until interrupted.

    Args:
        path: of a pool, an `.npz`; None: the law of two features.
        port: of the loopback address; 0: one that is free.
        show: open the page in the browser.
        ready: called with the page's address, once it is served.

    Raises:
        ValueError: a file that holds no pool.
        OSError: the port is taken.
    """
    subject: Subject = TwoFeatures() if path is None else OwnSamples(path)
    # The page says what a prediction's issues are.
    warnings.simplefilter("ignore", UntrustedPredictionWarning)
    threading.Thread(target=subject.predict, args=(subject.default,), name="explorer: first answer", daemon=True).start()
    port = port or _free_port()
    url = f"http://{ADDRESS}:{port}/"
    origins = [f"{host}:{port}" for host in (ADDRESS, "localhost")]
    pages: dict[str, Any] = {"/": lambda: _window(subject)}
    options = {"address": ADDRESS, "port": port, "websocket_origin": origins, "location": False, "title": subject.title}
    server = panel.io.server.get_server(pages, show=False, start=False, **options)
    server.start()
    ready(url)
    if show:
        webbrowser.open(url)
    try:
        server.io_loop.start()
    except KeyboardInterrupt:
        server.stop()


def _window(subject: Subject) -> None:
    """The page in the window that Panel is making."""
    document: Any = panel.state.curdoc
    with document.models.freeze():  # Bokeh would look through all models whenever one is added
        Page(subject).template().server_doc(document, subject.title, location=False)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((ADDRESS, 0))
        return found.getsockname()[1]
