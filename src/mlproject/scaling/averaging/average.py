"""Average laws for prediction: weights from rolling-origin scores, a discrepancy added to every law.

    p(y | data) = sum_laws w_law p(y | law, data)

Sources: Dawid 1984 (prequential scoring); Tashman 2000 (rolling origin); Yao et al. 2018 (stacking predictive
distributions); Kennedy and O'Hagan 2001 (discrepancy). In-sample rank can be the reverse of out-of-sample
rank on small grids, so weights never come from R2, AIC or evidence alone (see ``weights``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from mlproject.errors import BadInput
from mlproject.scaling.averaging.exponents import asymptotic_exponents, irreducible_loss, local_exponent
from mlproject.scaling.averaging.flags import find_flags, sampling_flags
from mlproject.scaling.averaging.library_prior import usual_posterior, with_library
from mlproject.scaling.averaging.mixture import mixture, summarise
from mlproject.scaling.averaging.posterior import Posterior
from mlproject.scaling.averaging.standings import Standing, rank, with_admitted
from mlproject.scaling.averaging.targets import Target, posteriors, target_of
from mlproject.scaling.averaging.weights import (
    Cut,
    admits,
    prior_weights,
    rolling_cuts,
    scores_count,
)
from mlproject.scaling.fitting.fit import Fit
from mlproject.scaling.fitting.intervals import LEVELS, Estimate
from mlproject.scaling.fitting.least_squares import one_thread
from mlproject.scaling.fitting.points import Points, Prediction, horizon, read_points, read_scales
from mlproject.scaling.fitting.profile_likelihood import interpolate_dense
from mlproject.scaling.fitting.slopes import rises
from mlproject.scaling.laws import ADMITTED, AVERAGED, LAWS, find_law
from mlproject.scaling.laws.law import Array, ScalingLaw
from mlproject.scaling.laws.library import Library

RISING = ("power",)
SAMPLES = 1000  # of the parameters of one law
FAR = 10.0  # times the largest scale: what a loss is below there, its limit is below too


@dataclass(frozen=True, kw_only=True)
class Average:
    """Laws with their weights, and predictions that allow for a discrepancy of all of them.

    Points of too few scales for a verdict leave so few degrees of freedom that the priors of laws would
    decide the intervals, and those of a flat curve would hold no slope of 0, as laws fall. They then hold the
    interval of the power law as well (``least``, see ``beside``), and the exponents are not identified.
    ``usual`` is the average without a library, where the priors of the laws are from one.
    """

    standings: Mapping[str, Standing]
    parameters: Mapping[str, Estimate]
    n_cuts: int
    flags: tuple[str, ...]
    points: Points = field(repr=False)
    posteriors: Mapping[str, Posterior] = field(repr=False)
    least: Fit | None = field(default=None, repr=False)
    usual: Average | None = field(default=None, repr=False)

    @property
    def weights(self) -> dict[str, float]:
        """Weight per law, summing to one."""
        return {name: standing.weight for name, standing in self.standings.items()}

    def predict(self, x: ArrayLike) -> Prediction:
        """Predict losses at x [n] or [n, axes], with 95 % intervals of the mean and of one new run."""
        at = read_scales(x, self.points.x.shape[1])
        log_at, unit = self.points.scaled(at), self.points.loss_unit
        mean, low, high, run_low, run_high = unit * np.exp(self._quantiles(log_at))
        averaged = Prediction(
            mean=mean,
            low=low,
            high=high,
            new_run_low=run_low,
            new_run_high=run_high,
            horizon=horizon(self.points, at),
        )
        return averaged if self.least is None else averaged.united(self.least.predict(at))

    def local_exponent(self, x: float) -> Estimate:
        """-d ln L / d ln x at a scale of the only axis, over all laws (with ``least``: limits only)."""
        log_x = float(self.points.scaled(np.array([[x]]))[0, 0])
        local = local_exponent(self.posteriors, self.weights, log_x)
        if self.least is None:
            return local
        return replace(local.united(self.least.parameters["alpha"]), identified=False)

    def irreducible_loss(self) -> Estimate:
        """The loss at infinite scale of the only axis, over all laws; 0 is its limit under a power law.

        At most the loss predicted far beyond the largest scale: a law's own floor may lie above it where the
        law departs from the data.
        """
        floor = irreducible_loss(self.posteriors, self.weights, self.points)
        reached = self.predict(FAR * self.points.x.max(axis=0))
        most = Estimate(value=float(reached.mean[0]), low=float(reached.low[0]), high=float(reached.high[0]))
        ends = {key: min(getattr(floor, key), getattr(most, key)) for key in ("value", "low", "high")}
        floor = replace(floor, **ends)
        return floor if self.least is None else replace(floor, low=0.0, identified=False)

    def beside(self, least: Fit) -> Average:
        """This average with intervals that hold those of a fitted law too.

        With the priors of a library only that without it needs them (``usual``).
        """
        if self.usual is not None:
            return replace(self, usual=self.usual.beside(least))
        parameters = {
            name: replace(estimate.united(least.parameters[name]), identified=False)
            if name in least.parameters
            else estimate
            for name, estimate in self.parameters.items()
        }
        return replace(self, parameters=parameters, least=least)

    def law_parameters(self, name: str) -> dict[str, Estimate]:
        """Parameters of one law in the units of the data: medians and 95 % intervals of its posterior.

        They exclude the discrepancy. Raises: KeyError for a law that is not averaged.
        """
        post = self.posteriors[name]
        sample, hypothesis = post.resample(SAMPLES)
        theta = post.theta[sample].copy()
        theta[:, post.law.n_shapes :] *= np.exp(post.levels(theta, hypothesis))[:, None]
        values = post.law.physical(theta, self.points.log_unit, self.points.loss_unit)
        limits = {key: np.quantile(value, LEVELS) for key, value in values.items()}
        return {
            key: Estimate(value=float(v[1]), low=float(v[0]), high=float(v[2]), identified=self.least is None)
            for key, v in limits.items()
        }

    def _quantiles(self, log_at: Array) -> Array:
        """Centre and limits of the mean, and limits of a new run, of the log loss [5, n]."""
        return interpolate_dense(lambda at: summarise(*mixture(self.posteriors, self.weights, at)), log_at)


def average(
    x: ArrayLike,
    y: ArrayLike,
    *,
    sd: ArrayLike | None = None,
    draws: ArrayLike | None = None,
    ceiling: float | None = None,
    noise_dof: float = float("inf"),
    runs: Sequence[object] | None = None,
    laws: Iterable[str] | None = None,
) -> Average:
    """Average laws over points as ``fit`` takes them; ``laws`` names those to average.

    The result is deterministic. Raises: BadInput for fewer than three distinct scales.
    """
    points = read_points(x, y, sd=sd, draws=draws, ceiling=ceiling, noise_dof=noise_dof, runs=runs)
    axes = points.x.shape[1]
    if points.n_scales < 3:
        raise BadInput(f"averaging laws needs three distinct scales and got {points.n_scales}")
    if laws is None:
        if axes not in AVERAGED:
            raise BadInput(f"no laws to average over {axes} axes")
        return average_points(points)
    members = {name: find_law(name) for name in laws}
    wrong = [name for name, law in members.items() if law.axes != axes]
    if wrong or not members:
        raise BadInput(
            f"no laws to average over {axes} axes" if not members else f"{wrong[0]} needs other axes"
        )
    return average_points(points, members)


def default_laws(points: Points) -> tuple[str, ...]:
    """The laws to average by default, by number of axes; only the power law where the loss rises."""
    names = AVERAGED.get(points.x.shape[1], ())
    if rises(points):
        return RISING
    return (*names, "m4") if points.ceiling is not None and names == AVERAGED[1] else names


def average_points(points: Points, members: Mapping[str, ScalingLaw] | None = None) -> Average:
    """Average laws over checked points (default: those of ``default_laws``, and ``ADMITTED``)."""
    return average_together([Origin.of(points, members)])[0]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What an average starts from: points, laws by name, a law that may be admitted, and cuts for scores.

    The priors of the laws are those of the ``library``, where there is one.
    """

    points: Points
    members: Mapping[str, ScalingLaw]
    candidate: ScalingLaw | None
    target: Target
    cuts: Sequence[Cut]
    library: Library | None = None

    @classmethod
    def of(
        cls,
        points: Points,
        members: Mapping[str, ScalingLaw] | None = None,
        *,
        ranked: bool = True,
        library: Library | None = None,
    ) -> Origin:
        """That of points and laws; laws that are not ``ranked`` have scores only where these weigh them."""
        target, rising = target_of(points), rises(points)
        laws = {name: LAWS[name] for name in default_laws(points)} if members is None else members
        return cls(
            points=points,
            members=laws if library is None else with_library(laws, library),
            candidate=ADMITTED if members is None and points.x.shape[1] == 1 and not rising else None,
            target=target,
            cuts=rolling_cuts(points) if ranked or scores_count(target.points) else (),
            library=library,
        )

    def targets(self, law: ScalingLaw) -> list[Target]:
        """The targets that posteriors of a law are needed for."""
        if law.name not in self.members:
            return [self.target] if law is self.candidate else []
        return [self.target, *(cut.target for cut in self.cuts)]


