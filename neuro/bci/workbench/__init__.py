"""The workbench: a session in the browser, on this machine only."""

from neuro.bci.workbench.bench import Bench, Feed
from neuro.bci.workbench.server import application, serve

__all__ = ["Bench", "Feed", "application", "serve"]
