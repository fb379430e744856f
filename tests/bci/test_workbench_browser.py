"""The whole way in a real browser: runs, features, map, training, online."""

import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from neuro.bci import Workspace

pytest.importorskip("nicegui", reason="the workbench needs the extra 'bci'")

pytestmark = pytest.mark.slow
WAIT = 30_000  # ms; generous, machines that run the suite are busy


@pytest.fixture(scope="module")
def stretches(shared_data, tmp_path_factory):
    """A cued recording of imagined movements, cut into three runs and a fourth."""
    import neuro
    from neuro.datasets import load

    recording = load("gdf_mi", root=shared_data)[0]
    cues = np.sort(recording.events.onset_s[np.isin(recording.events.type, ["left", "right"])])
    edges = [0, *(cues[[10, 20, 30]] - 4), recording.span_s[1]]
    folder = tmp_path_factory.mktemp("stretches")
    for i in range(4):
        neuro.save(recording.slice(edges[i], edges[i + 1]), folder / f"run{i + 1}.h5")
    return folder


@pytest.fixture
def served(tmp_path):
    """A workspace and its workbench in a process of its own; address with token."""
    workspace = Workspace.create(tmp_path / "anna", classes=("left", "right"))
    with open(tmp_path / "log", "w") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", "from neuro.cli import main; main()", "bci", "serve",
             workspace.folder, "--no-browser", "--port", "0"],
            stdout=log, stderr=subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
    try:
        yield workspace.folder, _address(tmp_path / "log", child)
    finally:
        child.terminate()
        child.wait(20)


def _address(log, child):
    end = time.monotonic() + 60
    while time.monotonic() < end and child.poll() is None:
        found = re.search(r"http://\S+token=\S+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.1)
    pytest.fail(f"The workbench did not start: {log.read_text()}")


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def _status(address, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_from_files_to_decisions(served, stretches, browser):
    folder, address = served
    bare = address.split("?")[0]
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    assert _status(bare) == 403
    assert _status(bare + "report") == 403
    socket = bare + "_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    assert _status(socket, **upgrade) == 403

    page = browser.new_page(viewport={"width": 1400, "height": 900})
    broken = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.set_default_timeout(WAIT)
    began = time.monotonic()
    page.goto(address)
    for i in (1, 2, 3):
        if i < 3:
            page.fill("[data-field=path]", str(stretches / f"run{i}.h5"))
            page.keyboard.press("Enter")
        else:
            page.set_input_files("input[type=file]", stretches / "run3.h5")
        page.wait_for_selector(f"text=run{i}.h5")
        page.wait_for_selector(".job", state="detached")
    assert "token" not in page.url

    page.locator(".bench-title").click()  # keys count outside of fields
    page.keyboard.press("2")
    for name, value in {"start_s": "0.5", "stop_s": "4.5", "reference": ""}.items():
        page.fill(f"[data-field={name}]", value)
    page.locator(".bench-title").click()
    page.keyboard.press("e")
    page.wait_for_selector("text=Extracted: look at the map")
    page.keyboard.press("3")
    cells = page.locator("[data-field=map] .nsewdrag").first
    cells.wait_for()
    box = cells.bounding_box()
    # the 37 frequencies from 4 Hz on are columns, the four channels rows
    delays = []
    for i, column in enumerate((7, 8, 9)):
        x = box["x"] + box["width"] * (column + 0.5) / 37
        y = box["y"] + box["height"] * (i + 0.5) / 4
        page.mouse.move(x, y)
        page.wait_for_selector(".hoverlayer .hovertext")
        page.wait_for_timeout(300)  # a click counts for the cell that is pointed at
        clicked = time.monotonic()
        page.mouse.click(x, y)
        page.wait_for_selector(f"[data-field=feature] >> nth={i}")
        delays.append(time.monotonic() - clicked)
    chosen = [
        text.split("\n")[0] for text in page.locator("[data-field=feature]").all_inner_texts()
    ]
    assert chosen == ["Channel 1;11", "Channel 2;12", "Channel 3;13"]

    page.keyboard.press("t")
    page.keyboard.press("4")
    page.wait_for_selector("[data-field=nested]")
    expected = int(page.inner_text("[data-field=nested]").strip("%")) / 100
    assert expected == pytest.approx(Workspace.open(folder).attempt().scores["nested"], abs=0.005)
    assert expected > 0.8

    page.keyboard.press("5")
    page.get_by_text("a recording, played").click()
    page.fill("[data-field=file]", str(stretches / "run4.h5"))
    page.fill("[data-field=speed]", "20")
    page.locator(".bench-title").click()
    page.keyboard.press("o")
    page.wait_for_selector("[data-field=last] td")
    assert page.inner_text("[data-field=decided]") in ("left", "right")
    page.wait_for_selector("text=10 decisions")
    took = time.monotonic() - began
    page.wait_for_selector("text=Nothing runs")
    assert page.request.get(bare + "report").status == 200
    page.close()

    workspace = Workspace.open(folder)
    workspace.add_run(stretches / "run4.h5")
    decisions, _ = workspace.replay("r4")
    lines = (folder / "online" / "001" / "decisions.jsonl").read_text().splitlines()
    told = re.findall(r'"label": "(\w+)"', "\n".join(lines))
    assert told == [d.label for d in decisions]
    assert broken == []
    print(f"{took:.1f} s in all; click to chip {', '.join(f'{d:.2f}' for d in delays)} s")
    assert took < 120
    assert np.median(delays) < 2  # 0.5 s on an idle machine; this one may be busy
