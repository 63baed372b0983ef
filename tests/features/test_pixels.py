"""Pixels are the same whoever decodes them; errors of workers are one line; workers start where they pay."""

import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
from tiny import EVERY_10, RANDOM, Loud, Pictures, picture, tiny_model

from mlproject.errors import BadInput, DigestMismatch, MLProjectError
from mlproject.features import FeatureStore, pixels
from mlproject.features.pixels import PixelReader
from mlproject.features.prepared import KEPT, Decoder, KeptImages
from mlproject.models import Preprocess

PLACES = [[3, 1, 4], [1, 5], [9, 2, 6], [7]]


@dataclass(frozen=True)
class Reader:
    """Picture i, or what goes wrong with it."""

    def __call__(self, i: int) -> np.ndarray:
        if i == 95:
            raise DigestMismatch("95.png changed after it was loaded; start again")
        if i == 96:
            raise ValueError("a decoder\nthat fails")
        if i == 97:
            os.kill(os.getpid(), signal.SIGKILL)
        return picture(i)


@dataclass(frozen=True)
class Classes:
    """The label map of picture i; none of its pixels has a class where i is 98."""

    def __call__(self, i: int) -> np.ndarray:
        return np.full((24, 30), 255 if i == 98 else i % 7, np.uint8)


def open_reader(decoder, *, kept=None):
    ids = [f"{i}.png" for i in range(100)]
    return PixelReader(decoder, ids, ids, "cpu", kept=kept)


@pytest.fixture
def one_worker(monkeypatch):
    monkeypatch.setenv("MLPROJECT_WORKERS", "1")


def test_workers_give_the_pixels_and_maps_of_this_process_in_order(monkeypatch, one_worker):
    def read(reader):
        return [tuple(part.copy() for part in batch) for batch in reader.batches(PLACES)]

    with open_reader(Decoder(Reader(), EVERY_10, Classes())) as reader:
        abandoned = reader.batches(PLACES)
        next(abandoned)  # a training that runs out of memory leaves an iteration unfinished
        by_worker = read(reader)
        assert reader.n_workers == 1
    monkeypatch.setenv("MLPROJECT_WORKERS", "0")
    with open_reader(Decoder(Reader(), EVERY_10, Classes())) as reader:
        here = read(reader)
        assert reader.n_workers == 0
    assert [len(images) for images, _ in here] == [3, 2, 3, 1]
    for batch, expected in zip(by_worker, here, strict=True):
        for part, other in zip(batch, expected, strict=True):
            assert np.array_equal(part, other)


def test_errors_of_a_worker_are_those_of_this_process_and_its_death_is_a_line(monkeypatch, one_worker):
    with open_reader(Decoder(Reader(), EVERY_10, Classes())) as reader:
        for place, kind, text in (
            (95, DigestMismatch, "^95.png changed after it was loaded; start again$"),
            (96, MLProjectError, "^ValueError: a decoder$"),
            (98, BadInput, "^98.png: no pixel has a class at 16 x 16$"),
            (
                97,
                MLProjectError,
                r"^a worker process that decodes images was killed, .* \(MLPROJECT_WORKERS=0\) if",
            ),
        ):
            with pytest.raises(kind, match=text):
                list(reader.batches([[1], [place]]))


def test_features_by_workers_are_those_of_this_process_to_the_last_bit(monkeypatch, tmp_path, one_worker):
    images = Pictures(list(range(300)))

    def ask(root):
        store = FeatureStore(root)
        return store.features(tiny_model(), RANDOM, images, np.arange(300), engine="eager", report=Loud())

    by_worker = ask(tmp_path / "worker")
    assert images.reads == []
    KEPT.clear()
    monkeypatch.setenv("MLPROJECT_WORKERS", "0")
    assert np.array_equal(ask(tmp_path / "here").matrix, by_worker.matrix)


def test_a_reader_that_cannot_leave_the_process_is_used_in_it_with_a_warning(one_worker, caplog):
    def read(i):  # of no module, so that no other process knows it
        return picture(i)

    with open_reader(Decoder(read, EVERY_10)) as reader:
        assert [len(images) for (images,) in reader.batches(PLACES)] == [3, 2, 3, 1]
    assert caplog.text.count("images are decoded in one process") == 1


def test_backbones_that_only_normalise_differently_share_their_images():
    images = Pictures(list(range(8)))
    kept = KeptImages(8 * 3 * 16**2)
    for std in (0.2, 0.3):
        preprocess = Preprocess(resize=20, crop=16, std=(std,) * 3)
        with PixelReader(
            Decoder(images.read, preprocess), images.ids, images.digests, "cpu", kept=kept
        ) as reader:
            for _ in reader.batches([range(4), range(4, 8)]):
                pass
    assert sorted(images.reads) == list(range(8))
    with PixelReader(Decoder(images.read, EVERY_10), images.ids, images.digests, "cpu", kept=kept) as reader:
        list(reader.batches([[*range(8), 0]]))
    assert len(images.reads) == 8 + 0  # nine do not fit, and the eight that are there are used


@pytest.mark.parametrize(
    ("decoding", "using", "n_left", "device", "threads", "expected"),
    [
        (2.4, 0.1, 100_000, "cpu", 4, 4),  # a network of 28 pixels
        (2.4, 40.0, 100_000, "cpu", 4, 0),  # a real one, which fills the cores
        (2.4, 40.0, 100_000, "cpu", 1, 0),  # 5 % of the time
        (2.4, 0.1, 1_000, "cpu", 4, 0),  # over before a worker has started
        (2.4, 0.3, 100_000, "cuda", 4, 4),
        (2.4, 3.0, 100_000, "cuda", 4, 4),
    ],
)
def test_workers_start_where_they_save_time(
    monkeypatch, decoding, using, n_left, device, threads, expected
):  # milliseconds an image, on four cores
    monkeypatch.setattr("mlproject.device.find_n_cores", lambda: 4)
    monkeypatch.setattr(pixels, "find_n_cores", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
    reader = PixelReader(Decoder(picture, EVERY_10), (), (), device)
    reader.seconds_decoding, reader.seconds_using, reader.n_timed = decoding, using, 1000
    assert reader._n_useful(n_left) == expected
