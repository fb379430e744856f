"""A control port: one JSON object a line, on the loopback, with a token."""

import hmac
import json
import secrets
import socketserver
import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from neuro.errors import ConfigError, NeuroError, did_you_mean

__all__ = ["Command", "ControlServer", "ask"]

Command = Callable[..., Any]
_LONGEST = 64 * 1024
_MOST_CLIENTS = 32
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ControlServer:
    """Lets a program on the same machine steer the loop.

    A request is a line ``{"token": "…", "do": "mark", "label": "left"}``; the answer
    a line ``{"ok": true, "result": …}`` or ``{"ok": false, "error": "…"}``. Without the
    token nothing is done, and nothing is said about what could be.

    Parameters
    ----------
    commands : mapping of str to callable
        What can be asked for; further fields of the request are arguments.
    token : str, optional
        Made up if None.
    host : str
        The loopback, unless `anywhere`.
    port : int
        0 for any that is free.
    anywhere : bool
        Allow other hosts than the loopback. The token goes over the wire as text.

    Raises
    ------
    ConfigError
        If the host is not the loopback.

    Examples
    --------
    >>> with ControlServer({"add": lambda a, b: a + b}, token="t") as server:
    ...     ask(server.port, "t", "add", a=1, b=2)
    3
    """

    def __init__(
        self,
        commands: Mapping[str, Command],
        *,
        token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        anywhere: bool = False,
    ) -> None:
        if host not in _LOOPBACK and not anywhere:
            raise ConfigError(
                f"host={host!r} would open the control port to other machines. Pass anywhere=True "
                "if that is what you want, on a network you trust."
            )
        self.commands = dict(commands)
        self.token = token or secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            timeout = 60

            def handle(self) -> None:
                while line := self.rfile.readline(_LONGEST + 1):
                    answer, go_on = outer.answer(line)
                    self.wfile.write(json.dumps(answer).encode() + b"\n")
                    if not go_on:
                        return

        self._server = _Server((host, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def answer(self, line: bytes) -> tuple[dict[str, Any], bool]:
        """Answer to one line, and whether to listen on."""
        if len(line) > _LONGEST:
            return {"ok": False, "error": f"A request has {_LONGEST} bytes at most."}, False
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError):
            return {"ok": False, "error": "A request is one JSON object a line."}, False
        if not isinstance(asked, dict):
            return {"ok": False, "error": "A request is one JSON object a line."}, False
        told = asked.pop("token", "")
        if not isinstance(told, str) or not hmac.compare_digest(
            told.encode(errors="replace"), self.token.encode()
        ):
            return {"ok": False, "error": "The token is missing or wrong."}, False
        name = asked.pop("do", None)
        if name not in self.commands if isinstance(name, str) else True:
            text = did_you_mean(str(name)[:80], self.commands)
            return {"ok": False, "error": f"No command {str(name)[:80]!r}. {text}"}, True
        return self._done(str(name), asked), True

    def _done(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            with self._lock:  # one after the other: commands change the same session
                return {"ok": True, "result": self.commands[name](**arguments)}
        except NeuroError as error:
            return {"ok": False, "error": str(error)}
        except Exception as error:  # whatever it was, the caller must hear of it
            return {"ok": False, "error": f"{name}: {error}."}

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = _MOST_CLIENTS

    def __init__(self, *told: Any) -> None:
        self._free = threading.BoundedSemaphore(_MOST_CLIENTS)
        super().__init__(*told)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Clients beyond the limit are turned away, so that idle ones cannot pile up."""
        return self._free.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One client, to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left in the middle is no news."""


def ask(port: int, token: str, do: str, **arguments: Any) -> Any:
    """Ask a control port for one thing.

    Parameters
    ----------
    port : int
        On the loopback.
    token : str
        Of the server.
    do : str
        Command.
    **arguments
        Of the command.

    Returns
    -------
    object
        Its result.

    Raises
    ------
    ConfigError
        What the server refused, in its words.
    """
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=120) as link:
        link.sendall(json.dumps({"token": token, "do": do} | arguments).encode() + b"\n")
        with link.makefile("rb") as lines:
            answer = json.loads(lines.readline())
    if not answer["ok"]:
        raise ConfigError(answer["error"])
    return answer["result"]
