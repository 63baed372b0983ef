"""Published segmentation sets that torchvision knows: PASCAL VOC 2012 and the Oxford-IIIT Pets.

torchvision finds or fetches them (see ``published``); the lists and files are read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlproject.data.image_set import ImageSet
from mlproject.data.label_maps import Pair, load_pairs
from mlproject.data.names import natural
from mlproject.data.published import data_root, opened
from mlproject.errors import BadInput

VOC = "VOCdevkit/VOC2012"
VOC_CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How torchvision names a set and its parts (training, held out), and where its files lie.

    Of each part a list of names; pictures and label maps by patterns with a name in them.
    """

    torchvision: str
    parts: tuple[dict[str, str], dict[str, str]]
    lists: tuple[str, str]
    image: str
    label_map: str
    classes: tuple[str, ...]
    first_class: int
    source: str


LAYOUTS: Mapping[str, _Layout] = {
    "voc2012": _Layout(
        torchvision="VOCSegmentation",
        parts=({"image_set": "train"}, {"image_set": "val"}),
        lists=(f"{VOC}/ImageSets/Segmentation/train.txt", f"{VOC}/ImageSets/Segmentation/val.txt"),
        image=f"{VOC}/JPEGImages/{{}}.jpg",
        label_map=f"{VOC}/SegmentationClass/{{}}.png",
        classes=VOC_CLASSES,
        first_class=0,
        source="PASCAL VOC 2012, Everingham et al., Flickr terms of use",
    ),
    "oxford-pets": _Layout(
        torchvision="OxfordIIITPet",
        parts=(
            {"split": "trainval", "target_types": "segmentation"},
            {"split": "test", "target_types": "segmentation"},
        ),
        lists=("oxford-iiit-pet/annotations/trainval.txt", "oxford-iiit-pet/annotations/test.txt"),
        image="oxford-iiit-pet/images/{}.jpg",
        label_map="oxford-iiit-pet/annotations/trimaps/{}.png",
        classes=("pet", "background", "border"),
        first_class=1,
        source="Oxford-IIIT Pet, Parkhi et al. 2012, CC BY-SA 4.0",
    ),
}


def load_published_maps(name: str, *, download: bool = False) -> ImageSet:
    """A published set of images and label maps with its own validation or test split held out.

    Raises: BadInput, saying how to get it, when it is not there or cannot be read.
    """
    layout, root = LAYOUTS[name], data_root()
    pairs = []
    for held_out, words, listed in zip((False, True), layout.parts, layout.lists, strict=True):
        opened(name, layout.torchvision, download=download, **words)
        pairs += [_pair(root, layout, image, held_out) for image in _names(root / listed)]
    pairs.sort(key=lambda pair: natural(pair.id))
    return load_pairs(
        pairs, name=name, classes=layout.classes, source=layout.source, first_class=layout.first_class
    )


def _pair(root: Path, layout: _Layout, name: str, held_out: bool) -> Pair:
    part = "test" if held_out else "train"
    return Pair(
        id=f"{part}/{name}.jpg",
        image=str(root / layout.image.format(name)),
        label_map=str(root / layout.label_map.format(name)),
        held_out=held_out,
    )


def _names(path: Path) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror})") from error
    return [line.split()[0] for line in lines if line.strip()]
