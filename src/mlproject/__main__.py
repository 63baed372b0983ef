"""``python -m mlproject`` is the command line."""

from mlproject.cli import main

main()
