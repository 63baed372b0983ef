"""Names by which label maps are told from pictures: of the folders of both, and of files side by side.

``images/`` beside ``masks/`` is read as pictures and label maps. Every other tree in which names say that
some pictures are label maps of others (``train/`` beside ``train_masks/``, ``1/images/`` beside ``1/masks/``,
``a.png`` beside ``a_mask.png``) is refused, since a label map would pass for a picture of a class.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from mlproject.data.image_set import Skipped
from mlproject.data.layout import SUFFIXES, class_key, plain, printable, read_names
from mlproject.errors import BadInput

CLASSES = "classes.txt"
SYNSETS = ("LOC_synset_mapping.txt", "synset_words.txt", CLASSES)
"""Files that name the classes of a folder by the names of their folders; the first two are ImageNet's."""
PICTURES = ("images", "image", "imgs", "img", "pictures", "picture", "photos", "photo", "jpegimages")
"""Names of a folder of pictures beside one of label maps."""
LABEL_MAPS = (
    "labels", "label", "masks", "mask", "annotations", "annotation", "segmentations", "segmentation",
    "segmentationclass", "segs", "seg", "groundtruth", "gt", "labelmaps", "maskimages", "trimaps",
)  # fmt: skip
"""Names of a folder of label maps beside one of pictures."""
IN_NAMES = (*(word for word in LABEL_MAPS if word != "gt"), "annots", "annot", "labelids", "instanceids")
"""Words that mean label maps at an end of a longer name; two letters would be part of too many names."""
IN_PICTURES = (*PICTURES, "rgb")
LIKELY = re.compile(
    f"(?:{'|'.join(LABEL_MAPS)})(?:png|jpe?g)?$|^(?:{'|'.join(LABEL_MAPS)})|[^\\x00-\\x7f]", re.M
)
"""Whether a name among others, a line each in small letters, may be that of a label map; ``_bases`` knows."""
NO_LETTERS = re.compile("[\\x00-\\x09\\x0b-\\x60\\x7b-\\x7f]+")
SUFFIX = re.compile(r"\.(?:png|jpe?g)$", re.IGNORECASE)
LAYOUT = "put pictures below images/ and label maps below masks/, splits below both (images/train/)"


def find_label_maps(names: Collection[str]) -> tuple[str, str] | None:
    """The folder of pictures and that of their label maps among names; None without such a pair.

    Raises: BadInput where two folders may be that of the label maps.
    """
    by_name = {plain(name): name for name in sorted(names, reverse=True)}
    pictures = next((by_name[name] for name in PICTURES if name in by_name), None)
    maps = [by_name[name] for name in LABEL_MAPS if name in by_name]
    if pictures is None or not maps:
        return None
    if len(maps) > 1:
        raise BadInput(
            f"{' and '.join(f'{name}/' for name in maps)} beside {pictures}/ may both be its label maps; "
            "take one of them out"
        )
    return pictures, maps[0]


def find_label_map_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of pictures and of label maps below a folder; None for any other folder.

    Raises: BadInput where two may be that of the label maps.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_dir()]
    except (OSError, ValueError):  # whoever reads the folder says so
        return None
    candidates = [name for name in names if plain(name) in PICTURES or holds_pictures(folder / name)]
    pair = find_label_maps(candidates)
    if pair is None:
        return None
    return folder / pair[0], folder / pair[1]


def holds_pictures(folder: Path) -> bool:
    """Whether a folder holds files that are named as pictures, at any depth."""
    seen: set[str] = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        if any(os.path.splitext(n)[1].casefold() in SUFFIXES for n in names if not n.startswith(".")):
            return True
        seen.add(os.path.realpath(above))
        folders[:] = [each for each in folders if os.path.realpath(os.path.join(above, each)) not in seen]
    return False


def require_no_label_maps(folder: Path, files: Iterable[str]) -> None:
    """Refuse pictures and their label maps as images of one kind; ``files`` are paths below the folder.

    Raises: BadInput naming two folders, or two files of one folder.
    """
    stems: dict[str, set[str]] = defaultdict(set)
    for path in files:
        above, _, name = path.rpartition("/")
        stems[above].add(name.rpartition(".")[0])
    inside: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for folder_path, names in stems.items():
        steps = folder_path.split("/") if folder_path else []
        for depth, child in enumerate(steps):
            inside["/".join(steps[:depth])][child] |= names
    for parent, children in inside.items():
        _require_no_pair(folder / parent, children)
    for parent, names in stems.items():
        _require_no_mask_files(folder / parent, names)


def _require_no_pair(parent: Path, children: Mapping[str, set[str]]) -> None:
    """Refuse folders beside each other of which one holds the label maps of the other."""
    pair = find_label_maps(children) or next(_likely_pairs(children), None)
    if pair:
        first, second = (f"{name}/" for name in pair)
        raise BadInput(
            f"{first} and {second} in {parent} are pictures and label maps, not two classes; {LAYOUT}, or "
            "give the folder of pictures alone"
        )


