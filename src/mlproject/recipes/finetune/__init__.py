"""The finetune recipe: its knobs and its run."""

from mlproject.recipes.finetune.knobs import Finetune

__all__ = ["Finetune"]
