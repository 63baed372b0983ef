"""Sealed predictions as files: what is written, and what is read back and compared with its seal."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mlproject.analysis.predicted_losses import PredictedLoss
from mlproject.errors import MLProjectError
from mlproject.files import read_json, sha256

Name = tuple[int, str]
"""Number and seal of a prediction."""


@dataclass(frozen=True, kw_only=True)
class SealedPrediction:
    """A prediction as it was sealed: number, seal, time (seconds since the epoch), and its losses.

    ``names`` are the newest predictions before it, which it names. ``fault`` says how it differs from what
    was sealed; ``n_losses`` is how many losses it predicted.
    """

    number: int
    seal: str
    run_id: str
    n_losses: int
    sealed: float = math.nan
    losses: tuple[PredictedLoss, ...] = ()
    names: tuple[Name, ...] = ()
    deleted: bool = False
    fault: str = ""

    @property
    def name(self) -> Name:
        """Number and seal."""
        return self.number, self.seal

    def spoilt(self, fault: str, n_losses: int) -> SealedPrediction:
        """The prediction with a fault; the first one is kept."""
        return replace(self, fault=self.fault or fault, n_losses=max(self.n_losses, n_losses))


def content_key(losses: Sequence[PredictedLoss], fitted: str) -> str:
    """16 digits that are equal for the same predictions from the same losses (their digest ``fitted``)."""
    text = json.dumps([fitted, [each.to_dict() for each in losses]], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_content(
    losses: Sequence[PredictedLoss],
    *,
    number: int,
    names: Sequence[Name],
    sealed: float,
    about: Mapping[str, Any],
) -> bytes:
    """The file of a prediction, whose SHA-256 is its seal: the same values give the same bytes.

    ``about`` says from what it was made: plan, code, digest of the losses that were fitted.
    """
    values = {
        "prediction": number,
        "before": [list(name) for name in names],
        "time": datetime.fromtimestamp(sealed, UTC).isoformat(timespec="seconds"),
        **about,
        "losses": [each.to_dict() for each in losses],
    }
    return (json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def read_sealed(
    content: bytes, *, number: int, seal: str, run_id: str, n_losses: int, deleted: bool
) -> SealedPrediction:
    """Read a prediction back; where it is not what was sealed, its fault says so."""
    bare = SealedPrediction(
        number=number, seal=seal, run_id=run_id, n_losses=max(1, n_losses), deleted=deleted
    )
    if not content:
        return bare.spoilt("its file is gone", 0)
    differs = "" if sha256(content) == seal else "its file differs from its seal"
    try:
        values = read_json(content)
        read = replace(
            bare,
            sealed=datetime.fromisoformat(values["time"]).timestamp(),
            losses=tuple(PredictedLoss.from_dict(each) for each in values["losses"]),
            names=tuple((int(number), str(seal)) for number, seal in values["before"]),
        )
    except (ValueError, TypeError, LookupError, AttributeError, MLProjectError):
        return bare.spoilt(differs or "its file is no prediction", 0)
    if not differs and values["prediction"] != number:
        differs = f"its file is that of prediction {values['prediction']}"
    return read.spoilt(differs, len(read.losses))
