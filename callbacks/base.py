"""The events that callbacks follow; see `doodl.events` for their order."""

from doodl.events import GenerationCallback

__all__ = ["GenerationCallback"]
