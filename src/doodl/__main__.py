"""`python -m doodl` is `doodl`."""

from doodl.cli import main

main()
