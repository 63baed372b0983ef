"""The probe recipe: its knobs and its run."""

from mlproject.recipes.probe.knobs import Probe

__all__ = ["Probe"]
