"""What tuning costs: the seed's grid with 50 trials a cell, trials a second, how near the optimum is.

    python benchmarks/tuning.py --part grid|trials|optimum|all

CPU seconds of one thread, ratios within one run. Images are made here; networks have random weights.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import grid

PLAN = "sweeps/head.toml"


def seed_grid(images: int, trials: int, written: int) -> None:
    """Cold sweeps of the seed's grid against F, one forward pass over the unique images of each model."""
    sizes = [images * i // 3 for i in (1, 2, 3)]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        data = root / "images"
        grid.make_images(data, images)
        per_model = grid.forwards(data)
        f = sum(per_model.values())
        print("F, CPU s: " + ", ".join(f"{m} {s:.1f}" for m, s in per_model.items()) + f"; sum {f:.1f}")
        adam = ["--tune", "lr=1e-5..1e-1,epochs=1..5", "--epochs", "5"]
        closed = [*adam, "--optimizer", "sgd", "--batch-size", str(images)]
        for label, knobs, bar in (("Adam", adam, 4.0), ("full-batch descent, closed form", closed, 1.5)):
            cpu = sweep(root / label.partition(",")[0], data, grid.MODELS, sizes, trials, knobs)
            print(f"cold grid, {trials} trials a cell, {label}: {cpu:.1f} CPU s, {cpu / f:.2f} F (bar {bar})")
        cpu = sweep(
            root / "classes", in_classes(data), grid.MODELS, sizes, trials, [*adam, "--target", "labels"]
        )
        print(f"the same with Adam on ten classes: {cpu:.1f} CPU s, {cpu / f:.2f} F (bar 1.5)")
        cpu = sweep(root / "one", data, grid.MODELS[:1], sizes, trials, adam)
        per_image = grid.as_written(data, "resnet18", written)
        naive = per_image * sum(sizes) * trials
        print(
            f"ResNet18, {3 * trials} Adam trials: {cpu:.1f} CPU s; method as written {naive:.0f} CPU s,"
            f" EXTRAPOLATED from {written} images: {naive / cpu:.0f} times (bar 500)"
        )


def in_classes(data: Path) -> Path:
    """The same images in ten folders, the classes."""
    found = data.with_name("in-classes")
    for i, path in enumerate(sorted(data.iterdir())):
        folder = found / str(i % 10)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).hardlink_to(path)
    return found


def sweep(
    folder: Path, data: Path, models: tuple[str, ...], sizes: list[int], trials: int, knobs: list[str]
) -> float:
    """CPU seconds of a cold sweep, start-up and fit included."""
    folder.mkdir()
    plan = folder / "plan.toml"
    plan.write_text(
        f'[[grid]]\nmodel = {list(models)}\nweights = "random"\ndata = "{data}"\neval_size = "in-sample"\n'
        f'dataset_size = {sizes}\nknobs = {{ target = "features" }}\n[tune]\ntrials = {trials}\n'
    )
    return grid.timed(["sweep", "--plan", str(plan), *knobs], folder, folder / "cache")[0]


def coordinate_of(model: str, size: int, trials: int):  # type: ignore[no-untyped-def]
    from mlproject.plans import read_plan
    from mlproject.tuning import coordinates

    words = {"model": model, "dataset_size": str(size), "seed": "0", "trials": str(trials)}
    plan = read_plan(Path(PLAN), words | {"weights": "random" if model == "resnet18" else "imagenet"})
    assert plan.tune is not None
    return coordinates(plan.cells, plan.tune)[0], plan.images_of(plan.cells[0])


