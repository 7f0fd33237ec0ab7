"""Runs the command `doodl` as `python -m doodl`."""

import sys

if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        # The current folder, whose files may have the names of libraries.
        del sys.path[0]

    from doodl.cli import main

    main()
