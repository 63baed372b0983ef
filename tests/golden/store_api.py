"""All that the golden tests know of plans, stores and studies: calls of version 0.2, results as plain values.

A redesign changes the imports and attributes here, and neither numbers nor tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlproject.analysis import AXES, analyse
from mlproject.cell import Cell
from mlproject.cli.listing import list_runs
from mlproject.plans import read_plan
from mlproject.runs import run_plan
from mlproject.tracking import done_runs, open_store
from tests.golden.scaling_api import (
    told_average,
    told_difference,
    told_envelope,
    told_estimate,
    told_fit,
    told_frontier,
    told_images,
    told_prediction,
)

Told = dict[str, Any]
STATISTICS = ("mean", "median")
DRAWS = 200
"""Bootstrap draws of the golden fit: a fifth of what a fit takes, for the time of a test."""


class Silent:
    """A watcher of a plan that says nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *args: None


def stored() -> Any:
    """The experiment of the store that the environment names."""
    return open_store(create=False)


def observations(store: Any) -> list[Any]:
    return list(store.observations())


def cells_of(plan: Path) -> dict[str, Told]:
    """Every cell of a plan in its order: its fields, by its key."""
    return {cell.key: cell.to_dict() for cell in read_plan(plan, {}).cells}


def cells_in(found: Sequence[Any]) -> dict[str, Told]:
    """The cells that were observed: their fields, by their keys."""
    return {one.cell.key: one.cell.to_dict() for one in found}


def key_of(fields: Mapping[str, Any]) -> str:
    """The key of the cell with these fields."""
    return Cell.from_dict(fields).key


def shown_done() -> set[str]:
    """Keys that ``sweep --dry-run`` marks as done."""
    return set(done_runs()[1])


def listed_done(store: Any) -> set[str]:
    """Keys that ``ls`` lists as done."""
    return {record["cell"] for record in list_runs(store) if record["status"] == "done"}


def outcomes(plan: Path, store: Any) -> list[tuple[str, str]]:
    """What a sweep over a plan says of each cell: its key, and what became of it."""
    results = run_plan(read_plan(plan, {}), store, Silent())
    return [(result.cell.key, result.status) for result in results]


def fitted_cells(store: Any) -> list[str]:
    """Keys of the cells that the newest stored fit used, as its own table says."""
    run = store.finished(kind="fit", tags={})
    lines = store.artifact(run, "runs.csv").read_text("utf-8").splitlines()
    return [line.split(",")[0] for line in lines[1:]]


def study_of(found: Sequence[Any]) -> Told:
    """Every number and verdict of an aggregation of these observations."""
    study, keys = analyse(found, n_draws=DRAWS), {one.run_id: one.cell.key for one in found}
    return {
        "runs": {"n": len(study.run_ids), "left out": study.n_left_out, "draws": study.n_draws},
        "curves": {_name_of_curve(curve, keys): _curve(curve) for curve in study.curves},
        "grids": {_digest(grid.points, keys): _grid(grid) for grid in study.grids},
        "contrasts": {_name_of_contrast(one, keys): _contrast(one) for one in study.region_contrasts},
        "ablations": _ablation(study.ablation),
        "sweet spots": {f"{spot.label}, {spot.kind}": _spot(spot) for spot in study.image_scale},
        "ledger": _ledger(study.iterations),
    }


def _digest(points: Sequence[Any], keys: Mapping[str, str]) -> str:
    """A name that follows from the cells behind some points alone."""
    mine = sorted(keys[run] for point in points for run in point.run_ids)
    return hashlib.sha256("".join(mine).encode()).hexdigest()[:12]


def _name_of_curve(curve: Any, keys: Mapping[str, str]) -> str:
    axis = next(name for name, axis in AXES.items() if axis is curve.axis)
    return f"{axis} {_digest(curve.points, keys)}"


def _curve(curve: Any) -> Told:
    told: Told = {"about": curve.label, "points": [_point(point) for point in curve.points]}
    told["verdicts"] = {
        f"{name} {one.law}": _verdict(one, curve.x)
        for name in curve.assessments
        for one in curve.reported_laws(name)
    }
    told["averages"] = {
        name: told_average(one.average, [*curve.x, 2 * curve.x[-1], 10 * curve.x[-1]])
        for name, one in curve.assessments.items()
        if one.average is not None
    }
    told["held out"] = {
        name: told_prediction(one.held_out.prediction)
        for name, one in curve.assessments.items()
        if one.held_out is not None
    }
    told["correlations"] = [[one.n_images, one.pearson, one.spearman] for one in curve.correlations]
    told["local"] = {name: _local(curve.local_exponents.get(name)) for name in STATISTICS}
    if curve.image_exponents is not None:
        told["images"] = told_images(curve.image_exponents)
    return told


def _point(point: Any) -> Told:
    told: Told = {"x": point.x, "seeds": point.n_seeds, "images": point.n_images}
    told |= {"acceleration": point.acceleration}
    told |= {name: [point.value(name), *point.interval(name)] for name in STATISTICS}
    return told | {"distribution": dict(point.distribution)}