class Quiet:
    """A watcher that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def search(tuner: Any, coordinate: Any, images: Any) -> Any:
    """The result of a whole search, its blocks one after another."""
    from mlproject.losses import Silent
    from mlproject.tuning import DescentCache, evaluate_block

    cache = DescentCache()
    while claim := tuner.claim(coordinate):
        tuner.finish(claim, evaluate_block(claim.block, images, Silent(), claim.prune, cache))
    checks = tuner.checks(coordinate)
    return tuner.result(coordinate, evaluate_block(checks, images, Silent(), None, cache))


def study_speed(trials: int, plain: int, n_models: int) -> None:
    """Coordinates of the embedded study, features cached: trials a second, ours and one by one."""
    from mlproject.tuning.search.storage import open_storage
    from mlproject.tuning.tuner import Tuner

    found = [
        coordinate_of(f"efficientnet_lite{i}", size, trials)
        for i in range(n_models)
        for size in (100, 330, 1100)
    ]
    for coordinate, images in found:  # features are computed before the clock starts
        one_by_one(coordinate, images, 0, None)
    with tempfile.TemporaryDirectory() as name:
        with open_storage("", Path(name) / "optuna.log") as storage:
            tuner = Tuner(storage=storage, watcher=Quiet())
            cpu, wall = time.process_time(), time.monotonic()
            for coordinate, images in found:
                search(tuner, coordinate, images)
            cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        n = trials * len(found)
        print(
            f"{trials} trials x {len(found)} coordinates: {n / wall:.1f} trials/s,"
            f" {1000 * cpu / n:.1f} CPU ms a trial",
            flush=True,
        )
        for label, full in (("to the largest number of steps, as ours", True), ("steps sampled", False)):
            times = [
                one_by_one(*pair, plain, Path(name) / f"{label}{i}.log", full) for i, pair in enumerate(found)
            ]
            each = sum(times) / (plain * len(found))
            print(
                f"one by one through study.optimize, {label}: {1000 * each:.0f} CPU ms a trial, from {plain}"
                f" trials a coordinate: {each / (cpu / n):.1f} times ours (bar 5)",
                flush=True,
            )


def one_by_one(  # type: ignore[no-untyped-def]
    coordinate, images, trials: int, path: Path | None, full: bool = True
) -> float:
    """CPU seconds of trials as people write them: a DataLoader, nn.Linear, Adam, study.optimize.

    With ``full`` each trains to the largest number of steps, which is what one of our trials does.
    """
    import optuna
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from mlproject.losses import Silent
    from mlproject.recipes import build_recipe, probe_examples

    cell = coordinate.trial
    examples = probe_examples(build_recipe("probe", cell.knobs), cell, images, Silent())
    n, held = examples.n_train, cell.validation_size
    targets = examples.targets.argmax(1)
    train = TensorDataset(examples.inputs[:n], targets[:n])

    def objective(trial: optuna.Trial) -> float:
        values = {}
        for name, dimension in coordinate.tune.space.items():
            suggest = trial.suggest_int if dimension.whole else trial.suggest_float
            values[name] = suggest(name, *dimension.ends, log=dimension.log)
        values["steps"] = coordinate.lengths[-1] if full else values["steps"]
        head = torch.nn.Linear(examples.inputs.shape[1], 10)
        adam = torch.optim.Adam(head.parameters(), lr=values["lr"], weight_decay=values["weight_decay"])
        criterion, step = torch.nn.CrossEntropyLoss(), 0
        while step < values["steps"]:
            for inputs, labels in DataLoader(train, batch_size=cell.knobs["batch_size"], shuffle=True):
                adam.zero_grad()
                criterion(head(inputs), labels).backward()
                adam.step()
                step += 1
                if step == values["steps"]:
                    break
        with torch.no_grad():
            return float(criterion(head(examples.inputs[n : n + held]), targets[n : n + held]))

    if not trials:
        return 0.0
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    study = optuna.create_study(storage=journal, sampler=optuna.samplers.TPESampler(seed=0))
    start = time.process_time()
    study.optimize(objective, n_trials=trials)
    return time.process_time() - start


def optimum(trials: int, points: int) -> None:
    """Validation loss of the search against the best of a grid over the same space, every length included."""
    from mlproject.losses import Silent
    from mlproject.tuning.search.storage import open_storage
    from mlproject.tuning.trials import validation_curves
    from mlproject.tuning.tuner import Tuner

    for model, size in (("efficientnet_lite0", 100), ("efficientnet_lite1", 330), ("resnet18", 1100)):
        coordinate, images = coordinate_of(model, size, trials)
        with tempfile.TemporaryDirectory() as name, open_storage("", Path(name) / "optuna.log") as storage:
            found = search(Tuner(storage=storage, watcher=Quiet()), coordinate, images)
        lr, decay = (coordinate.tune.space[name] for name in ("lr", "weight_decay"))
        side = max(2, round((points / len(coordinate.lengths) / 2) ** 0.5))
        rates = [lr.low * (lr.high / lr.low) ** (i / (2 * side - 1)) for i in range(2 * side)]
        decays = [decay.low * (decay.high / decay.low) ** (i / (side - 1)) for i in range(side)]
        longest = {"steps": coordinate.lengths[-1]}
        knobs = [{"lr": r, "weight_decay": d, **longest} for r in rates for d in decays]
        cells = [coordinate.placed(coordinate.trial, some) for some in knobs]
        curves = validation_curves(cells, images, coordinate.lengths, Silent(), lambda *_: False)
        best = min(min(curve.losses) for curve in curves if curve.losses)
        n = sum(len(curve.losses) for curve in curves)
        assert found is not None
        print(
            f"{coordinate.label}: {trials} trials {found.best.loss:.5f}, best of a grid of {n:,} points"
            f" ({len(cells)} trainings) {best:.5f}: {100 * (found.best.loss / best - 1):+.2f} % (bar +1 %)",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["grid", "trials", "optimum", "all"], default="all")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--trials", type=int, default=50, help="trials of each cell of the seed's grid")
    parser.add_argument("--as-written", type=int, default=16, help="images the written method is timed on")
    parser.add_argument("--plain", type=int, default=5, help="one-by-one trials of each coordinate")
    parser.add_argument("--models", type=int, default=3, help="backbones of the embedded study, 3 sizes each")
    options = parser.parse_args()
    if options.part in ("trials", "all"):
        study_speed(100, options.plain, options.models)
    if options.part in ("optimum", "all"):
        optimum(100, 1000)
    if options.part in ("grid", "all"):
        seed_grid(options.images, options.trials, options.as_written)


if __name__ == "__main__":
    main()
