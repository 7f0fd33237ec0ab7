"""The base class of the callbacks; `doodl.events` lists the events and their order."""

from doodl.events import GenerationCallback

__all__ = ["GenerationCallback"]
