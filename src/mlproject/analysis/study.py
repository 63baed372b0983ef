"""Study: everything that an analysis computed, once, as one frozen value that reports read.

    observations -> runs -> pools (images in one order) -> replicates -> curves, grids, arms, ... -> study

Nothing here depends on where runs are stored or on how results are rendered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlproject.analysis.ablations import ArmTable, Interaction, ablate
from mlproject.analysis.axes import AXES
from mlproject.analysis.bootstrap import STATISTICS, replicates
from mlproject.analysis.classes import ClassScaling, class_scaling
from mlproject.analysis.comparable import ComparableRuns
from mlproject.analysis.curves import Curve, label_curves, make_curves
from mlproject.analysis.error_rates import PriorUse, published_laws, use_prior
from mlproject.analysis.exponent_differences import (
    ExponentDifference,
    RegionContrast,
    arm_exponents,
    region_contrasts,
)
from mlproject.analysis.grids import Grid, label_grids, make_grids
from mlproject.analysis.image_scale import ImageScaleComparison, image_scale_comparisons
from mlproject.analysis.iterations import IterationLedger, iteration_ledger
from mlproject.analysis.mistakes import Mistakes, mistakes
from mlproject.analysis.multiverse import Multiverse, multiverses
from mlproject.analysis.multiverse_comparisons import ComparisonMultiverse, comparison_multiverses
from mlproject.analysis.notes import mixture, notes
from mlproject.analysis.prediction_record import PredictionRecord
from mlproject.analysis.runs import EvaluatedRun, ImagePool, image_pools, read_runs
from mlproject.losses import Observation
from mlproject.scaling import PriorChoice


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
    ``iterations`` is None where no network was trained whole. ``runs`` holds one run of each cell,
    with its losses. ``prior`` is the library of known laws that was asked for, ``predictions`` the record of
    the sealed predictions of its experiment, where there is any.
    """

    curves: tuple[Curve, ...]
    grids: tuple[Grid, ...]
    ablation: Ablation
    image_scale: tuple[ImageScaleComparison, ...]
    region_contrasts: tuple[RegionContrast, ...]
    iterations: IterationLedger | None
    notes: tuple[str, ...]
    runs: tuple[EvaluatedRun, ...]
    n_left_out: int
    n_draws: int
    prior: PriorChoice | None = None
    predictions: PredictionRecord | None = None

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The ids of the tracked runs, in the order of their cells' keys."""
        return tuple(run.run_id for run in self.runs)

    @cached_property
    def classes(self) -> tuple[ClassScaling, ...]:
        """Scaling by class of the curves over images, where runs logged labels; reads their predictions."""
        return class_scaling(self.along("images"), self.pooled_runs, n_draws=self.n_draws)

    @cached_property
    def mistakes(self) -> Mistakes:
        """Which images are learned, lost or worse along scale, who shares mistakes; reads predictions."""
        return mistakes(self.curves, self.pooled_runs)

    @cached_property
    def multiverses(self) -> tuple[Multiverse, ...]:
        """Every curve under all combinations of defensible choices."""
        return multiverses(self.curves, self.pooled_runs)

    @cached_property
    def comparison_multiverses(self) -> tuple[ComparisonMultiverse, ...]:
        """Which curve is ahead under all combinations of defensible choices."""
        return comparison_multiverses(self.multiverses)

    @cached_property
    def prior_use(self) -> PriorUse | None:
        """Error rates with the laws of a library as their prior; None where none was asked for."""
        if self.prior is None:
            return None
        return use_prior(self.prior, self.curves, self._pools, n_draws=self.n_draws)

    @cached_property
    def pooled_runs(self) -> tuple[EvaluatedRun, ...]:
        """The runs with their places among the images of their pools; each reads its predictions once."""
        return tuple(run for pool in self._pools for run in pool.runs)

    @cached_property
    def _pools(self) -> tuple[ImagePool, ...]:
        return tuple(image_pools(self.runs))

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
        """What the families of all assessed curves have in common: data, recipe, knobs, protocol."""
        return " · ".join(self._shared_parts)

    @cached_property
    def _shared_parts(self) -> tuple[str, ...]:
        families = [curve.family.split(" · ") for curve in self.assessed]
        return tuple(part for part in families[0] if all(part in f for f in families)) if families else ()

    def name_of(self, curve: Curve) -> str:
        """A curve's name beside ``shared_family``: its series, and what sets its family apart."""
        apart = [part for part in curve.family.split(" · ") if part not in self._shared_parts]
        return " · ".join([curve.series, *apart])

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


def analyse(
    observations: Iterable[Observation],
    *,
    n_draws: int = 1000,
    seed: int = 0,
    mix_weights: bool = False,
    prior: PriorChoice | None = None,
) -> Study:
    """Everything that finished runs tell, whatever order they come in.

    With ``mix_weights`` models whose weights were trained differently may share a curve; ``prior`` is a
    library of known laws, the prior of error rates.
    Raises: BadInput when there is no run, DigestMismatch when two runs of one cell differ; WrongUse and
    BadInput for a library without such laws.
    """
    if prior is not None:
        published_laws(prior)
    runs, n_left_out = read_runs(observations, mix_weights=mix_weights)
    pools = image_pools(runs)
    parts = [_part(pool, n_draws, seed) for pool in pools]
    labelled = label_curves([pair for part in parts for pair in part.curves])
    others = [*mixture(runs), *(pool.note for pool in pools)]
    return Study(
        curves=labelled,
        grids=label_grids([pair for part in parts for pair in part.grids]),
        ablation=Ablation(
            tables=tuple(table for part in parts for table in part.ablation.tables),
            interactions=tuple(pair for part in parts for pair in part.ablation.interactions),
            exponents=tuple(pair for part in parts for pair in part.ablation.exponents),
        ),
        image_scale=tuple(pair for part in parts for pair in part.image_scale),
        region_contrasts=region_contrasts(labelled),
        iterations=iteration_ledger(runs),
        notes=notes(labelled, n_left_out=n_left_out, others=others),
        runs=tuple(runs),
        n_left_out=n_left_out,
        n_draws=n_draws,
        prior=prior,
    )


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What the runs of one pool tell, before curves and grids have labels."""

    curves: Sequence[tuple[ComparableRuns, Curve]]
    grids: Sequence[tuple[ComparableRuns, Grid]]
    ablation: Ablation
    image_scale: Sequence[ImageScaleComparison]


def _part(pool: ImagePool, n_draws: int, seed: int) -> _Part:
    drawn = replicates(pool, n_draws=n_draws, seed=seed)
    curves = make_curves(pool, drawn, seed)
    tables, interactions = ablate(pool, n_draws=n_draws, seed=seed)
    exponents = arm_exponents([curve for _, curve in curves], tables)
    return _Part(
        curves=curves,
        grids=make_grids(pool, drawn, seed),
        ablation=Ablation(tables=tuple(tables), interactions=tuple(interactions), exponents=tuple(exponents)),
        image_scale=tuple(image_scale_comparisons(pool, drawn, seed)),
    )
