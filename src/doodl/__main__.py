"""Runs the command `doodl` as `python -m doodl`."""

from doodl.cli import main

if __name__ == "__main__":
    main()
