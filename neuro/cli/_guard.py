"""From exceptions to one line and an exit code: 0 done, 1 work failed, 2 bad input."""

import errno
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from neuro.errors import ConfigError, DataError, DataUnavailableError, FileError, NeuroError

__all__ = ["Guarded", "remember_json", "tell"]

_BAD_INPUT = (ConfigError, DataError, DataUnavailableError, FileError)
_JSON = "neuro.json"


def remember_json(ctx: typer.Context, value: bool) -> bool:
    """Note that a program reads the output, so that an error is JSON as well."""
    ctx.meta[_JSON] = value
    return value


class Guarded(TyperGroup):
    """A group of commands that never ends in a traceback over what the user gave."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; errors made on purpose become a message and a code."""
        from neuro.cli._show import speaking

        try:
            with speaking(), _notes():
                return super().invoke(ctx)
        except NeuroError as error:
            tell(error, as_json=bool(ctx.meta.get(_JSON)))
            raise typer.Exit(2 if isinstance(error, _BAD_INPUT) else 1) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has gone: not our failure
                raise
            tell(error, as_json=bool(ctx.meta.get(_JSON)))
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            tell(error, "interrupted", as_json=bool(ctx.meta.get(_JSON)))
            raise typer.Exit(1) from error


def tell(error: BaseException, word: str = "error", *, as_json: bool = False) -> None:
    """Print what happened on standard error; for programs also as JSON."""
    from neuro.cli._show import clean, problems, show_json

    message = " ".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())])
    problems.print(f"{word}: ", style="bold red", end="")
    problems.print(clean(message), soft_wrap=True)
    if as_json:
        show_json({"error": {"kind": type(error).__name__, "message": message}})


@contextmanager
def _notes() -> Iterator[None]:
    """Warnings as one line on standard error, without the file that raised them."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        sys.stderr.write(f"note: {message}\n")

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
