"""Study: everything that an analysis computed, once, as one frozen value that reports read.

    observations -> runs -> pools (images in one order) -> replicates -> curves, grids, arms, ... -> study

Nothing here depends on where runs are stored or on how results are rendered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mlproject.analysis.ablations import ArmTable, Interaction, ablate
from mlproject.analysis.axes import AXES
from mlproject.analysis.bootstrap import replicates
from mlproject.analysis.comparable import ComparableRuns
from mlproject.analysis.curves import Curve, label_curves, make_curves
from mlproject.analysis.exponent_differences import (
    ExponentDifference,
    RegionContrast,
    arm_exponents,
    region_contrasts,
)
from mlproject.analysis.grids import Grid, label_grids, make_grids
from mlproject.analysis.image_scale import ImageScaleComparison, image_scale_comparisons
from mlproject.analysis.iterations import IterationLedger, iteration_ledger
from mlproject.analysis.notes import notes
from mlproject.analysis.points import STATISTICS
from mlproject.analysis.runs import image_pools, read_runs
from mlproject.losses import Observation


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """Arms against their baselines: tables by setting, interactions, and differences of exponents."""

    tables: tuple[ArmTable, ...] = ()
    interactions: tuple[Interaction, ...] = ()
    exponents: tuple[ExponentDifference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """Curves, grids, ablations and the other comparisons of one set of finished runs.

    ``notes`` are sentences, most important first; ``n_left_out`` counts runs that repeat a cell.
    ``iterations`` is None where no network was trained whole.
    """

    curves: tuple[Curve, ...]
    grids: tuple[Grid, ...]
    ablation: Ablation
    image_scale: tuple[ImageScaleComparison, ...]
    region_contrasts: tuple[RegionContrast, ...]
    iterations: IterationLedger | None
    notes: tuple[str, ...]
    run_ids: tuple[str, ...]
    n_left_out: int
    n_draws: int

    def along(self, axis: str) -> tuple[Curve, ...]:
        """The curves along one axis of ``AXES``."""
        return tuple(curve for curve in self.curves if curve.axis is AXES[axis])

    @property
    def assessed(self) -> tuple[Curve, ...]:
        """The curves of two or more scales."""
        return tuple(curve for curve in self.curves if curve.assessments)

    @property
    def unfitted(self) -> tuple[Curve, ...]:
        """Curves of several scales that no law was fitted to."""
        return tuple(curve for curve in self.curves if curve.refusal)

    @property
    def shared_family(self) -> str:
        """The family that all assessed curves belong to, or nothing where there are several."""
        families = {curve.family for curve in self.assessed}
        return families.pop() if len(families) == 1 else ""

    def name_of(self, curve: Curve) -> str:
        """A curve's name beside ``shared_family``, where there is one."""
        return curve.series if self.shared_family else curve.label

    def points(self) -> list[dict[str, Any]]:
        """A row for each point of each curve and statistic, as ``mlproject fit`` reads them from a CSV file.

        ``sd`` is the noise of the point that other points of the curve do not share, empty where unknown.
        """
        return [
            {"group": curve.label, "axis": curve.axis.name, "statistic": statistic, **row}
            for curve in self.curves
            for statistic in STATISTICS
            for row in curve.csv_points(statistic)
        ]


def analyse(observations: Iterable[Observation], *, n_draws: int = 1000, seed: int = 0) -> Study:
    """Everything that finished runs tell, whatever order they come in.

    Raises: BadInput when there is no run, DigestMismatch when two runs of one cell differ.
    """
    runs, n_left_out = read_runs(observations)
    pools = image_pools(runs)
    curves: list[tuple[ComparableRuns, Curve]] = []
    grids: list[tuple[ComparableRuns, Grid]] = []
    tables: list[ArmTable] = []
    interactions: list[Interaction] = []
    exponents: list[ExponentDifference] = []
    image_scale: list[ImageScaleComparison] = []
    for pool in pools:
        drawn = replicates(pool, n_draws=n_draws, seed=seed)
        curves_here = make_curves(pool, drawn, seed)
        tables_here, interactions_here = ablate(pool, n_draws=n_draws, seed=seed)
        curves += curves_here
        grids += make_grids(pool, drawn, seed)
        tables += tables_here
        interactions += interactions_here
        exponents += arm_exponents([curve for _, curve in curves_here], tables_here)
        image_scale += image_scale_comparisons(pool, drawn, seed)
    labelled, labelled_grids = label_curves(curves), label_grids(grids)
    contrasts = region_contrasts(labelled)
    pool_notes = [pool.note for pool in pools if pool.note]
    return Study(
        curves=labelled,
        grids=labelled_grids,
        ablation=Ablation(tables=tuple(tables), interactions=tuple(interactions), exponents=tuple(exponents)),
        image_scale=tuple(image_scale),
        region_contrasts=contrasts,
        iterations=iteration_ledger(runs),
        notes=notes(labelled, labelled_grids, contrasts, n_left_out=n_left_out, pool_notes=pool_notes),
        run_ids=tuple(run.run_id for run in runs),
        n_left_out=n_left_out,
        n_draws=n_draws,
    )
