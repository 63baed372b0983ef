"""The scratch recipe: its knobs and its run."""

from mlproject.recipes.scratch.knobs import Scratch

__all__ = ["Scratch"]
