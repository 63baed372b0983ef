"""The law library: exponents and floors of public studies, pooled as a prior for a study of few scales.

ln alpha of curve j of study i, and the floor E as a share of the largest loss L0 after the arcsine
transformation, are modelled as

    y_ij = mu + u_i + e_ij,    u_i ~ N(0, tau^2) between studies,    e_ij ~ N(0, omega^2) within a study

with a flat prior of mu and a half-normal one of tau. What a curve of a new study may be, the
meta-analytic-predictive distribution, is then a mixture of normal distributions over tau, which has heavy
tails where studies are few. Sources: Neuenschwander et al. 2010 (Clin. Trials 7, 5) and Schmidli et al. 2014
(Biometrics 70, 1023), meta-analytic-predictive priors; Röver et al. 2021 (Res. Synth. Methods 12, 448), the
half-normal prior of tau; Anscombe 1948 (Biometrika 35, 246), the arcsine transformation.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources

import numpy as np
from scipy import special

from mlproject.errors import BadInput, WrongUse, unknown
from mlproject.scaling.laws.law import Array

LIBRARIES = ("vision",)
AXES = ("images", "parameters", "compute")
LOSSES = ("error", "cross_entropy", "nats_per_token")
TAU = 0.5  # scale of the half-normal prior of tau: 95 % of studies within a factor of 2.7 of the median
N_TAU = 41
OMEGA = 0.25  # of curves within a study, where no study has two


@dataclass(frozen=True, kw_only=True)
class PublishedLaw:
    """A law of one curve of a study; ``floor`` is E as a share of ``L0``, None for laws without a floor.

    ``least`` and ``most`` are the range of the axis where it is known; ``fitted`` says who fitted the law:
    the study, or this project to its published points. ``source`` is where its values stand.
    """

    study: str
    dataset: str
    model: str
    axis: str
    loss: str
    law: str
    exponent: float
    error: float | None
    floor: float | None
    least: float | None
    most: float | None
    fitted: str
    source: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Pooled:
    """A mixture of normal distributions: weights, means and standard deviations [k]."""

    weights: Array
    means: Array
    sds: Array

    def below(self, y: Array) -> Array:
        """The probability of values below y [n]."""
        return np.asarray(special.ndtr((y[..., None] - self.means) / self.sds) @ self.weights)

    def above(self, y: Array) -> Array:
        """The probability of values above y [n], without cancellation in the tail."""
        return np.asarray(special.ndtr((self.means - y[..., None]) / self.sds) @ self.weights)


def pool(studies: Sequence[Array]) -> Pooled:
    """The distribution of a curve of a new study, from those of studies: values by study, none empty."""
    n = np.array([len(values) for values in studies], dtype=float)
    means = np.array([np.mean(values) for values in studies])
    squares = sum(float(np.sum((v - np.mean(v)) ** 2)) for v in studies)
    within = squares / (n.sum() - len(n)) if n.sum() > len(n) else OMEGA**2
    tau = np.linspace(0.0, 4.0 * TAU, N_TAU)
    precision = 1.0 / (within / n + tau[:, None] ** 2)
    middle = precision @ means / precision.sum(axis=1)
    squared = np.sum(precision * (means - middle[:, None]) ** 2, axis=1)
    log = 0.5 * (np.log(precision).sum(axis=1) - np.log(precision.sum(axis=1)) - squared - (tau / TAU) ** 2)
    weights = np.exp(log - log.max())
    variance = 1.0 / precision.sum(axis=1) + tau**2 + within
    return Pooled(weights=weights / weights.sum(), means=middle, sds=np.sqrt(variance))


@dataclass(frozen=True, kw_only=True)
class Library:
    """The laws of one axis and kind of loss of a library, and those of the loss along all axes.

    A floor is what is left of a loss at any scale, so floors are pooled over axes.
    """

    name: str
    axis: str
    loss: str
    laws: tuple[PublishedLaw, ...]
    floors: tuple[PublishedLaw, ...]

    @property
    def studies(self) -> tuple[str, ...]:
        """The studies, in the order of the file."""
        return tuple(dict.fromkeys(law.study for law in self.laws))

    def bound(self, losses: Array) -> float | None:
        """The largest possible loss, of which floors are shares: 1 for error rates, 100 in per cent."""
        if self.loss != "error":
            return None
        largest = float(np.max(losses))
        return next((bound for bound in (1.0, 100.0) if largest <= bound), None)

    @cached_property
    def log_exponent(self) -> Pooled:
        """ln alpha of a curve of a new study."""
        return pool([np.log(values) for values in _by_study((law.study, law.exponent) for law in self.laws)])

    @cached_property
    def arc_floor(self) -> Pooled | None:
        """arcsin sqrt(E / L0) of a curve of a new study; None where no study states a floor."""
        known = [(law.study, law.floor) for law in self.floors if law.floor is not None]
        return pool([np.arcsin(np.sqrt(values)) for values in _by_study(known)]) if known else None

    def without(self, studies: Iterable[str]) -> Library:
        """The library without studies. Raises: BadInput where none is left."""
        left_out = set(studies)
        kept = tuple(law for law in self.laws if law.study not in left_out)
        if not kept:
            raise BadInput(f"no study of {self.loss} along {self.axis} is left")
        floors = tuple(law for law in self.floors if law.study not in left_out)
        return replace(self, laws=kept, floors=floors)

    def nearest(self, exponent: float, n: int = 3) -> tuple[PublishedLaw, ...]:
        """The law nearest to an exponent, on a log scale, of each of the ``n`` nearest studies."""
        if exponent <= 0.0:
            return ()
        ordered = sorted(self.laws, key=lambda law: abs(np.log(law.exponent / exponent)))
        first: dict[str, PublishedLaw] = {}
        for law in ordered:
            first.setdefault(law.study, law)
        return tuple(first.values())[:n]


def _by_study(values: Iterable[tuple[str, float]]) -> list[list[float]]:
    studies: dict[str, list[float]] = {}
    for study, value in values:
        studies.setdefault(study, []).append(value)
    return list(studies.values())


@cache
def read_library(name: str) -> tuple[PublishedLaw, ...]:
    """All laws of a library. Raises: WrongUse for a library that does not exist."""
    if name not in LIBRARIES:
        raise unknown("library", name, LIBRARIES)
    text = resources.files("mlproject.scaling.laws").joinpath(f"{name}.csv").read_text("utf-8")
    return tuple(_law(row) for row in csv.DictReader(text.splitlines()))


def _law(row: dict[str, str]) -> PublishedLaw:
    error, floor, least, most = (
        float(row[name]) if row[name] else None for name in ("error", "floor", "least", "most")
    )
    return PublishedLaw(
        study=row["study"],
        dataset=row["dataset"],
        model=row["model"],
        axis=row["axis"],
        loss=row["loss"],
        law=row["law"],
        exponent=float(row["exponent"]),
        error=error,
        floor=floor,
        least=least,
        most=most,
        fitted=row["fitted"],
        source=row["source"],
    )


def find_library(name: str, axis: str, loss: str) -> Library:
    """The laws of a library along an axis of a kind of loss.

    Raises: WrongUse for a library that does not exist, BadInput where it has no such law, with what it has.
    """
    of_loss = tuple(law for law in read_library(name) if law.loss == loss)
    laws = tuple(law for law in of_loss if law.axis == axis)
    if not laws:
        raise BadInput(f"the library {name} has no {loss} along {axis}; it has {holdings(name)}")
    return Library(name=name, axis=axis, loss=loss, laws=laws, floors=of_loss)


def holdings(name: str) -> str:
    """What a library has: ``error along images (3 studies), …``."""
    studies: dict[tuple[str, str], set[str]] = {}
    for law in read_library(name):
        studies.setdefault((law.loss, law.axis), set()).add(law.study)
    counts = {key: f"{len(names)} stud{'y' if len(names) == 1 else 'ies'}" for key, names in studies.items()}
    return ", ".join(f"{loss} along {axis} ({counts[loss, axis]})" for loss, axis in studies)


@dataclass(frozen=True, kw_only=True)
class PriorChoice:
    """A library that is asked for, and the axis and the kind of loss where these are stated too."""

    name: str
    axis: str = ""
    loss: str = ""

    @classmethod
    def of(cls, text: str) -> PriorChoice:
        """From ``vision``, ``vision:images`` or ``vision:images:error``. Raises: WrongUse for other words."""
        name, *words = text.split(":")
        read_library(name)
        for word in words:
            if word not in AXES + LOSSES:
                raise unknown("axis or loss", word, AXES + LOSSES)
        axis, loss = ("".join(w for w in words if w in known) for known in (AXES, LOSSES))
        if (axis and axis not in AXES) or (loss and loss not in LOSSES):
            raise WrongUse(f"{text} names two axes or two losses: {name}:images:error names each once")
        return cls(name=name, axis=axis, loss=loss)

    @property
    def text(self) -> str:
        """As it is asked for: ``vision``, ``vision:images:error``."""
        return ":".join(part for part in (self.name, self.axis, self.loss) if part)

    def find(self, axis: str, loss: str) -> Library:
        """The laws of the axis and loss that are stated, else those given. Raises: BadInput for none."""
        return find_library(self.name, self.axis or axis, self.loss or loss)