@one_thread
def average_together(origins: Sequence[Origin]) -> list[Average]:
    """The averages of several sets of points; posteriors that they share are sampled once."""
    laws = {
        law.name: law for origin in origins for law in (*origin.members.values(), origin.candidate) if law
    }
    samples: dict[str, list[tuple[Target, Posterior]]] = {}
    for name, law in laws.items():
        distinct: list[Target] = []
        for target in (target for origin in origins for target in origin.targets(law)):
            if not any(target.same(other) for other in distinct):
                distinct.append(target)
        samples[name] = list(zip(distinct, posteriors(law, distinct), strict=True))

    def sampled(law: str, target: Target) -> Posterior:
        return next(post for other, post in samples[law] if other.same(target))

    return [_beside_usual(origin, sampled) for origin in origins]


def _beside_usual(origin: Origin, sampled: Callable[[str, Target], Posterior]) -> Average:
    """The average, and where its priors are from a library also that under the usual ones."""
    averaged, library = _average(origin, sampled), origin.library
    if library is None:
        return averaged
    usual = _average(origin, lambda law, target: usual_posterior(sampled(law, target), library))
    return replace(averaged, usual=usual)


def _average(origin: Origin, sampled: Callable[[str, Target], Posterior]) -> Average:
    points, members, candidate = origin.points, origin.members, origin.candidate
    posteriors = {name: sampled(name, origin.target) for name in members}
    scores = {name: sum(cut.score(sampled(name, cut.target)) for cut in origin.cuts) for name in members}
    n_points = len(origin.target.points.log_y)
    standings = rank(
        posteriors, prior_weights(members, n_points, points.ceiling), scores if origin.cuts else None
    )
    if candidate is not None:
        other = sampled(candidate.name, origin.target)
        if admits(other.log_evidence, [post.log_evidence for post in posteriors.values()], n_points):
            posteriors[candidate.name] = other
            standings = with_admitted(standings, other)
    weights = {name: standing.weight for name, standing in standings.items()}
    return Average(
        standings=standings,
        parameters=asymptotic_exponents(posteriors, weights),
        n_cuts=len(origin.cuts),
        flags=(*find_flags(points), *sampling_flags(posteriors, weights)),
        points=points,
        posteriors=posteriors,
    )
