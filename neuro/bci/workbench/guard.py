"""Nobody without the token: one gate in front of pages, files and websockets."""

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

__all__ = ["Guard"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REFUSED = (
    b"This workbench answers only with its token: open the address that 'neuro bci serve' printed."
)


class Guard:
    """An ASGI application that lets nobody through to another one without the token.

    A page asked for with ``?token=…`` sets a cookie and leads to the same page
    without it, so that the token stays out of the history. Requests that another
    site's page makes are refused even with the cookie.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    token : str
        Asked for once.
    name : str
        Of the cookie; browsers share cookies between ports, so it names the port.
    """

    def __init__(self, app: App, token: str, name: str = "neuro-bench") -> None:
        self.app = app
        self._token, self._name = token, name
        self._ticket = secrets.token_urlsafe(24)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, hand out the cookie, or refuse."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        own = _same_site(headers)
        if own and _same(self._cookie(headers), self._ticket):
            return await self.app(scope, receive, send)
        if scope["type"] == "websocket":
            # before the handshake is accepted this is answered with status 403
            return await send({"type": "websocket.close", "code": 1008})
        asked = parse_qsl(scope.get("query_string", b"").decode("latin-1"))
        if scope["method"] == "GET" and own and _same(dict(asked).get("token", ""), self._token):
            rest = urlencode([(k, v) for k, v in asked if k != "token"])
            # one slash in front: two would be the name of another machine
            target = "/" + scope["path"].lstrip("/\\") + (f"?{rest}" if rest else "")
            cookie = f"{self._name}={self._ticket}; Path=/; HttpOnly; SameSite=Lax"
            return await _answer(send, 303, {"location": target, "set-cookie": cookie})
        return await _answer(send, 403, {"content-type": "text/plain"}, _REFUSED)

    def _cookie(self, headers: dict[str, str]) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._name)
        except CookieError:
            return ""
        return "" if found is None else found.value


def _same(told: str, known: str) -> bool:
    return hmac.compare_digest(told.encode(errors="replace"), known.encode())


def _same_site(headers: dict[str, str]) -> bool:
    """Whether the page that asks, if it is a page, is one of ours."""
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host", "")


async def _answer(send: Send, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    pairs = [(k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()]
    pairs += [(b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
