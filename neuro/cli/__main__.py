"""``python -m neuro.cli``, which torchrun needs."""

from neuro.cli import main

main()