def _verdict(one: Any, x: Any) -> Told:
    fitted = None if one.fit is None else told_fit(one.fit, [2 * x[-1], 10 * x[-1]])
    identified = {name for name, estimate in one.parameters.items() if estimate.identified and one.fit}
    return {"verdict": one.verdict, "identified": identified, "fit": fitted}


def _local(found: Any) -> Told | None:
    return None if found is None else {name: getattr(found, name) for name in ("x", "value", "low", "high")}


def _grid(grid: Any) -> Told:
    told: Told = {"about": grid.label, "x": grid.x, "compute": grid.compute, "refused": not grid.has_laws}
    told["points"] = [_point(point) for point in grid.points]
    if not grid.has_laws:
        return told
    laws, held, split = grid.assessment, grid.assessment.held_out, grid.allocation
    told |= {"verdict": laws.verdict, "heaviest": laws.heaviest.law}
    told["average"] = told_average(laws.average, grid.beyond)
    told["fits"] = {name: told_fit(one, grid.beyond) for name, one in laws.fits.items()}
    told["held out"] = None if held is None else {"rows": held.rows} | told_prediction(held.prediction)
    told["cost"] = {n: getattr(split.cell_cost.cost, n) for n in ("coefficient", "n_power", "d_power")}
    told["spending"] = {n: getattr(split.cell_cost, n) for n in ("unit", "measured", "error")}
    told["frontier"] = None if split.frontier is None else told_frontier(split.frontier)
    told |= {"split by": split.law, "n_refusals": len(split.refusals)}
    return told | {"envelopes": [told_envelope(one) for one in split.envelopes]}


def _name_of_contrast(one: Any, keys: Mapping[str, str]) -> str:
    curves = " less ".join(_name_of_curve(curve, keys) for curve in (one.first, one.second))
    return f"{curves}, {one.statistic} {one.law}"


def _contrast(one: Any) -> Told:
    told: Told = {"regions": one.regions, "identified": one.identified, "scale": one.scale}
    return told | {"difference": told_difference(one.difference), "ratio": told_estimate(one.loss_ratio)}


def _effect(one: Any) -> list[float]:
    return [one.value, one.low, one.high, one.p, one.n_seeds, one.n_images]


def _versus(one: Any) -> list[Any] | None:
    return None if one is None else [*_effect(one.effect), one.holm, one.verdict]


def _ablation(found: Any) -> Told:
    matrices = {f"{matrix.label} {i}": _matrix(matrix) for i, matrix in enumerate(found.tables)}
    interactions = {
        f"{one.arm} {one.axis} {one.series} {i}": {
            "scales": one.scales, "steps": [_effect(step) for step in one.steps],
            "loss": _versus(one.loss), "error": _versus(one.error),
        }
        for i, one in enumerate(found.interactions)
    }  # fmt: skip
    steeper = {
        f"{one.arm} {one.axis} {one.series} {one.law} {i}": {
            "own": told_estimate(one.exponent), "baseline": told_estimate(one.baseline),
            "difference": told_difference(one.difference), "identified": one.identified,
        }
        for i, one in enumerate(found.exponents)
    }  # fmt: skip
    return {"matrices": matrices, "interactions": interactions, "exponents": steeper}


def _matrix(matrix: Any) -> Told:
    return {row.arm: _row(row) for row in matrix.rows}


def _row(row: Any) -> Told:
    told: Told = {"seeds": row.n_seeds, "parameters": row.n_params}
    told["loss"] = {name: _effect(one) for name, one in row.loss.items()}
    told["error"] = {name: _effect(one) for name, one in row.error.items()}
    told |= {"versus loss": _versus(row.loss_difference), "versus error": _versus(row.error_difference)}
    counts = row.mcnemar
    told["mcnemar"] = None if counts is None else [counts.first_only, counts.second_only, counts.p]
    return told


def _spot(spot: Any) -> Told:
    curves = {"models": spot.models} | {curve.name: curve for curve in spot.scales}
    told: Told = {name: [_compute(point) for point in curve.points] for name, curve in curves.items()}
    names = ("gmac", "low", "high", "share", "ahead", "gap", "gap_low", "gap_high", "reach")
    return told | {"crossings": {c.name: [getattr(c, name) for name in names] for c in spot.crossings}}


def _compute(point: Any) -> list[Any]:
    own = [point.model, list(point.image_scales), point.gmac, point.loss, *point.interval]
    return [*own, point.n_seeds, point.n_images]


def _ledger(found: Any) -> Told:
    return {} if found is None else {family.name: _family(family) for family in found.families}


def _family(family: Any) -> Told:
    budgets = {f"{size} {budget}": amount for (size, budget), amount in family.budgets.items()}
    return {"budgets": budgets} | {arm.label: _arm(arm) for arm in family.arms}


def _arm(arm: Any) -> Told:
    told: Told = {"parent": arm.parent, "gain": arm.gain, "accuracy": arm.mean_sd("accuracy")}
    told["intervals"] = [run.interval for run in arm.runs]
    return told | {"equal": {f"{what} at equal {b}": v for (b, what), v in arm.equal.items()}}
