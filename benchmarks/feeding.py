"""Decoding ahead of an engine: images per second by workers, cost beside them, memory, and streamed training.

    PYTHONPATH=src python benchmarks/feeding.py workers      an engine that returns at once, 500 x 375 JPEGs
    PYTHONPATH=src python benchmarks/feeding.py many 100000  time and peak memory of a folder of small JPEGs
    PYTHONPATH=src python benchmarks/feeding.py network      cold extraction against decoding in a plain loop
    PYTHONPATH=src python benchmarks/feeding.py training     steps of streamed images against images in memory

Everything of ours is the code of an extraction or a training: files are read, verified, decoded, resized,
and rows are stored. Variants alternate within one run; the ratios are medians over rounds. CPU seconds are
those of the extracting process alone. Ratios of time need cores that nobody else uses.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ |= {"OMP_WAIT_POLICY": "passive"}

import numpy as np
from PIL import Image

from mlproject.data import ImageSet, load_images
from mlproject.features import KEPT, FeatureStore, PixelReader, StreamedImages, forget
from mlproject.features.extraction import RowRequest, complete
from mlproject.features.prepared import Decoder
from mlproject.features.table import FeatureTable
from mlproject.losses import Silent
from mlproject.models import Preprocess, find_model, find_weights, normalise, prepare

N_ROUNDS, WIDTH, BATCH = 3, 1024, 8
LARGE = Preprocess(resize=256, crop=224)


def main(words: list[str]) -> None:
    what, *rest = words or ["workers"]
    {"workers": workers, "many": many, "network": network, "training": training}[what](*map(int, rest))


def workers(n_images: int = 1200) -> None:
    with folder(n_images, 500, 375) as images:
        set_workers(1)
        extract(images, 128)  # starts the server of the workers
        rounds = []
        for number in range(N_ROUNDS):
            rounds.append([extract(images, n_images, workers) for workers in (0, 1, 2)])
            shown = "   ".join(
                f"{workers} workers {n_images / wall:6.0f} images/s {1e3 * cpu / n_images:6.3f} CPU-ms"
                for workers, (wall, cpu) in enumerate(rounds[-1])
            )
            print(f"round {number + 1} (load {os.getloadavg()[0]:.1f}): {shown}", flush=True)
        speedup = statistics.median(one[0] / two[0] for _, one, two in rounds)
        cost = statistics.median(1e3 * two[1] / n_images for _, _, two in rounds)
        print(f"two workers against one: {speedup:.2f} times; extracting process {cost:.3f} CPU-ms an image")


def many(n_images: int = 100_000) -> None:
    with folder(n_images, 64, 48) as images, peak_memory() as peak:
        os.environ.pop("MLPROJECT_WORKERS", None)
        wall, cpu = extract(images, n_images)
        print(f"{n_images:,} images in {wall:.0f} s ({n_images / wall:.0f} images/s), {cpu:.0f} CPU-s here")
    print(f"peak memory of all processes {max(peak) / 1e9:.2f} GB", flush=True)


def network(n_images: int = 128) -> None:
    model = find_model("efficientnet_lite0")
    weights = find_weights(model, "imagenet")
    os.environ.pop("MLPROJECT_WORKERS", None)
    with folder(n_images, 500, 375) as images:
        cold(model, weights, images)  # imports everything
        ratios = []
        for _ in range(N_ROUNDS):
            ours = timed(lambda: cold(model, weights, images))
            plain = timed(lambda: plain_loop(model, weights, images))
            ratios.append(ours[1] / plain[1])
            print(
                f"ours {ours[1]:.2f} CPU-s {ours[0]:.2f} s   plain {plain[1]:.2f} CPU-s {plain[0]:.2f} s",
                flush=True,
            )
        print(f"CPU time of ours: {statistics.median(ratios):.3f} times the plain loop's")


def training(n_images: int = 1280) -> None:
    import torch

    from mlproject.recipes.scratch.run import Classifier, measure, smoothed
    from mlproject.training import Examples, Settings, Task, seeded, train

    torch.set_num_threads(1)
    model, side, n_classes = find_model("resblock_w16_d1"), 32, 10
    settings = Settings(optimizer="adamw", lr=1e-3, weight_decay=0.01, batch_size=64, epochs=3, warmup=0.0)
    preprocess = Preprocess(resize=side, crop=side)
    with folder(n_images, 64, 48) as images:
        reader = PixelReader(Decoder(images.read, preprocess), images.ids, (), "cpu")
        pixels = np.concatenate([part for (part,) in reader.batches(batches(n_images))])
        targets = torch.arange(n_images) % n_classes
        held = Examples(
            pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2),
            targets=targets,
            mean=(0.5,) * 3,
            std=(0.25,) * 3,
        )

        def steps(examples: Examples) -> tuple[float, float, float]:
            with seeded(0, "init"):
                net = Classifier(model.build(), model.width, n_classes, (1.0,))
            task = Task(objective=smoothed(0.0), measure=measure)
            start, cpu = time.perf_counter(), time.process_time()
            how = {"seed": 0, "evaluated": {}, "device": "cpu", "report": Silent()}
            history = train(net, task, settings, examples=examples, **how).history
            return time.perf_counter() - start, time.process_time() - cpu, history[-1]["train.loss"]

        n_steps = settings.epochs * -(-n_images // settings.batch_size)
        ratios = []
        for _ in range(N_ROUNDS):
            set_workers(1)
            with PixelReader(Decoder(images.read, preprocess), images.ids, (), "cpu") as reader:
                streamed = Examples(
                    pixels=StreamedImages(reader=reader, places=np.arange(n_images)),
                    targets=targets,
                    mean=held.mean,
                    std=held.std,
                )
                list(streamed.batches([torch.arange(8)], "cpu"))  # starts the worker
                by_memory, by_stream = steps(held), steps(streamed)
            assert by_memory[2] == by_stream[2]
            ratios.append(by_memory[0] / by_stream[0])
            print(
                f"load {os.getloadavg()[0]:.1f}: in memory {n_steps / by_memory[0]:.1f} steps/s, "
                f"{by_memory[1]:.2f} CPU-s; streamed {n_steps / by_stream[0]:.1f}, {by_stream[1]:.2f} CPU-s",
                flush=True,
            )
        print(f"streamed: {statistics.median(ratios):.2f} of the steps per second in memory; equal losses")


@contextmanager
def folder(n_images: int, width: int, height: int) -> Iterator[ImageSet]:
    """JPEGs of smooth noise, about as hard to decode as photographs."""
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        for i in range(n_images):
            coarse = draw.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            grain = draw.integers(-8, 9, (height, width, 1))
            pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(Path(place) / f"{i}.jpg", quality=90)
        start = time.process_time()
        images = load_images(place)
        cost = time.process_time() - start
        print(f"{n_images:,} files of {width} x {height} listed and checked: {cost:.1f} CPU-s", flush=True)
        yield images


def extract(images: ImageSet, n_images: int, n_workers: int | None = None) -> tuple[float, float]:
    """Wall and CPU seconds of this process for an extraction whose engine returns at once."""
    if n_workers is not None:
        set_workers(n_workers)
    KEPT.clear()
    rows = np.zeros((64, WIDTH), np.float32)
    out = np.empty((n_images, WIDTH), np.float32)
    with tempfile.TemporaryDirectory() as root:
        table = FeatureTable(Path(root), {"model": "instant"}, WIDTH)
        request = RowRequest(images, np.arange(n_images), out, Silent())
        return timed(lambda: complete(table, request, LARGE, lambda pixels: lambda: rows[: len(pixels)]))


def cold(model: object, weights: object, images: ImageSet) -> None:
    forget()
    with tempfile.TemporaryDirectory() as root:
        FeatureStore(Path(root)).features(model, weights, images, np.arange(len(images)), report=Silent())


def plain_loop(model: object, weights: object, images: ImageSet) -> None:
    """Read, prepare, normalise and embed eight images at a time, in one process."""
    import torch

    from mlproject.features import onnx_engine
    from mlproject.models import load_backbone

    engine = None
    for start in range(0, len(images), BATCH):
        places = range(start, min(start + BATCH, len(images)))
        pictures = [prepare(model.preprocess, images.read(i)) for i in places]
        inputs = torch.from_numpy(normalise(model.preprocess, np.stack(pictures)))
        engine = engine or onnx_engine(load_backbone(model, weights), inputs.numpy())
        engine.forward(inputs)


def batches(n: int) -> list[list[int]]:
    return [list(range(start, min(start + 64, n))) for start in range(0, n, 64)]


def set_workers(n: int) -> None:
    os.environ["MLPROJECT_WORKERS"] = str(n)


def timed(call: object) -> tuple[float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - cpu


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    """Bytes of this process and all below it (shared pages divided among them), sampled each half second."""
    samples, done = [0], threading.Event()

    def sample() -> None:
        while not done.wait(0.5):
            samples.append(sum(map(proportional, processes())))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def processes() -> list[int]:
    """This process and its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)


def proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


if __name__ == "__main__":
    main(sys.argv[1:])
