"""``python -m embact`` is the command line."""

from embact.cli import main

main()
