"""The law library's rows that this project fits to published points: `python benchmarks/vision_laws.py`.

Power laws with a floor to the errors of the power-law region (Hestness et al. 2017, figure 6), which begins
where an error has left chance: below ``REGION`` of it. Curves: those of Alabdulmohsin, Neyshabur, Zhai 2022
(`--curves`; bird and caltech), thinned to ``POINTS`` in equal steps of ln x, and the architectures of
``ecoset/``. Along parameters: families on all images of ecoset. Rows of other origin are kept.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scaling_public import read_ecoset

from mlproject.scaling import fit

Array = NDArray[np.float64]
REGION = 0.9
POINTS = 14
FITTED = "mlproject"
NORMAL = 1.96  # standard errors in half of a 95 % interval
CURVES = {"study": "Alabdulmohsin 2022", "source": "points of arXiv 2209.06640's benchmark (Apache-2.0)"}
ECOSET = {"study": "Gokce 2025", "source": "points of arXiv 2411.05712 (MIT), benchmarks/ecoset"}
FAMILIES = ("ResNet", "ConvNeXt", "ViT")


def rows_of_curves(path: Path) -> Iterator[dict[str, object]]:
    """A row for each vision curve of the benchmark's file."""
    groups: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with path.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["Domain"] == "IC":
                point = float(row["Seen Examples"]), float(row["Loss"])
                groups.setdefault((row["Task"], row["Model"]), []).append(point)
    for (task, model), points in groups.items():
        x, y = np.array(sorted(points)).T
        inside = y <= REGION
        x, y = x[inside], y[inside]
        steps = np.linspace(np.log(x[0]), np.log(x[-1]), POINTS) - 1e-9
        kept = np.unique(np.searchsorted(np.log(x), steps))
        name = {"dataset": f"JFT to {task}-shot".replace("_", " "), "model": model, "axis": "images"}
        yield {**CURVES, **name, **law(x[kept], y[kept], "power_floor")}


def rows_of_ecoset() -> Iterator[dict[str, object]]:
    """A row for each architecture along images, and for each family along parameters."""
    names, families, x, y = read_ecoset()
    for name in dict.fromkeys(names):
        here = np.array([other == name for other in names]) & (y <= REGION)
        if len(np.unique(x[here, 1])) > 3:
            row = {"dataset": "ecoset", "model": name, "axis": "images"}
            yield {**ECOSET, **row, **law(x[here, 1], y[here], "power_floor")}
    for family in FAMILIES:
        here = np.array([other == family for other in families]) & (x[:, 1] == x[:, 1].max())
        row = {"dataset": "ecoset", "model": family, "axis": "parameters"}
        yield {**ECOSET, **row, **law(x[here, 0], y[here], "power")}


def law(x: Array, y: Array, name: str) -> Mapping[str, object]:
    """The columns of a fitted law; chance is an error of 1."""
    alpha, floor = (fit(x, y, law=name).parameters.get(key) for key in ("alpha", "E"))
    assert alpha is not None
    return {
        "loss": "error",
        "law": name,
        "exponent": f"{alpha.value:.3g}",
        "error": f"{alpha.width / 2 / NORMAL:.2g}",
        "floor": "" if floor is None else f"{floor.value:.3f}",
        "least": f"{x.min():.4g}",
        "most": f"{x.max():.4g}",
        "fitted": FITTED,
    }


def main() -> None:
    """Replace the rows that this project fitted."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--curves", type=Path, required=True)
    path = Path(str(resources.files("mlproject.scaling.laws").joinpath("vision.csv")))
    with path.open(newline="") as lines:
        table = csv.DictReader(lines)
        names, kept = table.fieldnames or [], [row for row in table if row["fitted"] != FITTED]
    made = [*kept, *rows_of_curves(options.parse_args().curves), *rows_of_ecoset()]
    with path.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)


if __name__ == "__main__":
    main()
