"""The reconstruct recipe: its knobs and its run."""

from mlproject.recipes.reconstruct.knobs import Reconstruct

__all__ = ["Reconstruct"]
