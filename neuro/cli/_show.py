"""How commands print: tables for people, JSON for programs, one process only."""

import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["clean", "console", "first_process", "problems", "show_json", "speaking", "table"]

# Markup is off: a channel may be called "[red]". Numbers are not coloured.
console = Console(markup=False, highlight=False, emoji=False)
problems = Console(stderr=True, markup=False, highlight=False, emoji=False)


def first_process() -> bool:
    """False in all but the first of the processes that torchrun started."""
    return os.environ.get("RANK", "0") in ("", "0")


@contextmanager
def speaking() -> Iterator[None]:
    """Silence ordinary output in all but the first process; errors are always told."""
    before = console.quiet
    console.quiet = not first_process()
    try:
        yield
    finally:
        console.quiet = before


def clean(text: object) -> str:
    """Text of a file's own words: what could steer a terminal is spelled out."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in str(text))


def show_json(value: Any) -> None:
    """Print a value as JSON on standard output, one document."""
    if first_process():
        text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
        sys.stdout.write(text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, Iterable):
        return [_plain(v) for v in value]
    item = value.item() if hasattr(value, "item") else value
    # JSON has no NaN: a missing number is null
    if isinstance(item, float) and not math.isfinite(item):
        return None
    return item if isinstance(item, int | float | str | bool) else str(item)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as a table on standard output."""
    out = Table(title=Text(clean(title)), title_justify="left", header_style="bold")
    for column in columns:
        out.add_column(column, overflow="fold")
    for row in rows:
        out.add_row(*(Text("" if cell is None else clean(cell)) for cell in row))
    console.print(out)
