"""Coordinates of a tuned plan: knobs that may be tuned, cells that share a search, its trial and duration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mlproject.cell import Cell, Knob, Naming
from mlproject.data import ImageSet
from mlproject.errors import WrongUse, unknown
from mlproject.files import sha256
from mlproject.models import find_model
from mlproject.recipes import LATER_KNOBS, RECIPES, build_recipe, full_knobs
from mlproject.tuning.search import Dimension, Range, Tune, read_tune

SCALES = "image_scales"
"""The only coordinate that may be tuned like a knob: at which sizes the network sees the same images."""
LENGTHS = ("steps", "epochs")
"""Knobs that say how long a training is."""
NOT_FOR_RIDGE = (*LENGTHS, "lr", "optimizer", "batch_size", "shuffle")


def reads_length(recipe: str) -> bool:
    """Whether one training gives the losses of all shorter ones: its learning rate is constant."""
    return recipe == "probe"


def tune_of(
    table: Mapping[str, Any] | None, words: Mapping[str, Any], values: Mapping[str, Any]
) -> Tune | None:
    """How cells are tuned: by a plan's ``[tune]``, a command line's words, or not at all (``trials=0``).

    ``values`` are what a grid gives, its table of knobs included. Raises: WrongUse.
    """
    if str(words.get("trials", "")) == "0":
        if others := sorted("tune" if name == "space" else name for name in words if name != "trials"):
            raise WrongUse(f"trials=0 tunes nothing: leave out {', '.join(others)}, or ask for trials")
        return None
    if table is None and not words:
        return None
    kind = RECIPES.get(str(values["recipe"]))
    if kind is None:
        raise unknown("recipe", values["recipe"], RECIPES)
    knobs = values.get("knobs")
    values = {**values, **(knobs if isinstance(knobs, dict) else {})}
    names = kind.model_fields
    single = {n: v for n, v in values.items() if n in names and not isinstance(v, list)}
    recipe = build_recipe(str(values["recipe"]), single)
    return read_tune(table or {}, words, LATER_KNOBS | full_knobs(recipe) | {SCALES: "1"})


def check_tunable(name: str, knobs: Mapping[str, Knob], tune: Tune) -> None:
    """Refuse a space with a bound or choice that breaks a rule of the recipe, or a knob that has no effect.

    Raises: WrongUse naming knob, rule and value.
    """
    solver = tune.space["solver"].ends if "solver" in tune.space else (knobs.get("solver"),)
    for knob, dimension in tune.space.items():
        if knob in LATER_KNOBS:
            raise WrongUse(
                f"tune: {knob} decides the features, which all trials share; give a list in the grid instead"
            )
        if solver == ("ridge",) and knob in NOT_FOR_RIDGE:
            raise WrongUse(f"tune: {knob} changes nothing for solver='ridge', which takes no steps")
        if knob == "epochs" and (knobs.get("steps") or "steps" in tune.space):
            raise WrongUse("tune: epochs changes nothing where steps are given; tune steps instead")
        if knob == SCALES:
            continue
        built = []
        for value in dimension.ends:
            try:
                built.append(full_knobs(build_recipe(name, {**knobs, knob: value})))
            except WrongUse as fault:
                raise WrongUse(f"tune: {dimension}: {fault}") from None
        _require_common_defaults(dimension, built, tune)


def _require_common_defaults(dimension: Dimension, built: list[dict[str, Knob]], tune: Tune) -> None:
    """Refuse a tuned knob on which the default of another one depends: all trials share that default."""
    for knob in built[0]:
        defaults = list(dict.fromkeys(knobs[knob] for knobs in built))
        if len(defaults) > 1 and knob not in tune.space:
            values = " and ".join(map(str, defaults))
            rule = f"the default of {knob} depends on {dimension.name} ({values})"
            raise WrongUse(f"tune: {rule}: give {knob}, or tune it too")


N_LENGTHS = 24
"""Largest number of training lengths at which the validation loss is evaluated."""
BORROWED = (
    "the pool has no spare images for validation: a trial trains on four fifths of each size and is evaluated"
    " on as many images as the other fifth; the best knobs are then run on the whole size"
)
"""Note to the reader of such results."""
SHARE = 5
"""Without spare validation images a trial holds out one of this many training images."""
GFLOPS = 20
"""Assumed speed of one core on the matrix products of a head."""
SUGGESTION = 0.03
"""Seconds for suggesting and storing a trial."""
STEP = 3e-5
"""Smallest duration of a step in seconds, shared by the heads of a block."""
N_PIXELS = 512


@dataclass(frozen=True, kw_only=True)
class Coordinate:
    """Cells that differ in their seed only, and the search for their knobs.

    ``trial`` is the cell that trials run: the first seed, and where the pool has no spare images four
    fifths of the size, with the other fifth for validation.
    """

    cells: tuple[Cell, ...]
    tune: Tune
    naming: Naming = field(default_factory=Naming)

    @property
    def borrowed(self) -> bool:
        """Whether validation images are taken from the training images."""
        return self.cells[0].validation_size == 0

    @property
    def trial(self) -> Cell:
        """The cell that a trial runs, with the plan's knobs. Raises: WrongUse when it is too small."""
        cell = min(self.cells, key=lambda c: c.seed)
        if not self.borrowed:
            return cell
        n_held_out = cell.dataset_size // SHARE
        if n_held_out < 1:
            raise WrongUse(f"dataset_size must be at least {SHARE} to be tuned, not {cell.dataset_size}")
        return replace(cell, dataset_size=cell.dataset_size - n_held_out, validation_size=n_held_out)

    @property
    def validation(self) -> str:
        """A description of the validation images."""
        if self.borrowed:
            return "a fifth of the size"
        return f"{self.cells[0].validation_size} images"

    @property
    def name(self) -> str:
        """The study's name: readable, and different wherever trials would differ."""
        trial = self.trial
        free = {name: value for name, value in trial.knobs.items() if name not in self.tune.space}
        protocol = [self.tune.seed, self.tune.sampler, self.tune.pruner, sorted(self.tune.space)]
        scales = (1.0,) if SCALES in self.tune.space else trial.image_scales
        same = replace(trial, knobs=free, image_scales=scales).key
        digest = sha256(json.dumps([same, protocol]).encode())[:8]
        label = self.cells[0].label.partition(" · seed ")[
            0
        ]  # the same in every plan, so that trials are kept
        return f"{label} · {','.join(self.tune.space)} · {digest}"

    @property
    def label(self) -> str:
        """A short readable name for runs and messages."""
        return self.naming.name(self.cells[0]).partition(" · seed ")[0]

    @property
    def length(self) -> str:
        """The training length (steps or epochs) that is read off each loss curve, not sampled; else empty."""
        lengths = [name for name in LENGTHS if name in self.tune.space]
        return lengths[0] if lengths and len(self.tune.space) > 1 and reads_length(self.trial.recipe) else ""

    @property
    def searched(self) -> dict[str, Dimension]:
        """The dimensions that are sampled."""
        return {name: dimension for name, dimension in self.tune.space.items() if name != self.length}

    @property
    def lengths(self) -> tuple[int, ...]:
        """Training lengths at which losses are evaluated: within the tuned range, or for the pruner."""
        if self.length:
            dimension = self.tune.space[self.length]
            ends = [int(end) for end in dimension.ends]
            if not isinstance(dimension, Range):
                return tuple(sorted(ends))
            return _spread(ends[0], ends[1], log=dimension.log)
        if self.tune.pruner == "none" or set(LENGTHS) & set(self.tune.space):
            return ()
        knobs = self.trial.knobs
        last = int(knobs.get("steps") or knobs.get("epochs") or 0)
        return _spread(1, last, log=True) if last > 1 and reads_length(self.trial.recipe) else ()

    @property
    def first(self) -> dict[str, Knob]:
        """The knobs of trial 0: those of the plan, where they lie in the space."""
        scales = ",".join(f"{s:g}" for s in self.trial.image_scales)
        knobs: dict[str, Knob] = {**self.trial.knobs, SCALES: scales}
        inside = all(dimension.holds(knobs[name]) for name, dimension in self.searched.items())
        return {name: knobs[name] for name in self.searched} if inside else {}

    def placed(self, cell: Cell, knobs: Mapping[str, Knob]) -> Cell:
        """The cell with its knobs replaced by these."""
        scales = str(knobs.get(SCALES, "")).split(",")
        values = {name: value for name, value in knobs.items() if name != SCALES}
        sides = tuple(map(float, scales)) if SCALES in knobs else cell.image_scales
        return replace(cell, knobs=dict(cell.knobs) | values, image_scales=sides)

    def tuned(self, knobs: Mapping[str, Knob]) -> tuple[Cell, ...]:
        """The cells with tuned knobs, and a record of how they were tuned."""
        record = self.tune.record(self.validation)
        return tuple(replace(self.placed(cell, knobs), tuning=record) for cell in self.cells)


