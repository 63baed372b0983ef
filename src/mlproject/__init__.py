"""mlproject measures scaling laws of vision models; in a notebook: load a study, assess points, plot a curve.

    import mlproject

    study = mlproject.load_study("my-study")     # pandas tables: cells, losses, exponents, predictions
    mlproject.plot_curve(study)                  # a matplotlib figure
    mlproject.assess(frame, x="images", y="loss")

Importing this package loads none of pandas, matplotlib, MLflow and torch; each function loads what it needs.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from mlproject.analysis import Study
    from mlproject.losses import Observation
    from mlproject.scaling import Assessment
else:
    Figure = DataFrame = Study = Observation = Assessment = Any

__version__ = "0.3.0.dev0"
__all__ = ["StudyTables", "assess", "load_study", "plot_curve"]


@dataclass(frozen=True, kw_only=True)
class StudyTables:
    """A study as pandas tables.

    ``cells`` has one row per finished cell (run, coordinates, ``knobs.*``, metrics), ``losses`` one per cell
    and image, ``exponents`` one per curve, statistic and law, ``predictions`` one per curve, statistic and
    horizon. ``study`` is everything that the analysis computed.
    """

    cells: DataFrame
    losses: DataFrame
    exponents: DataFrame
    predictions: DataFrame
    study: Study = field(repr=False)


def load_study(
    experiment: str = "",
    *,
    tracking_uri: str | None = None,
    where: str = "",
    mix_weights: bool = False,
    prior: str = "",
) -> StudyTables:
    """Load the finished cells of an MLflow experiment and analyse them.

    ``experiment`` and ``tracking_uri`` default to what MLflow's environment variables name; ``where`` is
    MLflow's filter, such as ``tags.sweep = 'embedded'``. With ``mix_weights`` models whose weights were
    trained differently may share a curve; ``prior``, such as ``vision``, is a library of known laws, the
    prior of error rates (``study.prior_use``). Runs that cannot be read are left out, with a warning.
    Raises: StoreUnreachable, BadInput when no cell is finished, DigestMismatch for damaged losses.
    """
    import pandas

    from mlproject.analysis import analyse, intact_runs
    from mlproject.report import study_document
    from mlproject.scaling import PriorChoice
    from mlproject.tracking import open_store

    with _tracked_at(tracking_uri):
        store = open_store(experiment or None, create=False)
        observations = intact_runs(store.observations(where=where))
        for text in store.unreadable.values():
            warnings.warn(text, stacklevel=2)
        chosen = PriorChoice.of(prior) if prior else None
        study = analyse(observations, mix_weights=mix_weights, prior=chosen)
        tables = {table.name: table for table in study_document(study).tables}
        return StudyTables(
            cells=pandas.DataFrame([_cell_row(observation) for observation in observations]),
            losses=pandas.concat([_loss_rows(seen) for seen in observations], ignore_index=True),
            exponents=tables["exponents"].frame,
            predictions=tables["predictions"].frame,
            study=study,
        )


def assess(
    frame: DataFrame,
    *,
    x: str | Sequence[str],
    y: str,
    sd: str = "",
    run: str = "",
    ceiling: float | None = None,
    laws: Iterable[str] = (),
) -> Assessment:
    """Fit scaling laws to a table with one row per measured loss.

    ``x`` names the column of the scale, or several for a law of two or three; ``y`` that of the loss (of
    accuracies, give a column of 1 - accuracy); ``sd`` that of its standard deviation, where it is known;
    ``run`` that of the run (or model), whose rows share noise. ``ceiling`` is the loss of a guess.
    Raises: WrongUse for a law that does not exist, KeyError for a column that does not exist.
    """
    from mlproject import scaling

    names = [x] if isinstance(x, str) else list(x)
    known, runs = frame[sd].to_numpy() if sd else None, frame[run].tolist() if run else None
    scales, losses = frame[names].to_numpy(), frame[y].to_numpy()
    return scaling.assess(scales, losses, sd=known, runs=runs, ceiling=ceiling, laws=laws, axes=names)


def plot_curve(
    tables: StudyTables,
    *,
    axis: str = "images",
    group: str = "",
    statistic: Literal["mean", "median"] = "mean",
) -> Figure:
    """Plot the curves of a study along an axis: points, laws with 95 % bands, predictions, residuals.

    ``axis`` is a name of ``analysis.AXES``; ``group`` limits the curves to those whose name contains it.
    Raises: WrongUse for an unknown axis, and when no curve with two or more scales is left.
    """
    import matplotlib

    from mlproject.analysis import AXES
    from mlproject.errors import WrongUse, unknown
    from mlproject.report import RC, scaling_figure

    if axis not in AXES:
        raise unknown("axis", axis, AXES)
    curves = [curve for curve in tables.study.along(axis) if group in curve.label and len(curve.points) > 1]
    if not curves:
        raise WrongUse(f"no curve along {axis} has two or more scales and {group!r} in its name")
    with matplotlib.rc_context(RC):
        return scaling_figure(curves, statistic=statistic)


@contextlib.contextmanager
def _tracked_at(uri: str | None) -> Iterator[None]:
    """MLflow's environment variable set for the duration of a call."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is not None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("MLFLOW_TRACKING_URI", None)
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


def _cell_row(observation: Observation) -> dict[str, Any]:
    cell = observation.cell
    knobs = {f"knobs.{name}": value for name, value in cell.knobs.items()}
    head = {"run_id": observation.run_id, "cell": cell.key}
    return head | cell.coordinates | knobs | dict(observation.metrics)


def _loss_rows(observation: Observation) -> DataFrame:
    import pandas

    losses, cell = observation.load_losses(), observation.cell
    columns = {"image_name": losses.image_ids, "split": losses.splits, "loss": losses.loss}
    head = {"cell": cell.key, "model": cell.model, "dataset_size": cell.dataset_size, "seed": cell.seed}
    return pandas.DataFrame(head | columns | {"kind": losses.kind})
