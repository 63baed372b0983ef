"""The sizes of a cell as whole numbers: images to train on, to evaluate on and to validate on.

Sizes may be given as numbers, as a share of what can be trained on, as ``all`` or ``auto``; a cell holds the
numbers, so that its key does not depend on how they were written. The sizes of a plan are upper limits: where
a data set has fewer images, what it has is used, and a note says so. A size that a command line gives for
single cells is used as it is, or refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mlproject.data import DATASETS, ImageSet
from mlproject.errors import BadInput, WrongUse
from mlproject.plans.tables import Coordinates, Size
from mlproject.recipes import Recipe

AUTO_DATASET_SIZE = 200
"""Training images of a set that is known by name, where no size is given; of a folder, all of them."""
AUTO_EVAL_SIZE = 1000
AUTO_VALIDATION_SIZE = 500
"""At most this many, and at most a tenth of the pool (tuned cells: a fifth); none where nothing is chosen."""


@dataclass(frozen=True, kw_only=True, order=True)
class Reduced:
    """A size of a plan that was larger than its data set allows, and the size that is used."""

    name: str
    in_sample: bool
    used: int
    asked: int


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Training, evaluation (0: in-sample) and validation images of a cell."""

    dataset: int
    evaluation: int
    validation: int
    reduced: tuple[Reduced, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SizeRules:
    """What the sizes of a cell depend on besides its coordinates.

    ``planned`` are the largest sizes of the same grid; ``tuned``: their knobs are searched for; ``limits``:
    sizes are upper limits, as in a plan file.
    """

    planned: Collection[Size]
    tuned: bool = False
    limits: bool = False


def largest_sizes(points: Iterable[Coordinates]) -> tuple[Size, ...]:
    """The largest dataset size of each type among points, on which the validation images depend.

    ``auto`` and ``all`` are no numbers; 1 is one image, and 1.0 are all.
    """
    words = dict.fromkeys(at.dataset_size for at in points if isinstance(at.dataset_size, str))
    numbers = [at.dataset_size for at in points if not isinstance(at.dataset_size, str)]
    kinds = ([n for n in numbers if isinstance(n, kind)] for kind in (int, float))
    return (*words, *(max(sizes) for sizes in kinds if sizes))


def sizes_of(at: Coordinates, images: ImageSet, recipe: Recipe, rules: SizeRules) -> Sizes:
    """The sizes of a cell at these coordinates.

    Raises: WrongUse for sizes that the images do not allow, BadInput where nothing is held out or left to
    train on.
    """
    evaluation = _evaluation(at, images, recipe, rules)
    n_pool = images.n_pool(in_sample=evaluation == 0)
    validation = _validation(at, recipe, n_pool, rules)
    pool = max(0, n_pool - validation)
    dataset = _size(at.dataset_size, pool, at.data, limit=rules.limits)
    if not pool and not isinstance(at.dataset_size, int):
        raise WrongUse(
            f"validation_size must be at most {n_pool - 1:,}, not {validation:,}: {_what_there_is(images)},"
            " and at least one image is trained on"
        )
    if dataset > pool:
        raise _too_many(dataset, pool, images, evaluation, validation)
    asked = {"dataset_size": at.dataset_size, "eval_size": at.eval_size}
    asked["validation_size"] = at.validation_size
    used = {"dataset_size": dataset, "eval_size": evaluation, "validation_size": validation}
    reduced = tuple(
        Reduced(name=name, in_sample=evaluation == 0, used=used[name], asked=size)
        for name, size in asked.items()
        if isinstance(size, int) and used[name] < size
    )
    return Sizes(dataset=dataset, evaluation=evaluation, validation=validation, reduced=reduced)


def reduced_note(images: ImageSet, reduced: Iterable[Reduced]) -> str:
    """One line on the sizes of a plan that a data set reduces."""
    groups: dict[tuple[str, bool, int], list[str]] = {}
    for item in sorted(set(reduced)):
        groups.setdefault((item.name, item.in_sample, item.used), []).append(f"{item.asked:,}")
    parts = [
        f"{name} {_listed(asked)} {'runs' if len(asked) == 1 else 'run'} as {used:,}"
        + ((" in-sample" if in_sample else " held-out") if name == "dataset_size" else "")
        for (name, in_sample, used), asked in groups.items()
    ]
    return f"{_what_there_is(images)}: {'; '.join(parts)}"


def _listed(words: Sequence[str]) -> str:
    """Words with commas and a last *and*."""
    return " and ".join([*([", ".join(words[:-1])] if len(words) > 1 else []), words[-1]])


def _evaluation(at: Coordinates, images: ImageSet, recipe: Recipe, rules: SizeRules) -> int:
    size, held_out = at.eval_size, images.n_held_out
    if size == "auto":
        return 0 if recipe.only_in_sample else min(AUTO_EVAL_SIZE, held_out)
    if not isinstance(size, int) or size == 0:
        return 0
    if recipe.only_in_sample:
        raise WrongUse(
            f"eval_size must be in-sample for recipe {at.recipe}: only training images have a class"
        )
    if not held_out:
        raise BadInput(
            f"eval_size must be in-sample, not {size:,}: {_what_there_is(images)}; a fifth of each class of "
            "five images or more is held out, or the images in test/ beside train/"
        )
    if size > held_out and not rules.limits:
        raise WrongUse(
            f"eval_size must be at most {held_out:,}, not {size:,}: {images.name} holds out no more"
        )
    return min(size, held_out)


def _validation(at: Coordinates, recipe: Recipe, n_pool: int, rules: SizeRules) -> int:
    """Images kept from all draws.

    When tuning, images that no dataset size needs are reserved; 0 holds out 20 % of each draw.
    """
    size = at.validation_size
    largest = max(_size(planned, n_pool, at.data, limit=rules.limits) for planned in rules.planned)
    if isinstance(size, int):
        return min(size, n_pool // 2) if rules.limits and largest + size > n_pool else size
    if rules.tuned and not recipe.validates:
        spare = min(AUTO_VALIDATION_SIZE, n_pool // 5, n_pool - largest)
        return spare if spare >= min(AUTO_VALIDATION_SIZE, n_pool // 10) else 0
    return min(AUTO_VALIDATION_SIZE, n_pool // 10) if recipe.validates else 0


def _size(size: Size, pool: int, data: str, *, limit: bool) -> int:
    """A number of training images of a pool: a share of it is rounded, and at least one image."""
    if isinstance(size, float):
        return min(pool, max(1, round(size * pool)))
    if isinstance(size, int):
        return min(size, pool) if limit else size
    known = data.partition(":")[0] in DATASETS
    return min(AUTO_DATASET_SIZE, pool) if size == "auto" and known else pool


def _too_many(size: int, pool: int, images: ImageSet, evaluation: int, validation: int) -> WrongUse:
    remedies = ["eval_size=in-sample trains and evaluates on all"] if evaluation else []
    remedies += [f"dataset_size=all takes the {pool:,}"] if pool > 0 else []
    kept = [f"{images.n_held_out:,} are held out for evaluation"] if evaluation else []
    kept += [f"{validation:,} {'' if kept else 'are kept '}for validation"] if validation else []
    return WrongUse(
        f"dataset_size must be at most {pool:,}, not {size:,}: {images.name} has {len(images):,} images"
        + (f", of which {' and '.join(kept)}" if kept else "")
        + (f" ({'; '.join(remedies)})" if remedies else "")
    )


def _what_there_is(images: ImageSet) -> str:
    held_out = f"{images.n_held_out:,}" if images.n_held_out else "none"
    return f"{images.name} has {len(images):,} images, {held_out} of them held out for evaluation"
