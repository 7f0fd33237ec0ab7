"""Guides: frozen networks that say how far a picture is from what is wanted."""
