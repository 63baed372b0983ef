"""The segment recipe: its knobs and its run."""

from mlproject.recipes.segment.knobs import Segment

__all__ = ["Segment"]
