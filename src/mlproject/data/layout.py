"""Names of files and folders: printable ids, natural order, links, and what a folder's name says of it.

A name may say that a folder is a split, or that it is a program's.
Names are compared without case, composition of accents and separators: ``Training_Set`` is ``trainingset``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from mlproject.data.images import LINK, BadImage, read_bytes
from mlproject.errors import BadInput

SplitName = Literal["train", "test", "eval", "val"]
SPLITS: Mapping[SplitName, frozenset[str]] = {
    "train": frozenset({"train", "training", "trn", "learn", "learning"}),
    "test": frozenset({"test", "tests", "testing", "tst"}),
    "eval": frozenset({"eval", "evaluation", "evaluate", "holdout", "heldout"}),
    "val": frozenset(
        {"val", "vals", "valid", "validation", "validate", "vali", "dev", "devel", "development"}
    ),
}
"""Names of each split. Of those that are held out beside ``train``, the first in this order is taken."""
HELD_OUT: tuple[SplitName, ...] = ("test", "eval", "val")
PARTS = frozenset({"fold", "kfold", "split", "part", "partition", "subset", "unseen", "extra", "cv"})
"""Words that name a part of a data set, but not what it is for."""
DIGITS, SEPARATORS, NO_LETTERS = re.compile("([0-9]+)"), re.compile(r"[\s_-]+"), re.compile("[^a-z]+")
FILLING = "(?:set|data|dataset|images?|imgs?|pictures?|photos?|samples?|split|folder|files?|dir)*"
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
NO_DATA = frozenset({
    "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__macosx", "__pycache__",
    "lost+found", "$recycle.bin", "recycler", "system volume information", "thumbnails", "thumbs",
    "network trash folder", "temporary items",
})  # fmt: skip
"""Folders of file servers, archivers, systems and viewers; hidden ones are left out anyway."""


def printable(path: str) -> str:
    """The id of a relative path: composed (NFC), with unprintable characters and ``%`` percent-escaped.

    ``urllib.parse.unquote(id, errors="surrogateescape")`` gives the composed path back.

    >>> printable("n01440764/a\\tb 100%.png")
    'n01440764/a%09b 100%25.png'
    """
    if path.isascii() and path.isprintable() and "%" not in path:
        return path
    return "".join(map(_escaped, unicodedata.normalize("NFC", path)))


def natural(text: str) -> tuple[list[str | int], str]:
    """Sort key that compares runs of digits as numbers.

    >>> sorted(["10.png", "2.png", "1.png"], key=natural)
    ['1.png', '2.png', '10.png']
    """
    parts: list[str | int] = [*DIGITS.split(text.casefold())]
    parts[1::2] = map(int, parts[1::2])
    return parts, text


def _escaped(character: str) -> str:
    if character.isprintable() and character != "%":
        return character
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogateescape"))


def class_key(name: str) -> str:
    """A name without what is easily mistaken: case, width, composition, invisible signs, separators.

    >>> class_key("Hot_Dog ") == class_key("hot dog")
    True
    """
    if name.isascii() and "%" not in name:  # as below, in a tenth of the time
        return SEPARATORS.sub(" ", name.casefold()).strip()
    text = unicodedata.normalize("NFKC", unquote(name, errors="surrogateescape")).casefold()
    visible = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return SEPARATORS.sub(" ", unicodedata.normalize("NFC", visible)).strip()


def read_names(path: Path) -> list[str]:
    """The names in a text file of a data set, one a line; the file is opened as pictures are.

    Raises: BadInput for links, pipes, devices, large files, and what is no text.
    """
    try:
        lines = read_bytes(str(path)).decode("utf-8-sig").splitlines()
    except BadImage as error:
        raise BadInput(_link(path) if str(error) == LINK else f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not text in UTF-8; save it so") from error
    return [line.strip() for line in lines if line.strip()]


def require_no_links(root: Path, paths: Iterable[Path]) -> None:
    """Refuse links on the way from a folder to files below it: they may lead out of it. Raises: BadInput."""
    ways = (path.relative_to(root).parts for path in paths)
    steps = dict.fromkeys(root.joinpath(*parts[: n + 1]) for parts in ways for n in range(len(parts)))
    if link := next((step for step in steps if step.is_symlink()), None):
        raise BadInput(_link(link))


def _link(path: Path) -> str:
    return f"{path} is a {LINK}; copy what it points to (cp -rL)"


def holds_no_data(name: str) -> bool:
    """Whether a folder of that name belongs to a system or a program."""
    return name.casefold().strip() in NO_DATA


def plain(name: str) -> str:
    """The letters of a name, without case, digits and separators."""
    if name.isascii() and "%" not in name:
        return NO_LETTERS.sub("", name.casefold())
    return "".join(c for c in class_key(name) if c.isalpha())


def split_of(name: str) -> SplitName | None:
    """The split that a folder's name means; None for any other name.

    >>> split_of("Training_Set"), split_of("val2017"), split_of("validity")
    ('train', 'val', None)
    """
    letters = plain(name)
    for split, words in SPLITS.items():
        if re.fullmatch(f"{FILLING}(?:{'|'.join(sorted(words))}){FILLING}", letters):
            return split
    return None


def looks_like_split(name: str) -> bool:
    """Whether a word of a name is that of a split or of a part: ``train_extra``, ``fold1``, ``part B``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    words = set(re.findall(r"[^\W\d_]+", class_key(spaced)))
    return split_of(name) is not None or bool(words & PARTS.union(*SPLITS.values()))


