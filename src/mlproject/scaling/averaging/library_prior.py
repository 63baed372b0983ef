"""The prior of a law's exponent and floor from a library: a robust meta-analytic-predictive prior.

    p(q) = LIBRARY_SHARE p_library(q) + (1 - LIBRARY_SHARE) p_usual(q)

for the exponent far beyond the data, and for the share of the floor in the loss at the largest scale. Where
the data disagree with the library the usual prior takes over, as its prior predictive density is the larger
(Schmidli et al. 2014, Biometrics 70, 1023). ``ScalingLaw.prior`` maps standard normal numbers to parameters;
here the normal number u of a quantity under the usual prior is itself mapped from that of the mixture, by
tables of distribution functions, so that laws, modes and sampling stay as they are. A sample belongs to the
library with the probability that its two densities give. That yields the weight of the library after the
data, and, by importance sampling with bounded weights, what the data give without it.

Broken power laws keep the usual prior: their last exponent may hold for the last few points alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from scipy import special

from mlproject.errors import BadInput
from mlproject.scaling.averaging.posterior import Posterior
from mlproject.scaling.fitting.points import Points
from mlproject.scaling.laws import LAWS
from mlproject.scaling.laws.law import Array, ScalingLaw, Span
from mlproject.scaling.laws.library import Library, Pooled

LIBRARY_SHARE = 0.8  # prior weight of the library; the rest is robustness
GRID = np.linspace(-8.0, 8.0, 1601)  # of u
SPAN = Span(low=np.array([-1.0]), high=np.array([1.0]))  # any: exponents and shares do not depend on it
EXPONENTS = frozenset({"power", "power_floor", "shifted", "zhai", "m3", "bounded", "m4"})
"""Laws whose alpha, the first number of their priors, is the exponent far beyond the data."""
FLOORS = {"power_floor": 1, "zhai": 2}
"""The number of the prior that the share of the floor at the largest scale depends on."""


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A quantity under the mixture: its ``values`` at u on GRID, and the library's distribution there.

    ``below`` and ``above`` are the library's probabilities of smaller and larger values.
    """

    values: Array
    below: Array
    above: Array

    def usual(self, z: Array) -> Array:
        """u [s] of normal numbers z [s] of the mixture."""
        return np.interp(z, self._normal, GRID)

    def membership(self, values: Array) -> Array:
        """The probability [s] that values [s] come from the library."""
        return np.interp(np.interp(values, self.values, GRID), GRID, self._share)

    @cached_property
    def _normal(self) -> Array:
        """The normal numbers of the mixture at u on GRID, increasing."""
        low = LIBRARY_SHARE * self.below + (1.0 - LIBRARY_SHARE) * special.ndtr(GRID)
        high = LIBRARY_SHARE * self.above + (1.0 - LIBRARY_SHARE) * special.ndtr(-GRID)
        return np.asarray(np.where(low < 0.5, special.ndtri(low), -special.ndtri(high)))

    @cached_property
    def _share(self) -> Array:
        usual = (1.0 - LIBRARY_SHARE) * np.exp(-0.5 * GRID**2) / np.sqrt(2.0 * np.pi)
        rises, falls = np.gradient(self.below, GRID), -np.gradient(self.above, GRID)
        library = LIBRARY_SHARE * np.maximum(np.where(GRID < 0.0, rises, falls), 0.0)
        return np.asarray(library / (library + usual))


@lru_cache(64)
def exponent_of(law: str, pooled: Pooled) -> Mixed:
    """The exponent of a law far beyond the data under the mixture; a library has positive ones only."""
    values = _usual_values(LAWS[law], 0)[:, LAWS[law].names.index("alpha")]
    logs = np.log(np.maximum(values, 1e-300))
    return Mixed(values=values, below=pooled.below(logs), above=pooled.above(logs))


@lru_cache(256)
def share_of(law: str, pooled: Pooled, reached: float) -> Mixed:
    """The share of the floor in the loss at the largest scale, which is ``reached`` of the largest loss.

    The floors of a library are shares of the largest loss; those above the loss that was reached are cut off.
    """
    values = _usual_values(LAWS[law], FLOORS[law])[:, LAWS[law].names.index("E")]
    at = np.arcsin(np.sqrt(np.minimum(values * reached, 1.0)))
    ends = np.array([0.0, np.arcsin(np.sqrt(reached))])
    low, high = pooled.below(ends), pooled.above(ends)
    inside = max(float(high[0] - high[1]), 1e-300)
    below = np.clip((pooled.below(at) - low[0]) / inside, 0.0, 1.0)
    return Mixed(values=values, below=below, above=np.clip((pooled.above(at) - high[1]) / inside, 0.0, 1.0))


def _usual_values(law: ScalingLaw, place: int) -> Array:
    """The parameters [g, p] of the usual prior at u on GRID for one of its numbers, the others 0."""
    numbers = np.zeros((len(GRID), law.n_prior))
    numbers[:, place] = GRID
    return law.prior(numbers, SPAN)


def bounded(points: Points, library: Library) -> Points:
    """The points of a curve with the largest possible loss, of which the floors of a library are shares.

    Raises: BadInput for points of several axes, whose laws no library has.
    """
    if points.x.shape[1] > 1:
        raise BadInput(f"the library {library.name} has laws of one axis, and x has {points.x.shape[1]}")
    return replace(points, bound=points.ceiling or library.bound(points.y))


def with_library(laws: Mapping[str, ScalingLaw], library: Library) -> dict[str, ScalingLaw]:
    """The laws with the prior from a library, where it says anything of them."""
    return {name: _with_library(law, library) if name in EXPONENTS else law for name, law in laws.items()}


def _with_library(law: ScalingLaw, library: Library) -> ScalingLaw:
    def prior(z: Array, span: Span) -> Array:
        u = z.copy()
        u[:, 0] = exponent_of(law.name, library.log_exponent).usual(z[:, 0])
        floors, place = library.arc_floor, FLOORS.get(law.name)
        if place is not None and floors is not None and span.reached is not None:
            at = np.broadcast_to(span.reached, len(z))
            for reached in np.unique(at):
                rows = at == reached
                u[rows, place] = share_of(law.name, floors, float(reached)).usual(z[rows, place])
        return law.prior(u, span)

    return replace(law, prior=prior)


def memberships(post: Posterior, library: Library) -> list[Array]:
    """The probabilities [s] that a sample's exponent, and its floor, come from the library."""
    law, floors, reached = post.law, library.arc_floor, post.points.reached
    if law.name not in EXPONENTS:
        return []
    exponents = post.theta[:, law.names.index("alpha")]
    members = [exponent_of(law.name, library.log_exponent).membership(exponents)]
    if law.name in FLOORS and floors is not None and reached is not None:
        shares = post.theta[:, law.names.index("E")]
        members.append(share_of(law.name, floors, reached).membership(shares))
    return members


def usual_posterior(post: Posterior, library: Library) -> Posterior:
    """The posterior under the usual prior from that under the mixture, by importance sampling.

    Weights are at most 1 / (1 - LIBRARY_SHARE) for each quantity, as the mixture holds the usual prior.
    """
    ratio = np.ones(len(post.theta))
    for member in memberships(post, library):
        ratio *= (1.0 - member) / (1.0 - LIBRARY_SHARE)
    weights = post.weights * ratio[:, None]
    total = float(weights.sum())
    evidence = post.log_evidence + float(np.log(total))
    return replace(post, law=LAWS[post.law.name], weights=weights / total, log_evidence=evidence)
