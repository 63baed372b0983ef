"""The memorise recipe: its knobs and its run."""

from mlproject.recipes.memorise.knobs import Memorise

__all__ = ["Memorise"]
