"""Prepared pixels of images: decoded and resized in this process, or by worker processes ahead of it.

Workers are those of torch's DataLoader. A server process without threads starts them (``forkserver``): a fork
of this one would copy the locks that threads of MLflow, onnxruntime and CUDA hold at that moment. The server
imports torch once; a worker then starts in 0.1 s. Workers start only where they save time: the first batches
are decoded here and tell what decoding costs beside the use of the pixels.

Pixels are uint8 until they are on the device: a quarter of the bytes of normalised inputs.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any, cast

import numpy as np

from mlproject.device import Device, find_n_cores, find_n_threads, find_n_workers, workers_asked
from mlproject.errors import MLProjectError, one_line
from mlproject.features.prepared import Decoder, KeptImages, Pixels
from mlproject.signals import start_fork_server

log = logging.getLogger(__name__)

N_TIMED = 128
"""Images decoded in this process, after the first batch, before workers are considered."""
START_SECONDS = 4.0
"""Seconds that workers have to save before they are started: a core imports torch for so long."""
LEAST_SAVED = 0.1
"""Share of the time that workers have to save. Beside a network that fills the cores they save half of the
decoding at most, and less in truth: processes compete for caches."""
AHEAD = 2
"""Batches that each worker prepares ahead."""


class PixelReader:
    """Batches of prepared pixels in the order asked for, whoever decodes them; to be closed.

    ``ids`` and ``digests`` belong to the places that ``read`` takes. ``keep``: images are kept for the next
    backbone where they all have room.
    """

    def __init__(
        self,
        decoder: Decoder,
        ids: Sequence[str],
        digests: Sequence[str],
        device: Device,
        *,
        kept: KeptImages | None = None,
    ) -> None:
        self.decoder, self.ids, self.digests, self.device, self.kept = decoder, ids, digests, device, kept
        self.seconds_decoding = self.seconds_using = 0.0
        self.n_timed = 0
        self.n_workers = 0
        self._loader: Any = None
        self._order = _Order(ids)
        self._never = False

    def __enter__(self) -> PixelReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        self._loader = None  # its iterator stops them when it is released

    def batches(self, batches: Sequence[Sequence[int]]) -> Iterator[list[Pixels]]:
        """Images [B, S, S, 3] of the places of each batch, and their maps [B, S, S], as far as both are read.

        One iteration at a time. Raises: what ``read`` raises; MLProjectError when a worker was killed.
        """
        n_left = sum(map(len, batches))
        keep = self.kept is not None and n_left <= self.kept.room(self.decoder.preprocess)
        largest = max(map(len, batches), default=0)
        for number, places in enumerate(batches):
            if self._workers_pay(n_left, largest):
                yield from self._from_workers(batches[number:], keep=keep)
                return
            start = time.perf_counter()
            decoded = self._here(places, keep=keep)
            used = time.perf_counter()
            yield decoded
            if number:  # the use of the first batch loads the network
                self.seconds_decoding += used - start
                self.seconds_using += time.perf_counter() - used
                self.n_timed += len(places)
            n_left -= len(places)

    def _here(self, places: Sequence[int], *, keep: bool) -> list[Pixels]:
        parts = []
        if self.decoder.read is not None:
            parts.append(np.stack([self._image(int(place), keep=keep) for place in places]))
        if self.decoder.read_map is not None:
            parts.append(np.stack([self.decoder.map(int(place), self.ids[place]) for place in places]))
        return parts

    def _image(self, place: int, *, keep: bool) -> Pixels:
        if self.kept is None:
            return self.decoder.image(place, self.ids[place])
        preprocess, digest = self.decoder.preprocess, self.digests[place]
        image = self.kept.get(preprocess, digest)
        if image is None:
            image = self.decoder.image(place, self.ids[place])
            if keep:
                self.kept.add(preprocess, digest, image)
        return image

    def _workers_pay(self, n_left: int, largest: int) -> bool:
        """Whether workers save more time than their start takes."""
        if self._loader is not None:
            return True
        asked = workers_asked()
        if self._never or asked == 0 or (asked is None and self.n_timed < N_TIMED):
            return False
        n_bytes = AHEAD * largest * 4 * self.decoder.preprocess.crop**2
        n_workers = asked or min(find_n_workers(self.device, n_bytes), self._n_useful(n_left))
        if n_workers and self._is_portable():
            self._start(n_workers)
        return self._loader is not None

    def _n_useful(self, n_left: int) -> int:
        """Workers that shorten the rest by more than their start takes; 0 where none do."""
        decoding, using = self.seconds_decoding / self.n_timed, self.seconds_using / self.n_timed
        most, n_cores = find_n_workers(self.device, 0), find_n_cores()
        n_threads = min(n_cores, find_n_threads()) if self.device == "cpu" else 1
        # No faster than the use, than all workers together, or than all cores that both share.
        faster = max(using, decoding / max(1, most), (decoding + using * n_threads) / n_cores)
        saved = decoding + using - faster
        return most if n_left * saved > START_SECONDS and saved > LEAST_SAVED * (decoding + using) else 0

    def _is_portable(self) -> bool:
        try:
            ForkingPickler.dumps(self.decoder)
        except Exception as error:  # pickle raises three types, and what objects raise themselves
            self._never = True
            log.warning(
                "images are decoded in one process: their reader cannot leave it (%s)", one_line(error)
            )
        return not self._never

    def _start(self, n_workers: int) -> None:
        import torch.multiprocessing
        from torch.utils.data import DataLoader

        start_fork_server([__name__, "torch.utils.data", "PIL.Image"])
        self.n_workers = n_workers
        self._loader = DataLoader(
            cast(Any, self.decoder),  # it reads whole batches, for which a Dataset has no type
            batch_sampler=self._order,
            num_workers=n_workers,
            collate_fn=_unchanged,
            multiprocessing_context=torch.multiprocessing.get_context("forkserver"),
            prefetch_factor=AHEAD,
            persistent_workers=True,
            worker_init_fn=_begin_worker,
        )
        log.info("%d workers decode images", n_workers)

    def _from_workers(self, batches: Sequence[Sequence[int]], *, keep: bool) -> Iterator[list[Pixels]]:
        assert self._loader is not None
        preprocess, wanted = self.decoder.preprocess, batches
        if keep:
            wanted = [[place for place in places if not self._is_kept(int(place))] for places in batches]
        self._order.batches = wanted
        iterator = iter(self._loader)
        for places, asked in zip(batches, wanted, strict=True):
            parts = self._next(iterator) if len(asked) else []
            if keep and self.kept is not None:
                for place, image in zip(asked, parts[0] if parts else (), strict=True):
                    self.kept.add(preprocess, self.digests[int(place)], image.copy())  # no view of the batch
            yield parts if len(asked) == len(places) else self._here(places, keep=keep)

    def _is_kept(self, place: int) -> bool:
        if self.kept is None or self.decoder.read_map is not None:
            return False
        return self.kept.get(self.decoder.preprocess, self.digests[place]) is not None

    def _next(self, iterator: Iterator[Any]) -> list[Pixels]:
        try:
            batch = next(iterator)
        except (RuntimeError, EOFError, OSError) as error:  # the last two: a message is left unfinished
            if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
                raise
            self.close()
            raise MLProjectError(
                f"a worker process that decodes images was killed, as a rule for lack of memory "
                f"({one_line(error)}); what is finished is kept: start again, with fewer workers or none "
                "(MLPROJECT_WORKERS=0) if it happens again"
            ) from error
        if isinstance(batch, MLProjectError):
            raise batch
        return [part.numpy() for part in batch]


class _Order:
    """The batches that workers are asked for, as places and names; made as they are asked for."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids
        self.batches: Sequence[Sequence[int]] = ()

    def __iter__(self) -> Iterator[list[tuple[int, str]]]:
        for places in self.batches:
            if len(places):
                yield [(int(place), self.ids[int(place)]) for place in places]


def _unchanged(batch: Any) -> Any:
    return batch


def _begin_worker(number: int) -> None:
    """Ignore the interrupt key, which reaches all processes of a terminal: their parent stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
