import asyncio
import shutil
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from neuro.bci import Workspace
from neuro.bci.workbench.bench import Bench, Feed
from neuro.bci.workbench.guard import Guard
from neuro.errors import ConfigError

pytest.importorskip("nicegui", reason="the workbench needs the extra 'bci'")

from neuro.bci.workbench.figures import feedback, heatmap, integrated
from neuro.bci.workbench.panels.features import settings_of
from neuro.bci.workbench.panels.runs import bare_name, headers
from neuro.bci.workbench.server import serve


async def inside(scope, receive, send):
    """Stands for what is guarded."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def asked(guard, path="/", query="", kind="http", method="GET", **headers):
    """Messages that a request gets back."""
    sent = []

    async def send(message):
        sent.append(message)

    pairs = [(b"host", b"127.0.0.1:1")]
    pairs += [(k.encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": kind, "path": path, "query_string": query.encode(), "headers": pairs}
    if kind == "http":
        scope["method"] = method
    asyncio.run(guard(scope, None, send))
    return sent


class TestGuard:
    guard = Guard(inside, "secret")

    def cookie(self):
        return dict(asked(self.guard, query="token=secret")[0]["headers"])[b"set-cookie"].decode()

    @pytest.mark.parametrize("query", ["", "token=", "token=Secret", "token=secret%20", "x=secret"])
    def test_without_the_token_nothing_is_said(self, query):
        found = asked(self.guard, query=query)
        assert found[0]["status"] == 403
        assert b"inside" not in found[1]["body"]

    def test_the_token_becomes_a_cookie_and_leaves_the_address(self):
        found = asked(self.guard, query="step=map&token=secret")[0]
        headers = dict(found["headers"])
        assert (found["status"], headers[b"location"]) == (303, b"/?step=map")
        assert "HttpOnly" in self.cookie()
        assert "secret" not in self.cookie()
        assert asked(self.guard, "//evil.example", "token=secret")[0]["headers"][0] == (
            b"location", b"/evil.example",
        )  # fmt: skip

    def test_the_cookie_opens_pages_and_websockets(self):
        own = self.cookie().split(";")[0]
        assert asked(self.guard, cookie=own)[1]["body"] == b"inside"
        origin = "http://127.0.0.1:1"
        found = asked(self.guard, kind="websocket", cookie=own, origin=origin)
        assert found == [{"type": "websocket.accept"}]

    def test_a_websocket_without_it_is_refused(self):
        for query in ("", "token=secret"):
            found = asked(self.guard, "/_nicegui_ws/socket.io/", query, kind="websocket")
            assert found == [{"type": "websocket.close", "code": 1008}]

    def test_other_pages_cannot_use_the_cookie(self):
        own, other = self.cookie().split(";")[0], "http://127.0.0.1:2"
        found = asked(self.guard, kind="websocket", cookie=own, origin=other)
        assert found[0]["type"] == "websocket.close"
        assert asked(self.guard, method="POST", cookie=own, origin=other)[0]["status"] == 403
        assert asked(self.guard, cookie="neuro-bench=x; a=b")[0]["status"] == 403


def test_other_machines_only_when_asked_for(workspace):
    with pytest.raises(ConfigError, match="--anywhere"):
        serve(Bench(workspace), host="0.0.0.0")


def test_a_port_that_is_taken_is_said(workspace):
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        with pytest.raises(ConfigError, match="give another --port"):
            serve(Bench(workspace), port=door.getsockname()[1])


class TestBench:
    def test_everything_is_there_again_after_a_restart(self, workspace):
        bench = Bench(workspace)
        bench.extract()
        bench.wait()
        assert bench.notice == ""
        bench.toggle("C3;12")
        bench.toggle("C4;12")
        bench.choose("kind", "shrinkage_lda")
        bench.train()
        bench.wait()
        bench.toggle("C4;12")
        again = Bench(Workspace.open(workspace.folder))
        choice = again.workspace.choice
        assert (choice.features, choice.kind, choice.online) == (("C3;12",), "shrinkage_lda", 1)
        assert again.view is None
        again.look()
        again.wait()
        np.testing.assert_array_equal(again.view.found.r2, bench.view.found.r2)
        assert again.workspace.attempt().features == ("C3;12", "C4;12")

    def test_a_map_is_not_shown_for_other_settings_or_runs(self, workspace):
        bench = Bench(workspace)
        bench.extract()
        bench.wait()
        assert bench.view is not None
        bench.exclude("r2", True)
        assert bench.view is None
        bench.exclude("r2", False)
        assert bench.view is not None
        workspace.settings = workspace.with_settings(h_freq=40.0)
        assert bench.view is None
        bench.look()
        assert bench.job is None  # nothing is computed unasked

    def test_an_error_is_one_sentence(self, workspace, tmp_path):
        bench = Bench(workspace)
        (tmp_path / "<b>x.edf").write_bytes(b"nothing")
        bench.add([tmp_path / "<b>x.edf"])
        bench.wait()
        assert "<b>x.edf" in bench.notice
        assert "Traceback" not in bench.notice
        bench.replay("r9")
        bench.wait()
        assert bench.notice == "Nothing has been trained yet."
        with bench.told():
            bench.session.mark("left")
        assert "needs a running" in bench.notice

    def test_one_job_at_a_time_and_it_can_be_cancelled(self, workspace):
        bench, go = Bench(workspace), threading.Event()

        def work(job):
            assert go.wait(10)
            if not job.progress("r1", 0, 3):
                raise ConfigError("Cancelled.")

        bench.begin("Extracting", work)
        with pytest.raises(ConfigError, match="'Extracting' is not done yet"):
            bench.train()
        bench.cancel()
        go.set()
        bench.wait()
        assert (bench.job, bench.notice) == (None, "Cancelled.")

    def test_a_played_run_online(self, workspace, runs):
        bench = Bench(workspace)
        bench.train()
        bench.wait()
        bench.online(Feed(str(runs[3]), np.inf))
        bench.wait()
        bench.session._thread.join(30)
        now = bench.session.snapshot()
        assert (now["decisions"], bench.watch(), bench.notice) == (10, "idle", "")
        assert [m["kind"] for m in now["messages"]] == ["attached", "ended"]
        bench.stop()
        bench.wait()
        assert bench.notice == "Nothing runs."

    def test_uploads_are_removed_afterwards(self, workspace, runs, tmp_path):
        folder = tmp_path / "upload"
        folder.mkdir()
        copy = Path(shutil.copy(runs[3], folder / "again.h5"))
        bench = Bench(workspace)
        bench.add([copy], rid_of=folder)
        bench.wait()
        assert bench.workspace.runs[-1].name == "again.h5"
        assert not folder.exists()


class TestPictures:
    @pytest.fixture
    def view(self, workspace):
        bench = Bench(workspace)
        bench.extract()
        bench.wait()
        return bench.view

    def test_the_map_shows_sign_and_choice(self, view):
        figure = heatmap(view, ["C3;12", "O1;10:12", "Oz;10"], (0, 6))
        cells, chosen = figure["data"][0], figure["data"][1]
        assert cells["z"][0][6] == pytest.approx(-view.found.r2[0, 6], abs=1e-4)
        assert list(zip(chosen["x"], chosen["y"], strict=True)) == [(6, 0), (4, 3), (5, 3), (6, 3)]

    def test_choosing_does_not_move_the_cells(self, view):
        axes = [heatmap(view, names, (0, 0))["layout"] for names in ((), ("C3;6", "O1;30"))]
        for axis in ("xaxis", "yaxis"):
            assert axes[0][axis]["range"] == axes[1][axis]["range"]
        assert axes[0]["yaxis"]["range"] == [3.5, -0.5]

    def test_names_from_files_stay_text(self, view):
        table = view.table
        rows = ("<a href=x>", *table.rows[1:])
        hostile = view._replace(table=type(table)(rows, table.columns, table.unit))
        figure = heatmap(hostile, [], (0, 0))
        assert figure["layout"]["yaxis"]["ticktext"][0] == "&lt;a href=x&gt;"
        assert "<script>" not in feedback([], ["<script>", "b"])

    def test_the_bar_integrates_five_decisions(self):
        said = [{"label": "a", "probabilities": {"a": p, "b": 1 - p}} for p in (0, 1, 1, 1, 1, 0.5)]
        said.append({"label": "", "probabilities": {"a": None, "b": None}})
        assert integrated(said, ["a", "b"]) == pytest.approx([0.9, 0.1])
        assert 'class="half left"><i style="width:80.0%' in feedback(said, ["a", "b"])


def test_the_form_changes_only_what_it_shows(workspace):
    now = workspace.settings.to_json()
    told = {"family": "power", "fmin": 8.0, "l_freq": 1.0, "reference": "", "stop_s": None}
    made = settings_of(told, now).to_json()
    assert made["family"] == now["family"] | {"fmin": 8.0}
    assert (made["l_freq"], made["reference"], made["plan"]) == (1.0, None, now["plan"])
    with pytest.raises(ConfigError, match="must lie below"):
        settings_of({"family": "power", "fmin": 50.0}, now)


def test_uploaded_names_lead_nowhere():
    assert [bare_name(n) for n in ("..\\..\\x.edf", "/etc/", "a/..", "")] == [
        "x.edf", "etc", "run", "run",
    ]  # fmt: skip
    names = ["a.vhdr", "a.eeg", "a.vmrk", "b.gdf"]
    assert [p.name for p in headers([Path(n) for n in names])] == ["a.vhdr", "b.gdf"]
    assert [p.name for p in headers([Path("old.EEG")])] == ["old.EEG"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_page_shows_the_workspace_and_its_notices(workspace):
    from nicegui.testing.user_simulation import user_simulation

    from neuro.bci.workbench.page import Page

    bench = Bench(workspace)
    bench.extract()
    bench.wait()
    pages = []

    async def visit():
        async with user_simulation(lambda: pages.append(Page(bench, "runs", False))) as user:
            await user.open("/")
            await user.should_see("run2.h5")
            page = pages[-1]
            with user:
                page.press("3")
            await user.should_see("nothing chosen")
            with user:
                page.press("a")
            await user.should_see("C3;12")
            with user:
                page.press("4")
            await user.should_see("Nothing has been trained yet.")
            bench.notify("<img src=x> is no run.")
            with user:
                page.draw()
            await user.should_see("<img src=x> is no run.")
            with user:
                page.press("Escape")
            await user.should_not_see("<img src=x> is no run.")

    asyncio.run(visit())
    assert Workspace.open(workspace.folder).choice.features[0] == "C3;12"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_damaged_attempt_is_said_and_the_page_stays(workspace):
    from nicegui.testing.user_simulation import user_simulation

    from neuro.bci.workbench.page import Page

    workspace.train(("C3;12",))
    (workspace.folder / "attempts" / "001" / "attempt.json").write_text("{}")
    bench = Bench(workspace)

    async def visit():
        async with user_simulation(lambda: Page(bench, "train", False) and None) as user:
            await user.open("/")
            await user.should_see("is damaged")
            await user.should_see("Runs")

    asyncio.run(visit())
    before = bench.version
    bench.watch()
    assert bench.version == before
