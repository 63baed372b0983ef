"""What a machine with a GPU has to show, in one run of at most ten minutes.

    PYTHONPATH=src python benchmarks/gpu.py                        on a GPU
    PYTHONPATH=src python benchmarks/gpu.py --device cpu --quick   the same checks, a CPU standing in

Each line is a check with what was measured, what is asked for, and whether it holds:

- features of the GPU in fp32 against the CPU's (relative L2 distance of a row), and the error of AMP
- losses of a training in fp32 against the CPU's, and the error of AMP
- images per second of an extraction from JPEGs against a bare loop over tensors in memory (same network, same
  precision, same batch), with as many workers as the tool starts by itself
- steps per second of the training loop against a bare loop, images in memory and streamed
- two runs of a deterministic training give the same bits; a training that was stopped and resumed does too
- a batch beyond the memory is halved, and the features stay the same

Exit status 1 where a check fails. Weights are random: speed and rounding do not depend on them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from feeding import folder
from torch.nn import functional

from mlproject import device as devices
from mlproject.features import Decoder, FeatureStore, PixelReader, StreamedImages, engines, forget
from mlproject.losses import Silent
from mlproject.models import find_model, find_weights, load_backbone
from mlproject.recipes.scratch.run import Classifier, measure, smoothed
from mlproject.recipes.whole_network import sized
from mlproject.training import Examples, Settings, Task, seeded, train

FP32, AMP, LOSS_FP32, LOSS_AMP, LEAST_RATIO = 1e-4, 3e-2, 1e-3, 5e-2, 0.9
N_CLASSES = 10
failures: list[str] = []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="small networks, few images")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here; --device cpu --quick runs the same checks on the CPU")
    os.environ["MLPROJECT_DEVICE"] = asked.device
    on_gpu, start = asked.device == "cuda", time.monotonic()
    stands_in = "the CPU stands in for a GPU: its speeds and AMP say nothing of one"
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name() if on_gpu else stands_in}")
    names = ["resblock_w8_d1"] if asked.quick else ["resnet50", "vit_b_16"]
    n_images = 192 if asked.quick else 4096
    with folder(n_images, *((64, 48) if asked.quick else (500, 375))) as images:
        for name in names:
            same_features(name, images, min(n_images, 64))
            extraction_speed(name, images, asked.device, 1 if asked.quick else 4)
        out_of_memory(names[0], images)
        same_losses(images, asked.device, asked.quick)
        training_speed(images, asked.device, asked.quick)
        exact_resume(images, asked.device, asked.quick)
    print(f"{len(failures)} checks failed; {time.monotonic() - start:.0f} s")
    return int(bool(failures))


def check(what: str, measured: float, limit: float, *, least: bool = False, counts: bool = True) -> None:
    """Print a measured value beside its limit; one that only counts on a GPU is printed as well."""
    holds = measured >= limit if least else measured <= limit
    verdict = ("ok" if holds else "FAILED") if counts else "not judged here"
    print(
        f"{what:74} {measured:10.3g}  ({'at least' if least else 'at most'} {limit:g})  {verdict}", flush=True
    )
    if counts and not holds:
        failures.append(what)


def features(name: str, images: Any, n: int, device: str, precision: str, **how: Any) -> np.ndarray:
    """Features by torch on a device, computed anew."""
    model = find_model(name)
    os.environ["MLPROJECT_DEVICE"], before = device, os.environ["MLPROJECT_DEVICE"]
    forget()
    try:
        with tempfile.TemporaryDirectory() as root:
            request = {"report": Silent(), "precision": precision, "engine": "eager"} | how
            return (
                FeatureStore(Path(root))
                .features(model, find_weights(model, "random:0"), images, np.arange(n), **request)
                .matrix
            )
    finally:
        os.environ["MLPROJECT_DEVICE"] = before


def same_features(name: str, images: Any, n: int) -> None:
    device = os.environ["MLPROJECT_DEVICE"]
    expected = features(name, images, n, "cpu", "fp32")
    for precision, limit in (("fp32", FP32), ("amp", AMP)):
        distance = engines.relative_distance(features(name, images, n, device, precision), expected)
        check(f"{name}: features in {precision} from the CPU's", distance, limit)


def extraction_speed(name: str, images: Any, device: str, n_repeats: int) -> None:
    """Extraction from files, shards written, against the same forwards on inputs that lie on the device."""
    model = find_model(name)
    weights = find_weights(model, "random:0")
    for precision in ("fp32", "amp"):
        features(name, images, 64, device, precision)
        with tempfile.TemporaryDirectory() as root:
            store, rows = FeatureStore(Path(root)), np.arange(len(images))
            how = {"report": Silent(), "precision": precision, "engine": "eager"}
            store.features(model, weights, images, rows[:64], **how)  # the network is loaded
            start = time.perf_counter()
            store.features(model, weights, images, rows, **how)
            ours = (len(images) - 64) / (time.perf_counter() - start)
        size = devices.find_batch_size(device)
        net = devices.move(engines.fold_batchnorm(load_backbone(model, weights)), device)
        inputs = devices.send(torch.randn(size, 3, model.side, model.side), device)
        n_batches = max(2, n_repeats * len(images) // size // 4)
        with devices.inference(device, precision):
            net(inputs)
            synchronize()
            start = time.perf_counter()
            for _ in range(n_batches):
                net(inputs)
            synchronize()
        bare = n_batches * size / (time.perf_counter() - start)
        print(f"{name} {precision}: {ours:,.0f} images/s from files, {bare:,.0f} in a bare loop")
        judged = device == "cuda" and precision == "fp32"
        check(
            f"{name}: extraction in {precision} against a bare loop",
            ours / bare,
            LEAST_RATIO,
            least=True,
            counts=judged,
        )


def out_of_memory(name: str, images: Any) -> None:
    """A device that refuses more than 16 images at a time."""
    device, plain = os.environ["MLPROJECT_DEVICE"], engines.eager_engine

    def narrow(*how: Any) -> Any:
        engine = plain(*how)

        def forward(batch: torch.Tensor) -> torch.Tensor:
            if len(batch) > 4:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")
            return engine.forward(batch)

        return replace(engine, forward=forward)

    expected = features(name, images, 64, device, "fp32")
    engines.eager_engine = narrow
    try:
        halved = features(name, images, 64, device, "fp32")
    finally:
        engines.eager_engine = plain
    check(f"{name}: features after memory ran out", engines.relative_distance(halved, expected), FP32)


def examples_of(images: Any, quick: bool) -> tuple[Any, Examples, Examples]:
    """A reader, and the images in memory and streamed, with made-up classes."""
    preprocess = sized(find_model("resnet50"), 32 if quick else 128)
    n = min(len(images), 128 if quick else 2048)
    reader = PixelReader(Decoder(images.read, preprocess), images.ids, (), os.environ["MLPROJECT_DEVICE"])
    parts = [list(range(i, min(i + 64, n))) for i in range(0, n, 64)]
    pixels = np.concatenate([part for (part,) in reader.batches(parts)])
    values = {"targets": torch.arange(n) % N_CLASSES, "mean": preprocess.mean, "std": preprocess.std}
    held = Examples(pixels=torch.from_numpy(pixels).permute(0, 3, 1, 2), **values)
    return reader, held, Examples(pixels=StreamedImages(reader=reader, places=np.arange(n)), **values)


def settings(quick: bool, **changes: Any) -> Settings:
    known = {"lr": 1e-3, "weight_decay": 0.01, "batch_size": 64, "epochs": 2, "warmup": 0.0}
    return Settings(optimizer="adamw", **known | changes)


def network(quick: bool) -> torch.nn.Module:
    model = find_model("resblock_w16_d1" if quick else "resnet50")
    with seeded(0, "init"):
        return Classifier(model.build(), model.width, N_CLASSES, (1.0,))


def trained(examples: Examples, device: str, quick: bool, *, path: Path | None = None, **changes: Any) -> Any:
    task = Task(objective=smoothed(0.0), measure=measure)
    how = {
        "seed": 0,
        "evaluated": {},
        "device": device,
        "report": Silent(),
        "checkpoint": path,
        "save_seconds": 0.0 if path else 30.0,
    }
    return train(network(quick), task, settings(quick, **changes), examples=examples, **how)


def same_losses(images: Any, device: str, quick: bool) -> None:
    """The loss of a first epoch: differences of rounding grow with every step."""
    reader, held, _ = examples_of(images, quick)
    with reader:
        few = replace(held, pixels=held.pixels[:128], targets=held.targets[:128])
        expected = trained(few, "cpu", quick, epochs=1).history[-1]["train.loss"]
        for precision, limit in (("fp32", LOSS_FP32), ("amp", LOSS_AMP)):
            loss = trained(few, device, quick, epochs=1, precision=precision).history[-1]["train.loss"]
            check(f"training loss in {precision} from the CPU's", abs(loss / expected - 1), limit)


def training_speed(images: Any, device: str, quick: bool) -> None:
    reader, held, streamed = examples_of(images, quick)
    with reader:
        for precision in ("fp32", "amp"):
            bare_seconds = [bare_training(held, device, quick, precision) for _ in range(2)][-1]
            for name, examples in {"in memory": held, "streamed": streamed}.items():
                seconds = [trained(examples, device, quick, precision=precision).seconds for _ in range(2)][
                    -1
                ]
                what = f"training in {precision}, images {name}, against a bare loop"
                check(what, bare_seconds / seconds, LEAST_RATIO, least=True, counts=device == "cuda")


def bare_training(examples: Examples, device: str, quick: bool, precision: str) -> float:
    net = devices.move(network(quick), device)
    inputs = devices.send((examples.pixels.float() / 255 - 0.5) / 0.25, device)
    targets = examples.targets.to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    scaler = devices.scaler(device, precision)
    net.train()
    synchronize()
    start = time.perf_counter()
    for _ in range(2):
        for rows in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad(set_to_none=True)
            with devices.mixed(device, precision):
                loss = functional.cross_entropy(net(inputs[rows]), targets[rows])
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    synchronize()
    return time.perf_counter() - start


def exact_resume(images: Any, device: str, quick: bool) -> None:
    """Bits of a repeated training, and of one that stopped between two steps of its second epoch."""

    class Stops(Silent):
        def advance(self, count: int) -> None:
            if count:
                raise KeyboardInterrupt

    reader, held, streamed = examples_of(images, quick)
    with reader, tempfile.TemporaryDirectory() as root:
        first, again = (trained(held, device, quick, deterministic=True).final for _ in range(2))
        check("repeated deterministic training: largest difference of a weight", difference(first, again), 0)
        path = Path(root) / "training.safetensors"
        task = Task(objective=smoothed(0.0), measure=measure)
        how = {"seed": 0, "evaluated": {}, "device": device, "checkpoint": path, "save_seconds": 0.0}
        with contextlib.suppress(KeyboardInterrupt):
            knobs = settings(quick, deterministic=True)
            train(network(quick), task, knobs, examples=streamed, report=Stops(), **how)
        resumed = trained(streamed, device, quick, path=path, deterministic=True).final
        check("stopped, resumed and streamed: largest difference of a weight", difference(first, resumed), 0)


def difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def synchronize() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
