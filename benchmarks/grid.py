"""The seed's grid (3 ResNets x 100/200/300 images, 5 epochs), cold and warm, against the method as written.

    python benchmarks/grid.py [--images 300] [--as-written 32]

Units: CPU seconds at one thread. F is the CPU time of one onnxruntime forward pass over the unique
images of each model, taken in the same run; costs are ratios to it. The method as written (DataLoader,
train mode, 6 backbone passes per image and cell) is run on a few images and extrapolated, and says so.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before any library starts its threads
os.environ["MLPROJECT_ENGINE"] = "serial"  # what is measured is the time of one process

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

MODELS = ("resnet18", "resnet50", "resnet101")
EPOCHS = 5
SIDE = (500, 375)


def make_images(folder: Path, count: int) -> None:
    """JPEGs of 500 x 375 with structure at several scales, about 40 kB each."""
    folder.mkdir()
    draw = np.random.default_rng(0)
    for i in range(1, count + 1):
        layers = [draw.integers(0, 256, (s, s, 3), np.uint8) for s in (4, 16, 64, 256)]
        scaled = [np.asarray(Image.fromarray(layer).resize(SIDE), float) for layer in layers]
        mixed = sum(w * layer for w, layer in zip((0.5, 0.25, 0.15, 0.1), scaled, strict=True))
        Image.fromarray(mixed.astype(np.uint8)).save(folder / f"{i}.jpg", quality=90)


def forwards(data: Path) -> dict[str, float]:
    """F: CPU seconds of one onnxruntime pass over all images, per model, inputs ready, session built."""
    import torch

    from mlproject.data import load_images
    from mlproject.features import onnx_engine
    from mlproject.models import find_model, find_weights, load_backbone, normalise, prepare

    images = load_images(str(data))
    found = {}
    for name in MODELS:
        model = find_model(name)
        pixels = [prepare(model.preprocess, images.read(i)) for i in range(len(images))]
        batches = [normalise(model.preprocess, np.stack(pixels[i : i + 8])) for i in range(0, len(pixels), 8)]
        engine = onnx_engine(load_backbone(model, find_weights(model, "random")), batches[0])
        inputs = [torch.from_numpy(batch) for batch in batches]
        engine.forward(inputs[0])
        start = time.process_time()
        for batch in inputs:
            engine.forward(batch)
        found[name] = time.process_time() - start
    return found


def as_written(data: Path, name: str, count: int) -> float:
    """CPU seconds per image of a cell: 5 epochs through the whole network, then losses one by one."""
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms
    from torchvision.models import get_model

    steps = [transforms.Resize((224, 224)), transforms.ToTensor()]
    steps.append(transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    transform = transforms.Compose(steps)
    paths = sorted(data.iterdir(), key=lambda p: int(p.stem))[:count]

    class Folder(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> torch.Tensor:
            return transform(Image.open(paths[index]).convert("RGB"))

    start = time.process_time()
    net = get_model(name, weights=None)
    for parameter in net.parameters():
        parameter.requires_grad = False
    net.fc = torch.nn.Linear(net.fc.in_features, net.fc.in_features)
    kept: list[torch.Tensor] = []
    net.fc.register_forward_hook(lambda _, inputs, __: kept.append(inputs[0]))
    optimizer = torch.optim.Adam(net.fc.parameters(), lr=1e-3)
    criterion = torch.nn.MSELoss()
    for _ in range(EPOCHS):
        for batch in DataLoader(Folder(), batch_size=32):
            optimizer.zero_grad()
            loss = criterion(net(batch), kept.pop())
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        for i in range(count):
            float(criterion(net(Folder()[i][None]), kept.pop()))
    return (time.process_time() - start) / count


def timed(command: list[str], folder: Path, cache: Path) -> tuple[float, float]:
    """CPU and wall seconds of a whole process, store and cache where it is told."""
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLPROJECT_CACHE": str(cache),
    }
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(  # noqa: PLW1510 - the status is looked at below
        [sys.executable, "-m", "mlproject", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def words(data: Path, models: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """The command line of the grid: every cell of the product in one process, without a fit."""
    named = {"model": ",".join(models), "dataset-size": ",".join(map(str, sizes)), "data": str(data)}
    named |= {"weights": "random", "eval-size": "in-sample", "target": "features", "epochs": str(EPOCHS)}
    return ["cell", *(f"--{name}={value}" for name, value in named.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--as-written", type=int, default=32, help="images the written method is timed on")
    options = parser.parse_args()
    sizes = [options.images * i // 3 for i in (1, 2, 3)]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data, cache = root / "images", root / "cache"
        make_images(data, options.images)
        per_model = forwards(data)
        f = sum(per_model.values())
        print("F, CPU s: " + ", ".join(f"{m} {s:.1f}" for m, s in per_model.items()) + f"; sum {f:.1f}")
        costs = {}
        grid = words(data, MODELS, sizes)
        for label, command in (
            ("cold grid", grid),
            ("warm grid", grid),
            ("warm, one cell", words(data, MODELS[:1], sizes[:1])),
        ):
            folder = root / label.replace(" ", "-").replace(",", "")
            folder.mkdir()
            costs[label] = timed(command, folder, cache)
            print(f"{label}: {costs[label][0]:.1f} CPU s, {costs[label][1]:.1f} s wall", flush=True)
        again = timed(grid, root / "warm-grid", cache)
        print(f"all cells done: {again[0]:.1f} CPU s, {again[1]:.1f} s wall (bar: 10 s wall)")
        cold, warm, one = (costs[k][0] for k in costs)
        fit = timed(["aggregate"], root / "warm-grid", cache)
        print(f"fit of the grid, start-up included: {fit[0]:.1f} CPU s")
        print(f"cold grid: {cold / f:.2f} F, start-up included (bar: 1.4 F)")
        print(f"warm grid: {(warm - one) / 8:.2f} CPU s for each further cell (bar: 0.4)")
        for label, command, bar in (("--help", ["--help"], 0.5), ("--dry-run", [*grid, "--dry-run"], 2.0)):
            cpu, wall = min(timed(command, root / "warm-grid", cache) for _ in range(3))
            print(f"{label}: {cpu:.2f} CPU s, {wall:.2f} s wall (bar: {bar} s)")
        per_image = {m: as_written(data, m, options.as_written) for m in MODELS}
        written = sum(per_image.values()) * sum(sizes)
        print(
            f"as written: {', '.join(f'{m} {s:.2f}' for m, s in per_image.items())} CPU s an image and cell,"
            f" from {options.as_written} images; {written:.0f} CPU s for the grid, EXTRAPOLATED to"
            f" {sum(sizes)} images"
        )
        print(
            f"as written / cold grid: {written / cold:.1f} times (bar: 15); as written: {written / f:.1f} F"
        )


if __name__ == "__main__":
    main()
