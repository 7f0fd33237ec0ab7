"""The version of the package, which pictures carry in their metadata."""

__version__ = "0.1.0"
