"""The section on grids: joint laws of model size and images, predictions, and best splits of a budget."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from mlproject.analysis import Allocation, Grid, data_name
from mlproject.report.document import Figure, Format, Row, Section, Table
from mlproject.report.formats import (
    as_count,
    as_fixed,
    as_interval,
    as_limits,
    as_scale,
    as_text,
    as_times,
    assessment_text,
    ends,
    group_column,
    interval,
    sentence,
)
from mlproject.report.study_tables import LIMITS, limits_at
from mlproject.scaling import LAWS, Envelope, Frontier, LawFit

LEAST_SHOWN = 0.01
"""The least weight at which a page shows a law."""
EXACT = 1e-3
"""A cost model whose errors are nowhere larger than this is called exact."""
RANKS = "Rank 1 is the best; the weights of a group sum to 1."
ENDS = ("", "_low", "_high")
CELLS = (
    "group", "data", "recipe", "model", "N", "D", "n_seeds", "n_images", "loss", "low", "high", "compute",
    "held_out_mean", "held_out_low", "held_out_high",
)  # fmt: skip
JOINT_LAWS = (
    "group", "data", "recipe", "law", "weight", "prior", "rank_in_sample", "rank_out_of_sample", "score",
    "verdict", "reason", *(f"{name}{end}" for name in ("alpha", "beta", "E") for end in ENDS),
)  # fmt: skip
PREDICTED = (
    "group",
    "data",
    "recipe",
    "N",
    "D",
    "horizon",
    *LIMITS,
    "N_max",
    "D_max",
    "heaviest_law",
    "verdict",
)
FRONTIER = (
    "group", "data", "recipe", "method", "compute", "unit",
    *(f"{name}{end}" for name in ("N", "D", "loss") for end in ENDS), "beyond",
    *(f"{name}_exponent{end}" for name in "ND" for end in ENDS),
)  # fmt: skip


def grid_head(grid: Grid) -> dict[str, Any]:
    """What a row of a file says of its grid."""
    return {"group": grid.label, "data": data_name(str(grid.fixed["data"])), "recipe": grid.fixed["recipe"]}


def _groups(grids: tuple[Grid, ...]) -> tuple[dict[str, Format], str]:
    return group_column(grid.label for grid in grids)


def grids_section(grids: tuple[Grid, ...]) -> Section:
    """Everything on grids; without grids its tables hold their headers."""
    cells = Table(name="joint_cells", rows=[row for grid in grids for row in cell_rows(grid)], columns=CELLS)
    optima = [row for grid in grids for row in frontier_rows(grid)]
    return Section(
        title="Joint laws of model size N and images D",
        paragraphs=(f"{_groups(grids)[1]}. Mean loss. {RANKS}",) if grids else (),
        bullets=tuple(_summary(grid) for grid in grids),
        tables=(
            _laws_table(grids),
            _predictions_table(grids),
            _splits_table(grids),
            cells,
            Table(name="frontier", rows=optima, columns=FRONTIER),
        ),
        figures=tuple(_figures([grid for grid in grids if grid.allocation is not None])),
    )


def grid_answers(grids: tuple[Grid, ...]) -> list[str]:
    """A sentence for each grid with laws: the heaviest law, its exponents, and the best split."""
    return [_answer(grid, grid.allocation) for grid in grids if grid.allocation is not None]


def _answer(grid: Grid, allocation: Allocation) -> str:
    law = grid.assessment.laws[0]
    exponents = ", ".join(f"{sign} {_parameter(law, name)}" for name, sign in (("alpha", "α"), ("beta", "β")))
    text = f"{grid.label}: {law.law} (weight {law.weight:.2f}), {exponents}: {grid.assessment.verdict}."
    if allocation.frontier is not None:
        exponent = interval(allocation.frontier.n_exponent)
        text += f" N* ~ C^{exponent} by {allocation.law}, C in {allocation.cell_cost.unit}."
    return text


def _parameter(law: LawFit, name: str) -> str:
    estimate = law.parameters.get(name) if law.fit is not None else None
    return interval(estimate, identified=estimate is not None and estimate.identified)


def _summary(grid: Grid) -> str:
    """Size, verdict with reason, held-out error and cost of a grid, or why it has no law."""
    if grid.allocation is None:
        return f"{grid.label}. No joint law: {grid.assessment.reason}."
    n_models, n_sizes = grid.shape
    parts = [
        f"{grid.label}: {len(grid.points)} cells, {n_models} model sizes × {n_sizes} data sizes.",
        sentence(assessment_text(grid.assessment)),
        *_held_out(grid),
        _cost(grid.allocation),
        *map(sentence, grid.allocation.refusals),
    ]
    return " ".join(parts)


def _held_out(grid: Grid) -> Iterator[str]:
    held = grid.held_out
    if held is not None:
        n = int(held.rows.sum())
        yield (
            f"Held out: the {n} most expensive cells, predicted from the other {len(grid.points) - n}, are "
            f"missed by {100 * held.error:.2g} % (root mean square); {held.n_inside} lie inside the 95 % "
            "interval of a new run."
        )


def _cost(allocation: Allocation) -> str:
    cell_cost = allocation.cell_cost
    cost = cell_cost.cost
    if not cell_cost.measured:
        return "A budget C is parameters × images, as no compute is logged that grows with both."
    error = "exact" if cell_cost.error < EXACT else f"off by at most {100 * cell_cost.error:.2g} %"
    formula = f"{cost.coefficient:.3g} N^{cost.n_power:.3g} D^{cost.d_power:.3g} FLOP"
    return f"A budget C is compute as logged, {formula}, {error}."


def _laws_table(grids: tuple[Grid, ...]) -> Table:
    rows = [row for grid in grids for row in _law_rows(grid)]
    formats = {**_groups(grids)[0], "law": as_text("formula"), "weight": as_fixed("weight")}
    formats |= {"rank in sample": as_count("rank_in_sample")}
    formats |= {"rank out of sample": as_count("rank_out_of_sample")}
    formats |= {"α of N": as_interval("alpha"), "β of D": as_interval("beta"), "E": as_interval("E")}
    formats["verdict"] = as_text("verdict")
    shown = [row for row in rows if (row.get("weight") or 0.0) >= LEAST_SHOWN]
    short = {"law": as_text("law"), "weight": formats["weight"]}
    short |= {name: formats[name] for name in ("α of N", "β of D")}
    caption = "Joint laws by weight, with 95 % intervals."
    narrow = Table(name="joint_laws", rows=shown, formats=short, caption=caption) if shown else None
    return Table(
        name="joint_laws",
        rows=rows,
        columns=JOINT_LAWS,
        formats=formats,
        caption=caption,
        narrow=narrow,
        shown=shown,
    )


def _law_rows(grid: Grid) -> Iterator[Row]:
    """Laws by weight; a rank of 1 is the best, and the two ranks may well disagree."""
    assessment = grid.assessment
    if assessment.average is None:
        yield {**grid_head(grid), "verdict": "not identifiable", "reason": assessment.reason}
        return
    for law in assessment.laws:
        standing = assessment.average.standings[law.law]
        row: dict[str, Any] = {**grid_head(grid), "law": law.law, "weight": law.weight}
        row |= {"prior": standing.prior, "score": standing.score, "rank_in_sample": law.in_sample_rank}
        row |= {"rank_out_of_sample": law.out_of_sample_rank}
        row["formula"] = f"{law.law}: {LAWS[law.law].formula}"
        if law.fit is not None:
            row |= {"verdict": law.verdict, "reason": law.reason}
            for name in ("alpha", "beta", "E"):
                estimate = law.parameters.get(name)
                row |= ends(name, estimate, identified=estimate is not None and estimate.identified)
        yield row


def _predictions_table(grids: tuple[Grid, ...]) -> Table:
    formats = {**_groups(grids)[0], "N": as_scale("N"), "D": as_scale("D")}
    formats |= {"beyond the data": as_times("horizon")}
    formats |= {"mean loss": as_interval("mean", "low", "high")}
    formats |= {"new run within": as_limits("new_run_low", "new_run_high")}
    rows = [row for grid in grids for row in prediction_rows(grid)]
    caption = "Predictions over all laws, with 95 % intervals."
    return Table(name="joint_predictions", rows=rows, columns=PREDICTED, formats=formats, caption=caption)


def prediction_rows(grid: Grid) -> Iterator[dict[str, Any]]:
    """Scales beyond the data with their horizon and limits."""
    predicted = grid.predictions
    if predicted is not None:
        n_max, d_max = grid.x.max(axis=0).tolist()
        tail = {"N_max": n_max, "D_max": d_max, "heaviest_law": grid.assessment.laws[0].law}
        for i, (n, d) in enumerate(grid.beyond.tolist()):
            row = {**grid_head(grid), "N": n, "D": d, "horizon": float(predicted.horizon[i])}
            yield row | limits_at(predicted, i) | tail | {"verdict": grid.assessment.verdict}


def _splits_table(grids: tuple[Grid, ...]) -> Table:
    rows = [
        {**grid_head(grid), "way": name, "budgets": len(way.compute)}
        | ends("N", way.n_exponent)
        | ends("D", way.d_exponent)
        for grid in grids
        if grid.allocation is not None
        for name, way in grid.allocation.ways
    ]
    formats = {**_groups(grids)[0], "method": as_text("way"), "N* ~ C^": as_interval("N")}
    formats |= {"D* ~ C^": as_interval("D"), "budgets": as_count("budgets")}
    caption = "Best split of a budget C: exponents of N* and D*; the optima are in frontier.csv."
    columns = (
        "group",
        "data",
        "recipe",
        "way",
        "budgets",
        *(f"{name}{end}" for name in "ND" for end in ENDS),
    )
    return Table(name="frontier_exponents", rows=rows, columns=columns, formats=formats, caption=caption)


def frontier_rows(grid: Grid) -> Iterator[Row]:
    """The optima by every method that applies."""
    if grid.allocation is not None:
        for method, way in grid.allocation.ways:
            for row in _optima(way):
                unit = grid.allocation.cell_cost.unit
                yield {**grid_head(grid), "method": method, "unit": unit, **row}


def _optima(way: Frontier | Envelope) -> Iterator[dict[str, Any]]:
    """A row for each budget: N, D, loss and their limits, and the exponents of N* and D*."""
    exponents = ends("N_exponent", way.n_exponent) | ends("D_exponent", way.d_exponent)
    for k in range(len(way.compute)):
        row: dict[str, Any] = {"compute": float(way.compute[k]), "N": float(way.n[k]), "D": float(way.d[k])}
        row |= {"N_low": float(way.n_limits[0, k]), "N_high": float(way.n_limits[1, k])}
        row |= {"D_low": float(way.d_limits[0, k]), "D_high": float(way.d_limits[1, k])}
        row["loss"] = float(way.loss[k])
        if isinstance(way, Frontier):
            low, high = way.loss_limits[:, k].tolist()
            row |= {"loss_low": low, "loss_high": high, "beyond": bool(way.beyond[k])}
        yield row | exponents


def cell_rows(grid: Grid) -> Iterator[Row]:
    """A row for each cell, with its prediction from cheaper ones where it was held out."""
    held = grid.held_out
    places = {} if held is None else {place: i for i, place in enumerate(np.flatnonzero(held.rows).tolist())}
    for i, point in enumerate(grid.points):
        loss = point.losses["mean"]
        row: dict[str, Any] = {**grid_head(grid), "model": grid.models[i]}
        row |= {"N": float(grid.x[i, 0]), "D": float(grid.x[i, 1])}
        row |= {"n_seeds": point.n_seeds, "n_images": point.n_images, "compute": float(grid.compute[i])}
        row |= {"loss": loss.value, "low": loss.low, "high": loss.high}
        if held is not None and i in places:
            limits = limits_at(held.prediction, places[i])
            row |= {f"held_out_{name}": limits[name] for name in ("mean", "low", "high")}
        yield row


def _figures(grids: list[Grid]) -> Iterator[Figure]:
    """Both figures of every grid with laws, numbered where there are several."""
    from mlproject.report.figures.grids import frontier_figure, grid_figure

    for i, grid in enumerate(grids, start=1):
        ending = f"_{i}" if len(grids) > 1 else ""
        caption = f"{grid.label}: loss against training images for each model size, and residuals."
        data = Table(name=f"joint{ending}", rows=[*cell_rows(grid), *_line_rows(grid)])
        yield Figure(name=data.name, draw=partial(grid_figure, grid), caption=caption, data=data)
        if grid.allocation is not None and grid.allocation.ways:
            caption = f"{grid.label}: best model size and number of images against the budget."
            draw = partial(frontier_figure, grid, grid.allocation)
            data = Table(name=f"frontier{ending}", rows=[*frontier_rows(grid)], columns=FRONTIER)
            yield Figure(name=data.name, draw=draw, caption=caption, data=data)


def _line_rows(grid: Grid) -> Iterator[Row]:
    """The losses predicted over D for each model size, as drawn."""
    for line in grid.model_lines:
        for what, part in (("all laws", line.inside), ("all laws, beyond", line.beyond)):
            for d, mean, low, high in zip(part.x, part.mean, part.low, part.high, strict=True):
                row: dict[str, Any] = {**grid_head(grid), "what": what, "model": line.model, "N": line.n}
                yield row | {"D": float(d), "loss": float(mean), "low": float(low), "high": float(high)}
