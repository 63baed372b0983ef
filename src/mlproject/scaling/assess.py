"""Assess a set of points: fitted laws, their weighted average, one verdict with its reason, and predictions.

``assess`` is the single entry for every source of points, so that all of them are held to the same rules:

- a **tracked curve** passes one row per point, ``draws`` [replicates, points] of its mean or median loss, and
  for the mean ``influence`` [images, points];
- a **grid of model size and images** passes ``x`` [cells, 2] in the order N, D, the same ``draws`` and
  ``influence``, ``axes=("model size", "data size")``, and its cost model as ``cost``;
- a **group of a CSV file** passes one row per line, with ``sd``, ``ceiling`` and ``laws`` where given.

What data can carry is decided by the same rules for all: how many scales a law of p parameters needs
(``scales_needed``), the narrowest range of an axis, the smallest grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mlproject.errors import BadInput
from mlproject.scaling.allocation.budget import Cost
from mlproject.scaling.assessment import Assessment, HeldOut, LawFit
from mlproject.scaling.averaging.average import Average, Origin, average_together
from mlproject.scaling.averaging.averaged_points import thinned
from mlproject.scaling.averaging.library_prior import bounded
from mlproject.scaling.averaging.library_use import library_flags, library_use
from mlproject.scaling.fitting.fit import fit_points
from mlproject.scaling.fitting.points import Points, read_influence, read_points, unshared_noise
from mlproject.scaling.fitting.shared_noise import SHOWN
from mlproject.scaling.fitting.slopes import average_slopes, is_flat, rises
from mlproject.scaling.fitting.verdict import (
    FLAT,
    UNIDENTIFIABLE,
    carrying,
    grid_shortage,
    not_fitted,
    too_few_scales,
    verdict_over_laws,
)
from mlproject.scaling.laws import LAWS, STANDARD, check_laws
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.library import Library
from mlproject.scaling.selection import select

LEAST_AVERAGED = 3  # distinct scales from which on laws are averaged
LEAST_HELD_OUT = 4  # distinct scales before the largest is held out: the others must carry an average
HELD_OUT_SHARE = 0.25  # share of the cells of a grid, most expensive first, that is held out
LEAST_WEIGHT = 0.1  # the least weight at which a law may decide the verdict where the heaviest law cannot


def assess(
    x: ArrayLike,
    y: ArrayLike,
    *,
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
    influence: ArrayLike | None = None,
    ceiling: float | None = None,
    noise_dof: float = float("inf"),
    runs: Sequence[object] | None = None,
    laws: Iterable[str] = (),
    axes: Sequence[str] = (),
    cost: Cost | None = None,
    library: Library | None = None,
) -> Assessment:
    """Assess losses y [m] at scales x [m] or [m, axes].

    ``sd`` [m] is the known standard deviation of each y. ``draws`` [b, m] are replicates of y that share
    their resampled images; where ``sd`` is not given, it is then the part of their spread that the scales do
    not share. ``noise_dof`` are the degrees of freedom behind either: infinite where the noise is known, 0
    where they hold part of it, as of one seed. ``runs`` [m] labels rows that share an offset. ``influence``
    [n, m] is that of every image on each y. ``ceiling`` is the uninformed loss, ``laws`` names laws,
    ``axes`` the axes in messages, ``cost`` orders cells that are held out, ``library`` gives priors for a
    curve. Repeated rows and outliers are left out (``select``); a single scale is refused in words.
    Raises: WrongUse for a law that does not exist, BadInput for a law or a library of other axes.
    """
    scales = np.asarray(x, dtype=np.float64)[:, None] if np.ndim(x) == 1 else np.asarray(x, dtype=np.float64)
    names = check_laws(laws, scales.shape[1])
    labels = tuple(axes) or (("x",) if scales.shape[1] == 1 else tuple("NDS"[: scales.shape[1]]))
    if scales.shape[1] > 1 and (shortage := grid_shortage(scales, labels)):
        return _refused(scales, shortage)
    try:
        if sd is None and draws is not None:
            sd = unshared_noise(np.asarray(y, dtype=np.float64), np.asarray(draws, dtype=np.float64))
        points = read_points(scales, y, sd=sd, draws=draws, ceiling=ceiling, noise_dof=noise_dof, runs=runs)
        effect = read_influence(influence, points)
    except BadInput as error:
        return _refused(scales, f"not fitted: {error}")
    kept = points if library is None else bounded(points, library)
    return _assess(_selected(_Data(kept, effect, names, labels, library)), cost)


def _refused(scales: Array, reason: str) -> Assessment:
    n_scales = len(np.unique(scales, axis=0))
    return Assessment(verdict=UNIDENTIFIABLE, reason=reason, n_points=len(scales), n_scales=n_scales)


@dataclass(frozen=True)
class _Data:
    """Checked points, the influence of images on ln y, requested laws, names of the axes, library, flags."""

    points: Points
    influence: Array | None
    laws: tuple[str, ...]
    axes: tuple[str, ...]
    library: Library | None = None
    flags: tuple[str, ...] = ()

    def averages(self, held_out: NDArray[np.bool_] | None) -> tuple[Average | None, Average | None]:
        """The averages over the points, and over those that are not ``held_out`` [m] where any are.

        None for too few scales or a rising loss.
        """
        every = self._origin(self.points, ranked=True)
        if every is None or held_out is None:
            return (None, None) if every is None else (self._average([every])[0], None)
        part = self._origin(self._part(~held_out), ranked=False)
        averaged = self._average([every] if part is None else [every, part])
        return averaged[0], averaged[1] if part is not None else None

    def _part(self, rows: NDArray[np.bool_]) -> Points:
        """The rows of a mask; the noise that scales do not share is estimated again for part of a curve."""
        points = self.points.take(rows)
        if points.draws is None or points.x.shape[1] > 1:
            return points
        return replace(points, sd=unshared_noise(points.y, points.draws))

    def _origin(self, points: Points, *, ranked: bool) -> Origin | None:
        if points.n_scales < LEAST_AVERAGED or (not self.laws and rises(points)):
            return None
        laws = {name: LAWS[name] for name in self.laws} or None
        return Origin.of(points, laws, ranked=ranked, library=self.library)

    def _average(self, origins: Sequence[Origin]) -> list[Average]:
        """Averages, beside the power law where laws that only fall would decide the intervals."""
        weak = [_is_weak(origin.points) for origin in origins]
        return [
            averaged.beside(fit_points(averaged.points, LAWS["power"])) if is_weak else averaged
            for averaged, is_weak in zip(average_together(origins), weak, strict=True)
        ]


def _is_weak(points: Points) -> bool:
    """Whether a curve has too few scales for a verdict without a library, or is flat."""
    if points.x.shape[1] > 1:
        return False
    return bool(too_few_scales(points, LAWS["power"])) or all(map(is_flat, average_slopes(points)))


def _selected(data: _Data) -> _Data:
    """The rows that are fitted, with flags that name the others."""
    rows, flags = select(data.points)
    if rows.all():
        return replace(data, flags=flags)
    effect = None if data.influence is None else data.influence[:, rows]
    return replace(data, points=data.points.take(rows), influence=effect, flags=flags)


def _assess(data: _Data, cost: Cost | None) -> Assessment:
    points = data.points
    held_out, averaged, others = _held_out(data, cost), None, None
    if not not_fitted(data.points, LAWS["power"], data.axes[0]):
        averaged, others = data.averages(held_out)
    laws = _laws(data, averaged)
    verdict, reason = combine_verdicts(laws)
    local = floor = use = None
    if averaged is not None and points.x.shape[1] == 1:
        local, floor = averaged.local_exponent(float(points.x.max())), averaged.irreducible_loss()
        if averaged.least is None and verdict != FLAT:
            verdict, reason = verdict_over_laws(
                points, local, floor, carrying(laws[0].law, laws[0].weight, laws[0].parameters)
            )
        if data.library is not None and (use := library_use(averaged, data.library, local, floor)):
            local, floor = use.local.estimate, use.floor.estimate
            verdict, reason = use.qualified(verdict, reason)
    power = [row.parameters["alpha"] for row in laws if row.law == "power" and row.fit is not None]
    return Assessment(
        verdict=verdict,
        reason=reason,
        n_points=len(points.y),
        n_scales=points.n_scales,
        laws=laws,
        exponents=averaged.parameters if averaged is not None else dict(zip(("alpha",), power, strict=False)),
        local=local,
        floor=floor,
        flags=(
            *data.flags,
            *_run_flags(data, laws),
            *(() if averaged is None else averaged.flags),
            *library_flags(data.library, use),
        ),
        average=averaged,
        held_out=None
        if others is None or held_out is None
        else HeldOut(rows=held_out, prediction=others.predict(points.x[held_out])),
        points=points,
        library=use,
    )


def _laws(data: _Data, averaged: Average | None) -> tuple[LawFit, ...]:
    """Every law that was averaged or fitted, heaviest first."""
    n_axes = data.points.x.shape[1]
    names = data.laws or STANDARD[n_axes]
    fitted = [name for name in names if name in STANDARD[n_axes]] or list(names)
    weights = {} if averaged is None else averaged.weights
    rows = [_law(data, name, averaged) for name in fitted]
    rows += [_averaged_law(averaged, name) for name in weights if averaged is not None and name not in fitted]
    return tuple(sorted(rows, key=lambda row: -row.weight))


def _law(data: _Data, name: str, averaged: Average | None) -> LawFit:
    """A law that is fitted on its own, where the data are sufficient."""
    refusal = not_fitted(data.points, LAWS[name], data.axes[0])
    if averaged is not None and name in averaged.standings:
        row = _averaged_law(averaged, name)
    else:
        weight = float(averaged is None and name == "power" and rises(data.points))
        row = LawFit(law=name, weight=weight, verdict=UNIDENTIFIABLE, reason="", parameters={})
    if refusal:
        return replace(row, reason=refusal)
    fitted = fit_points(thinned(data.points), LAWS[name], influence=data.influence)
    given = fitted.parameters.items()
    parameters = {key: replace(estimate, identified=key in fitted.identified) for key, estimate in given}
    return replace(row, verdict=fitted.verdict, reason=fitted.reason, parameters=parameters, fit=fitted)


def _averaged_law(averaged: Average, name: str) -> LawFit:
    """A law of the average, with the parameters of its posterior."""
    standing = averaged.standings[name]
    return LawFit(
        law=name,
        weight=standing.weight,
        verdict=UNIDENTIFIABLE,
        reason="averaged, not fitted on its own",
        parameters=averaged.law_parameters(name),
        in_sample_rank=standing.in_sample_rank,
        out_of_sample_rank=standing.out_of_sample_rank,
    )


def _run_flags(data: _Data, laws: Sequence[LawFit]) -> tuple[str, ...]:
    """What a reader must know of noise that rows share: of models, or of stated runs that do not show it."""
    points, heaviest = data.points, next((row for row in laws if row.fit is not None), None)
    shared = None if heaviest is None or heaviest.fit is None else heaviest.fit.shared
    if points.runs is not None:
        unknown = (
            "the noise that the rows of a run share cannot be estimated and is left out of the intervals"
        )
        few = f"{points.n_runs} run{'s' * (points.n_runs > 1)}, {len(points.y)} rows: {unknown}"
        return () if heaviest is None or shared is not None else (few,)
    if heaviest is None or shared is None or shared.chance >= SHOWN:
        return ()
    noise = f"rows of the same {data.axes[0]} share noise (correlation {shared.correlation:.2f} around"
    answer = f"{noise} {heaviest.law}), so each {data.axes[0]} counts as one run"
    return (answer if points.draws is not None else f"{answer}; name the column of runs if it is another",)


def combine_verdicts(laws: Sequence[LawFit]) -> tuple[str, str]:
    """Combine the verdicts of several laws fitted to the same points, heaviest first.

    *Flat* is a statement on the average slope, whatever the law, so one law with it is enough. Otherwise the
    heaviest law that is identifiable and carries ``LEAST_WEIGHT`` decides; without any, the heaviest law
    gives the reason.
    """
    fitted = [row for row in laws if row.fit is not None]
    if not fitted:
        reasons = [row.reason for row in laws if row.reason]
        return UNIDENTIFIABLE, reasons[0] if reasons else "no law could be fitted"
    flat = [row for row in fitted if row.verdict == FLAT]
    decided = [row for row in fitted if row.verdict != UNIDENTIFIABLE and row.weight >= LEAST_WEIGHT]
    chosen = (flat or decided or fitted)[0]
    return chosen.verdict, f"{chosen.law}: {chosen.reason}"


def _held_out(data: _Data, cost: Cost | None) -> NDArray[np.bool_] | None:
    """The rows of the largest scale, or of the most expensive cells, where the others suffice."""
    points = data.points
    if points.x.shape[1] == 1:
        return points.x[:, 0] >= points.x.max() if points.n_scales >= LEAST_HELD_OUT else None
    price = np.prod(points.x, axis=1) if cost is None else cost.of(points.x[:, 0], points.x[:, 1])
    rows = price > np.quantile(price, 1.0 - HELD_OUT_SHARE)
    return None if grid_shortage(points.x[~rows], data.axes) else rows