def _likely_pairs(stems: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Two names that are alike but for a word for label maps, where half of the files below them are, too.

    ``stems`` are those of the files below each name: thousands of classes have millions of pairs.
    """
    letters = {name: (plain(name), _without(name, IN_NAMES)) for name in stems}
    maps: dict[str, list[str]] = defaultdict(list)
    for name, (every, rest) in letters.items():
        if rest != every:
            maps[_without(name, (*IN_NAMES, *IN_PICTURES))].append(name)
    for name, (every, rest) in letters.items() if maps else ():
        if every and rest == every:
            likely = maps.get(_without(name, IN_PICTURES), ())
            yield from ((name, other) for other in likely if _share_half(stems[name], stems[other]))


def _share_half(pictures: set[str], maps: set[str]) -> bool:
    """Whether half of the label maps have a picture."""
    pictured = {class_key(stem) for stem in pictures}
    alike = sum(bool({class_key(stem), *_bases(stem)} & pictured) for stem in maps)
    return 2 * alike >= len(maps)


def _without(name: str, words: tuple[str, ...]) -> str:
    """The letters of a name without the words at its ends."""
    return _at_ends(words).sub("", plain(name))


@cache
def _at_ends(words: tuple[str, ...]) -> re.Pattern[str]:
    choice = "|".join(sorted(words, key=len, reverse=True))
    return re.compile(f"^(?:{choice})+|(?:{choice})+$")


def _require_no_mask_files(parent: Path, stems: set[str]) -> None:
    """Refuse ``a_mask.png`` beside ``a.png``."""
    likely = stems if LIKELY.search(NO_LETTERS.sub("", "\n".join(stems).casefold())) else ()
    masks = [stem for stem in sorted(likely) if _bases(stem)]
    pictured = {class_key(stem): stem for stem in sorted(stems)} if masks else {}
    for stem in masks:
        if base := next((pictured[base] for base in _bases(stem) if base in pictured), None):
            raise BadInput(
                f"{stem} beside {base} in {parent} looks like its label map, not like another picture; "
                f"{LAYOUT}, or take the label maps out"
            )


def _bases(stem: str) -> list[str]:
    """What a file's name says that it is a label map of: the name without a word for label maps."""
    stem = SUFFIX.sub("", stem) if "." in stem else stem
    letters = plain(stem)
    if not (letters.startswith(LABEL_MAPS) or letters.endswith(LABEL_MAPS)):
        return []
    words = class_key(stem).split(" ")
    bases = [words[1:]] if plain(words[0]) in LABEL_MAPS else []
    bases += [words[:-1]] if plain(words[-1]) in LABEL_MAPS else []
    return [" ".join(base) for base in bases if base]


def missing_map(picture: str, folder: Path, there: Mapping[str, str]) -> str:
    """Why a picture has no label map, naming the file that seems to be meant where there is one.

    ``picture`` is its path without suffix below the folder of pictures, ``there`` the label maps by the names
    that they could have been meant for, see ``meant_for``.
    """
    meant = there.get(class_key(picture))
    hint = f"; {meant} is there: give it that name" if meant else ""
    return f"its label map {picture}.png is missing in {folder.name}/{hint}"


def meant_for(paths: Iterable[str]) -> dict[str, str]:
    """Label maps, as paths below their folder, by what pictures they could be meant for."""
    meant: dict[str, str] = {}
    for path in sorted(paths, reverse=True):
        above, _, name = path.rpartition("/")
        stem = os.path.splitext(name)[0]
        parent = [class_key(above)] if above else []
        for base in (class_key(stem), class_key(os.path.splitext(stem)[0]), *_bases(stem)):
            meant["/".join([*parent, base])] = path
    return meant


def unread(images: Path, label_maps: Path, n_alone: int) -> Iterator[Skipped]:
    """A note on label maps without a picture, and on folders of pictures that lie beside the two."""
    if n_alone:
        yield Skipped(id=f"({label_maps.name}/)", reason=f"{n_alone} label maps without a picture")
    for folder in sorted(images.parent.iterdir()):
        if folder not in (images, label_maps) and holds_pictures(folder):
            yield Skipped(id=f"{printable(folder.name)}/", reason="beside pictures and label maps, not read")


def class_names(folder: Path) -> tuple[str, ...]:
    """The names in ``classes.txt``, in any case; none without such a file."""
    path = next((each for each in sorted(folder.iterdir()) if each.name.casefold() == CLASSES), None)
    if path is None:
        return ()
    names = tuple(read_names(path))
    if len(set(names)) != len(names) or not names:
        raise BadInput(f"{path} must name each class once, one a line")
    return names


def names_of_classes(folder: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Classes with their names, where a file of the folder names them by the names of their folders.

    A line is the name of a folder, a blank, and the name of the class, of which what stands before the first
    comma is taken: ``n01440764 tench, Tinca tinca``. Files that name none of the classes are passed over.

    Raises: BadInput for a file that names some of them only, or that is no text.
    """
    for path in (folder / name for name in SYNSETS):
        lines = read_names(path) if path.is_file() else []
        words = [re.split(r"[\s,]+", line, maxsplit=1) for line in lines]
        names = {line[0]: line[1].partition(",")[0].strip() for line in words if len(line) == 2}
        without = [each for each in classes if not names.get(each)]
        if names and len(without) < len(classes):
            if without:
                raise BadInput(f"{path} names no class {without[0]}; add a line for it, or take the file out")
            return tuple(f"{each} {printable(names[each])}" for each in classes)
    return classes