def coordinates(cells: Iterable[Cell], tune: Tune, naming: Naming | None = None) -> list[Coordinate]:
    """Group cells that differ in their seed only, in the order of the plan."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(replace(cell, seed=0).key, []).append(cell)
    return [Coordinate(cells=tuple(cells), tune=tune, naming=naming or Naming()) for cells in groups.values()]


def search_seconds(coordinate: Coordinate, images: ImageSet) -> float:
    """Seconds for all trials of a coordinate on one core, without features."""
    trial = coordinate.trial
    knobs = trial.knobs
    n_in = _width(trial) * len(trial.image_scales)
    target = knobs.get("target")
    n_out = len(images.classes) if target == "labels" else N_PIXELS if target == "pixels" else n_in
    batch = min(int(knobs.get("batch_size", 32)), trial.dataset_size)
    per_epoch = -(-trial.dataset_size // batch)
    n_steps = int(knobs.get("steps") or int(knobs.get("epochs", 1)) * per_epoch)
    if coordinate.length:
        last = coordinate.lengths[-1]
        n_steps = last if coordinate.length == "steps" else last * per_epoch
    flops = 6.0 * n_steps * batch * n_in * n_out
    return coordinate.tune.trials * (flops / (GFLOPS * 1e9) + STEP * n_steps + SUGGESTION)


def _width(cell: Cell) -> int:
    """Features of an image at one scale."""
    model = find_model(cell.model, cell.weights)
    if not LATER_KNOBS.keys() & cell.knobs.keys():
        return model.width
    from mlproject.models import at_depth

    layer, pool = (str(cell.knobs.get(name, default)) for name, default in LATER_KNOBS.items())
    return at_depth(model, layer, pool).width


def _spread(low: int, high: int, *, log: bool) -> tuple[int, ...]:
    """Evenly spaced whole numbers from low to high; all of them where they are few."""
    n = min(N_LENGTHS, high - low + 1)
    shares = [i / max(1, n - 1) for i in range(n)]
    even = [low * (high / low) ** share if log else low + (high - low) * share for share in shares]
    return tuple(sorted({round(value) for value in even}))
