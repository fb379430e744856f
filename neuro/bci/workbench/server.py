"""The server of the workbench: this machine only, and only with the token."""

import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from functools import partial
from typing import Any

from neuro.bci.report import session_report
from neuro.bci.workbench.bench import Bench
from neuro.bci.workbench.guard import Guard
from neuro.errors import ConfigError, MissingDependencyError, NeuroError

__all__ = ["application", "serve"]

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_TITLE = "neuro workbench"


def application(bench: Bench, token: str, name: str = "neuro-bench") -> Guard:
    """The workbench as an ASGI application behind its guard; once a process.

    Parameters
    ----------
    bench : Bench
        What it shows.
    token : str
        Needed to get in.
    name : str
        Of the cookie.

    Raises
    ------
    MissingDependencyError
        If NiceGUI is not installed.
    """
    try:
        from fastapi import FastAPI
        from fastapi.responses import HTMLResponse, PlainTextResponse
        from nicegui import ui
    except ImportError as error:
        raise MissingDependencyError(
            "The workbench needs NiceGUI 3 or later: pip install 'neuro-fm[bci]'."
        ) from error
    from neuro.bci.workbench.page import show

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/report")
    def report() -> Any:
        try:
            path = session_report(bench.workspace, bench.workspace.folder / "report.html")
        except NeuroError as error:
            return PlainTextResponse(str(error), status_code=409)
        return HTMLResponse(path.read_text(encoding="utf-8"))

    def root(step: str = "", large: str = "") -> None:
        show(bench, step, large == "1")

    ui.run_with(
        app, root=root, title=_TITLE, tailwind=False, show_welcome_message=False, dark=False
    )
    return Guard(app, token, name)


def serve(
    bench: Bench,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    anywhere: bool = False,
    browser: bool = True,
    ready: Callable[[str], Any] = print,
) -> None:
    """Serve the workbench until Ctrl-C.

    Parameters
    ----------
    bench : Bench
        What is shown.
    host : str
        The loopback, unless `anywhere`.
    port : int
        0 for any that is free.
    anywhere : bool
        Allow other hosts than the loopback. Token and data go over the wire as text.
    browser : bool
        Open the page in the browser of this machine.
    ready : callable
        Is told the address, with its token, once it can be opened.

    Raises
    ------
    ConfigError
        If the host is not the loopback, or the port is taken.
    MissingDependencyError
        If NiceGUI is not installed.
    """
    if host not in _LOOPBACK and not anywhere:
        raise ConfigError(
            f"host={host!r} would open the workbench to other machines. Say so with --anywhere if "
            "that is what you want, on a network you trust."
        )
    token = secrets.token_urlsafe(16)
    door = _bound(host, port)
    number = door.getsockname()[1]
    app = application(bench, token, f"neuro-bench-{number}")
    import uvicorn

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    address = f"http://{shown}:{number}/?token={token}"
    told = threading.Thread(target=partial(_announce, server, address, ready, browser), daemon=True)
    told.start()
    try:
        server.run(sockets=[door])
    finally:
        if bench.session.state != "idle":  # what was recorded becomes a run, or gets its report
            with bench.told():
                bench.session.stop()


def _bound(host: str, port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        door.close()
        raise ConfigError(
            f"Port {port} of {host} cannot be used ({error.strerror}); give another --port, or 0."
        ) from error
    return door


def _announce(server: Any, address: str, ready: Callable[[str], Any], browser: bool) -> None:
    pause = threading.Event()
    while not server.started:
        pause.wait(0.05)
    ready(address)
    if browser:
        webbrowser.open(address)
