"""Influence of a library of laws on an answer: its posterior weight, and what it alone determines.

The Bayes factor of the library against the usual priors is the ratio of its odds after and before the data;
below 1/3 there is positive evidence against it (Kass and Raftery 1995, J. Amer. Statist. Assoc. 90, 773), a
conflict of prior and data (Box 1980, J. R. Statist. Soc. A 143, 383). A quantity whose interval the data
hardly narrow comes from the library.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mlproject.scaling.averaging.average import Average
from mlproject.scaling.averaging.exponents import NARROWED, SAMPLES, SPAN, estimate_of
from mlproject.scaling.averaging.library_prior import FLOORS, LIBRARY_SHARE, memberships
from mlproject.scaling.averaging.posterior import Posterior, log_mean
from mlproject.scaling.fitting.intervals import Estimate
from mlproject.scaling.fitting.numbers_as_text import interval_text
from mlproject.scaling.fitting.verdict import FLAT, UNIDENTIFIABLE
from mlproject.scaling.laws.law import Array
from mlproject.scaling.laws.library import Library, PublishedLaw

CONFLICT = 1.0 / 3.0  # Bayes factor of the library below which the data disagree with it


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """A quantity with the library, and without it (the same data under the usual priors).

    ``variance_ratio`` is the variance after the data relative to that before them, from widths of intervals.
    """

    estimate: Estimate
    without: Estimate
    variance_ratio: float

    @property
    def from_library(self) -> bool:
        """Whether the data hardly narrow what the library says."""
        return self.variance_ratio >= NARROWED**2

    def marked(self) -> Narrowed:
        """The same, its estimate not identified where it comes from the library."""
        known = self.estimate.identified and not self.from_library
        return replace(self, estimate=replace(self.estimate, identified=known))


@dataclass(frozen=True, kw_only=True)
class LibraryUse:
    """A library as the prior of one set of points.

    ``weight`` is that of the library after the data, LIBRARY_SHARE before. ``nearest`` has the nearest law of
    each of the studies nearest by exponent.
    """

    library: Library
    weight: float
    local: Narrowed
    floor: Narrowed
    nearest: tuple[PublishedLaw, ...] = field(repr=False)

    @property
    def bayes_factor(self) -> float:
        """Of the library against the usual priors."""
        return self.weight / max(1.0 - self.weight, 1e-12) * (1.0 - LIBRARY_SHARE) / LIBRARY_SHARE

    @property
    def conflict(self) -> bool:
        """Whether the data disagree with the library."""
        return self.bayes_factor < CONFLICT

    @property
    def label(self) -> str:
        """``with the prior of 3 vision studies``."""
        n = len(self.library.studies)
        return f"with the prior of {n} {self.library.name} stud{'y' if n == 1 else 'ies'}"

    @property
    def described(self) -> str:
        """The prior and its weight, as a clause."""
        what = f"{self.library.loss} along {self.library.axis}"
        return f"{self.label} ({what}, weight {self.weight:.2f} after the data)"

    def qualified(self, verdict: str, reason: str) -> tuple[str, str]:
        """The verdict and its reason, with the prior named; none where the exponent is the library's."""
        if verdict == FLAT or not self.local.from_library:
            return verdict, f"{reason}; {self.described}"
        limits = interval_text(None, self.local.estimate.low, self.local.estimate.high)
        return UNIDENTIFIABLE, (
            f"the exponent at the largest scale {limits} comes from the library, not from these data; "
            f"{self.described}"
        )


def library_flags(library: Library | None, use: LibraryUse | None) -> tuple[str, ...]:
    """What a reader must know of a library that was asked for, and of its use."""
    if library is None:
        return ()
    if use is None:
        return (f"the library {library.name} is not used: too few scales, a loss that rises, or other laws",)
    flags = []
    if use.conflict:
        flags.append(
            f"the data disagree with the library {library.name} (Bayes factor {use.bayes_factor:.2g}): "
            "the usual priors take over"
        )
    if use.floor.from_library:
        flags.append("the irreducible loss comes from the library, not from these data")
    names = [f"{law.study} ({law.dataset}, {law.model}: {law.exponent:.2g})" for law in use.nearest]
    return (*flags, f"nearest known studies by exponent: {'; '.join(names)}") if names else tuple(flags)


def library_use(averaged: Average, library: Library, local: Estimate, floor: Estimate) -> LibraryUse | None:
    """What a library did to an average whose local exponent and floor are given.

    None where no averaged law has a prior from it.
    """
    weighed = {name: post for name, post in averaged.posteriors.items() if memberships(post, library)}
    usual = averaged.usual
    if not weighed or usual is None:
        return None
    weights = {name: averaged.weights[name] for name in weighed}
    before = _mixed({name: _slopes(post) for name, post in weighed.items()}, weights)
    slope = Narrowed(
        estimate=local,
        without=usual.local_exponent(float(averaged.points.x.max())),
        variance_ratio=_ratio(local, before),
    )
    left = Narrowed(
        estimate=floor, without=usual.irreducible_loss(), variance_ratio=_floor_ratio(weighed, weights)
    )
    return LibraryUse(
        library=library,
        weight=_weight(weighed, weights, library),
        local=slope.marked(),
        floor=left.marked(),
        nearest=library.nearest(averaged.parameters["alpha"].value if averaged.parameters else local.value),
    )


def _weight(posts: dict[str, Posterior], weights: dict[str, float], library: Library) -> float:
    """The probability after the data that the exponent comes from the library, over the laws that have it."""
    members = [weights[n] * (p.weights.sum(axis=1) @ memberships(p, library)[0]) for n, p in posts.items()]
    return float(sum(members) / max(sum(weights.values()), 1e-300))


def _slopes(post: Posterior) -> Array:
    """Local exponents [s] at the largest scale before the data."""
    last = post.points.log_x.max()
    log_loss = log_mean(post.law, post.prior(), np.array([[last - SPAN / 2.0], [last + SPAN / 2.0]]))
    return np.asarray((log_loss[:, 0] - log_loss[:, 1]) / SPAN)


def _floor_ratio(posts: dict[str, Posterior], weights: dict[str, float]) -> float:
    """The variance ratio of the floor's share of the last loss, over the laws with a floor; 0 without any."""
    places = {name: post.law.names.index("E") for name, post in posts.items() if name in FLOORS}
    if not places:
        return 0.0
    after = {name: posts[name].theta[posts[name].resample(SAMPLES)[0], e] for name, e in places.items()}
    before = {name: posts[name].prior()[:, e] for name, e in places.items()}
    kept = {name: weights[name] for name in places}
    return _ratio(_mixed(after, kept), _mixed(before, kept))


def _ratio(after: Estimate, before: Estimate) -> float:
    return (after.width / before.width) ** 2 if before.width > 0 else 1.0


def _mixed(samples: dict[str, Array], weights: dict[str, float]) -> Estimate:
    total = max(sum(weights.values()), 1e-300)
    counts = {name: max(1, round(SAMPLES * weight / total)) for name, weight in weights.items()}
    return estimate_of(np.concatenate([np.resize(samples[name], n) for name, n in counts.items()]))
