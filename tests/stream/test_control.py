import json
import socket
import time

import pytest

from neuro.errors import ConfigError, DataError
from neuro.stream.control import ControlServer, ask


@pytest.fixture
def server():
    heard = []

    def mark(label):
        heard.append(label)
        return {"cues": len(heard)}

    def fail():
        raise DataError("Nothing has been trained yet.")

    with ControlServer({"mark": mark, "fail": fail}, token="secret") as out:
        out.heard = heard
        yield out


def raw(port, content):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(content)
        link.shutdown(socket.SHUT_WR)
        with link.makefile("rb") as lines:
            return [json.loads(line) for line in lines]


def test_a_command_is_done_once_and_answered(server):
    assert ask(server.port, "secret", "mark", label="left") == {"cues": 1}
    assert server.heard == ["left"]


def test_refusals_come_back_in_words(server):
    with pytest.raises(ConfigError, match="Nothing has been trained"):
        ask(server.port, "secret", "fail")
    with pytest.raises(ConfigError, match=r"No command 'marc'\. Did you mean 'mark'"):
        ask(server.port, "secret", "marc")
    with pytest.raises(ConfigError, match="unexpected keyword argument 'lable'"):
        ask(server.port, "secret", "mark", lable="left")


@pytest.mark.parametrize(
    "content",
    [
        b'{"token": "Secret", "do": "mark", "label": "x"}\n',
        b'{"do": "mark", "label": "x"}\n',
        b'{"token": 1, "do": "mark", "label": "x"}\n',
        b'{"token": null, "do": "mark"}\n',
        b"[" * 50_000 + b"\n",
        b'"secret"\n',
        b"\xff\xfe\x00\n",
        b"mark left\n",
        b"x" * 200_000,
    ],
    ids=["wrong", "none", "number", "null", "deep", "text", "bytes", "words", "long"],
)
def test_without_the_token_nothing_happens(server, content):
    (answer,) = raw(server.port, content)
    assert not answer["ok"]
    assert "mark" not in answer["error"]
    assert server.heard == []
    assert ask(server.port, "secret", "mark", label="still here") == {"cues": 1}


def test_a_wrong_token_ends_the_conversation(server):
    answers = raw(
        server.port, b'{"token": "no"}\n{"token": "secret", "do": "mark", "label": "x"}\n'
    )
    assert len(answers) == 1
    assert server.heard == []


def test_only_the_loopback_is_served_unless_asked():
    with pytest.raises(ConfigError, match="would open the control port to other machines"):
        ControlServer({}, host="0.0.0.0")


def test_clients_that_say_nothing_do_not_pile_up(server):
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=10) for _ in range(40)]
    assert sum(link.recv(1) == b"" for link in idle[32:]) == 8  # turned away at once
    for link in idle:
        link.close()
    for _ in range(100):
        try:
            assert ask(server.port, "secret", "mark", label="left") == {"cues": 1}
            break
        except (OSError, ValueError):
            time.sleep(0.02)
    assert server.heard == ["left"]


def test_an_error_of_any_kind_is_answered():
    server = ControlServer({"fail": lambda: {}["x"]}, token="t")
    with server, pytest.raises(ConfigError, match="fail: 'x'"):
        ask(server.port, "t", "fail")


def test_tokens_differ():
    with ControlServer({}) as one, ControlServer({}) as two:
        assert len(one.token) >= 16
        assert one.token != two.token
