"""The ``neuro`` command."""

__all__ = ["main"]


def main() -> None:
    """Run the command line; see ``neuro --help``."""
    from neuro.cli.app import run

    run()