def find_splits(folder: Path, files: Iterable[str]) -> dict[str, bool | None]:
    """Folders on top that are splits, and whether each is held out; empty where there are none.

    ``train`` alone is a split whose held-out images are still to be chosen (None). ``files`` are relative
    paths of pictures.

    Raises: BadInput, by name, where folders look like splits and cannot be taken as such.
    """
    below: dict[str, set[str]] = defaultdict(set)
    for parent in {path.rpartition("/")[0] for path in files}:
        top, *inside = parent.split("/")
        if top:
            below[top].update(inside[:1])
    by_split: dict[SplitName, list[str]] = defaultdict(list)
    for top in sorted(below):
        if split := split_of(top):
            by_split[split].append(top)
    held_out = next((by_split[split] for split in HELD_OUT if split in by_split), [])
    train = by_split.get("train", [])
    if train and (held_out or len(train) == len(below)):
        for tops in (train, held_out):
            if len(tops) > 1:
                raise BadInput(f"{_named(tops)} of {folder} both look like one split; make them one folder")
        return {train[0]: False, held_out[0]: True} if held_out else {train[0]: None}
    _require_no_splits(folder, below)
    return {}


def held_out_by_split(
    where: Path | str, splits: Iterable[SplitName | None]
) -> dict[SplitName | None, bool | None]:
    """Whether the images of each split are held out; what is not in the answer is left out.

    Without any split, and with ``train`` alone, the held-out images are still to be chosen (None).

    Raises: BadInput where some images have no split, or none is for training.
    """
    present = set(splits)
    if present <= {None}:
        return {None: None}
    named = ", ".join(sorted(split for split in present if split))
    if None in present:
        raise BadInput(
            f"some images of {where} are of a split ({named}) and others of none; name all or none"
        )
    if "train" not in present:
        raise BadInput(f"{where} has images of {named} and none to train on; add those of train")
    held = next((split for split in HELD_OUT if split in present), None)
    return {"train": False, held: True} if held else {"train": None}


def _require_no_splits(folder: Path, below: Mapping[str, set[str]]) -> None:
    """Refuse folders on top that are no splits by the rules, and no classes by the looks."""
    tops = sorted(below)
    if all(split_of(top) for top in tops) and (len(tops) > 1 or any(below.values())):
        alone = f", or give {folder / tops[0]}" if len(tops) == 1 else ""
        raise BadInput(
            f"{_named(tops)} of {folder}: looks like a split, and there is no train/ beside it; name the "
            f"folder of training images train/{alone}"
        )
    for top in tops:
        if split_of(top) and (inside := sorted(below[top] & below.keys())):
            raise BadInput(
                f"{top}/ of {folder} looks like a split, not a class: {_named(inside[:3])} lie in it and "
                "beside it; put train/ and test/ above all classes"
            )
    if pair := _split_in_two(tops):
        raise BadInput(
            f"{_named(pair)} of {folder} look like splits, not classes; name them train/ and test/, with the "
            "classes below them"
        )
    for i, top in enumerate(tops):
        if shared := next(_sharing(top, tops[i + 1 :], below), None):
            raise BadInput(
                f"{_named((top, shared))} of {folder} look like splits, not classes: both hold "
                f"{_named(sorted(below[top] & below[shared])[:3])}; name them train/ and test/, or give one"
            )
        splits = {split_of(name): name for name in sorted(below[top])}
        if "train" in splits and (held := next((splits[s] for s in HELD_OUT if s in splits), None)):
            remedy = f"give {folder / top}" if len(tops) == 1 else "put train/ and test/ above the classes"
            raise BadInput(f"{top}/{splits['train']} and {top}/{held} of {folder} are splits; {remedy}")


def _split_in_two(names: Iterable[str]) -> tuple[str, str] | None:
    """Two names that are alike but for the names of two splits at an end: ``cats_train``, ``cats_test``."""
    first: dict[str, tuple[str, SplitName]] = {}
    for name in names:
        letters = re.sub(f"{FILLING}$", "", plain(name))
        for split, words in SPLITS.items():
            choice = "|".join(sorted(words, key=len, reverse=True))
            rest = re.sub(f"^(?:{choice})|(?:{choice})$", "", letters)
            if rest not in ("", letters):
                other, other_split = first.setdefault(rest, (name, split))
                if other_split != split and other != name:
                    return other, name
    return None


def _sharing(top: str, others: Iterable[str], below: Mapping[str, set[str]]) -> Iterator[str]:
    """Other folders with a subfolder of the same name, where either of the two looks like a split."""
    for other in others:
        if below[top] & below[other] and (looks_like_split(top) or looks_like_split(other)):
            yield other


def require_distinct_classes(folder: Path, names: Mapping[str, str]) -> None:
    """Refuse classes whose names differ in what other disks and people do not tell apart.

    ``names`` has the id of an image of each class. Raises: BadInput.
    """
    first: dict[str, str] = {}
    for name, image in names.items():
        other = first.setdefault(class_key(name), name)
        if other != name:
            raise BadInput(
                f"classes {other!r} and {name!r} of {folder} differ in case, blanks or separators only "
                f"({names[other]}, {image}); give both folders one name"
            )


def _named(names: Iterable[str]) -> str:
    return " and ".join(f"{name}/" for name in names)
