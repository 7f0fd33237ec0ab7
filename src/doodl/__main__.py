"""Runs the command `doodl` as `python -m doodl`."""

from doodl.cli import main

main()
