"""Step 2: what a feature is, and its extraction."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nicegui import ui

from neuro.bci.settings import Settings
from neuro.bci.workbench.bench import Bench
from neuro.bci.workbench.panels._panel import Panel, headline

if TYPE_CHECKING:
    from neuro.bci.workbench.page import Page

__all__ = ["FEATURES", "settings_of"]

_FAMILIES = {
    "power": "Power of each channel", "strength": "Connectivity of each channel",
    "covariance": "Covariance of all channels",
}  # fmt: skip
_METHODS = {
    "power": {"burg": "Burg (autoregressive)", "welch": "Welch"},
    "strength": {
        "imcoh": "imaginary coherency", "coherence": "coherence", "wpli": "weighted phase lag",
    },
}  # fmt: skip
# field: label, unit; grouped by what they belong to
_FIELDS = {
    "family": {"fmin": ("From", "Hz"), "fmax": ("To", "Hz")},
    "plan": {
        "start_s": ("Trial begins after the cue", "s"), "stop_s": ("Trial ends", "s"),
        "length_s": ("Window", "s"), "step_s": ("Next window after", "s"),
    },
    "signal": {
        "l_freq": ("High-pass", "Hz"), "h_freq": ("Low-pass", "Hz"),
        "notch": ("Line frequency", "Hz"),
    },
}  # fmt: skip


def draw(page: "Page") -> None:
    """Form of the settings; every change is kept at once."""
    bench = page.bench
    now = bench.workspace.settings.to_json()
    headline(
        "Features",
        "What is computed of every trial, the same in calibration, replay and online. Changed "
        "settings keep their own features: going back costs nothing.",
    )
    told: dict[str, Any] = {}

    def keep() -> None:
        with page.told():
            workspace = bench.workspace
            networks = workspace.folder / "networks"
            workspace.settings = settings_of(told, workspace.settings.to_json(), networks)
        status.set_text(_status(bench))
        page.facts()

    def change_method(event: Any) -> None:
        told["method"] = event.value
        keep()

    def change_family(event: Any) -> None:
        told["family"], told["method"] = event.value, None
        keep()
        page.draw()

    with ui.element("div").classes("card"):
        family = str(now["family"]["family"])
        with ui.element("div").classes("fields"):
            options = _FAMILIES | ({} if family in _FAMILIES else {family: family})
            told["family"] = family
            ui.select(options, value=family, label="Kind", on_change=change_family)
            if family in _METHODS:
                told["method"] = now["family"]["method"]
                ui.select(
                    _METHODS[family], value=told["method"], label="Method",
                    on_change=change_method,
                )  # fmt: skip
            if "fmin" in now["family"]:
                _numbers("family", now["family"], told, keep)
        with ui.element("div").classes("fields"):
            _numbers("plan", now["plan"], told, keep)
        with ui.element("div").classes("fields"):
            _numbers("signal", now, told, keep)
            _text("reference", "Reference", "average", _joined(now["reference"], ""), told, keep)
            _text("ch_names", "Channels", "all", _joined(now["ch_names"], ""), told, keep)
        ui.label(
            "Reference: average, or channels as M1, M2; empty leaves the signal as recorded. "
            "Filters look at the past only, as online."
        ).classes("hint")
        with ui.element("div").classes("line"):
            ui.button("Extract (e)", on_click=lambda: page.do(bench.extract))
            status = ui.label(_status(bench)).props('data-field="extracted"')


def _numbers(group: str, now: dict[str, Any], told: dict[str, Any], keep: Any) -> None:
    for name, (label, unit) in _FIELDS[group].items():
        told[name] = now[name]
        field = ui.number(label, value=now[name], suffix=unit).props(f'data-field="{name}"')
        field.on_value_change(lambda event, name=name: told.update({name: event.value}))
        field.on("blur", keep)


def _text(name: str, label: str, empty: str, value: str, told: dict[str, Any], keep: Any) -> None:
    told[name] = value
    field = ui.input(label, value=value, placeholder=empty).props(f'data-field="{name}"')
    field.on_value_change(lambda event: told.update({name: event.value or ""}))
    field.on("blur", keep)


def _joined(names: Any, empty: str) -> str:
    return empty if names is None else names if isinstance(names, str) else ", ".join(names)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def settings_of(
    told: dict[str, Any], now: dict[str, Any], networks: Path | None = None
) -> Settings:
    """Settings from the form; what it does not show stays as it was.

    Parameters
    ----------
    told : dict
        Values of the form by field.
    now : dict
        Settings of now as plain values.
    networks : Path, optional
        Folder of networks, where the family needs one.

    Raises
    ------
    ConfigError
        If they contradict each other.

    Examples
    --------
    >>> now = Settings().to_json()
    >>> made = settings_of({"family": "strength", "fmin": 8, "reference": "M1, M2"}, now)
    >>> made.family.fmin, made.family.method, made.reference
    (8, 'imcoh', ('M1', 'M2'))
    """
    plain = dict(now)
    same = told["family"] == now["family"]["family"]
    family = dict(now["family"]) if same else {"family": told["family"]}
    known = {"fmin", "fmax", "method"} if told["family"] in _METHODS else set()
    family |= {k: told[k] for k in known if told.get(k) is not None}
    plain["family"] = family
    times = _FIELDS["plan"]
    plain["plan"] = now["plan"] | {k: told[k] for k in times if told.get(k) is not None}
    for name in _FIELDS["signal"]:
        plain[name] = told.get(name, now[name])
    if "reference" in told:
        text = told["reference"].strip()
        plain["reference"] = "average" if text == "average" else _split(text) or None
    if "ch_names" in told:
        plain["ch_names"] = _split(told["ch_names"]) or None
    return Settings.from_json(plain, networks)


def _status(bench: Bench) -> str:
    if not bench.workspace.runs:
        return "Add runs first (1)."
    if bench.workspace.extracted:
        return "Extracted: look at the map (3)."
    return "Not extracted with these settings yet."


def fact(bench: Bench) -> str:
    """Whether they are there."""
    return "extracted" if bench.workspace.extracted else "to be extracted"


FEATURES = Panel(draw, fact)
