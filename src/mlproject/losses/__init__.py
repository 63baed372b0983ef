"""Per-image losses: the values that recipes return and analyses read, and their files."""

from mlproject.files import read_columns, write_rows
from mlproject.losses.per_image import (
    Floats,
    NotFinite,
    Observation,
    Outcome,
    PerImageLosses,
    Split,
    cell_loss,
    read_losses,
    write_losses,
)

__all__ = [
    "Floats",
    "NotFinite",
    "Observation",
    "Outcome",
    "PerImageLosses",
    "Split",
    "cell_loss",
    "read_columns",
    "read_losses",
    "write_losses",
    "write_rows",
]
