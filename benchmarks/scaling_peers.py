"""Peer packages of the scaling benchmark, used where they can be imported, never a dependency of the project.

``chinchilla`` 0.2.0 and ``simple-scaling-laws`` 0.2.0, as their own examples call them. A peer that cannot be
imported is skipped with one line. Each predictor takes scales x [m, axes], losses y [m], scales to predict
at [n, axes], and gives the mean and, where it has them, 95 % limits [n].
"""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Told = tuple[Array, Array | None, Array | None]
Peer = Callable[[Array, Array, Array], Told]
NAMES = ("model_size__n_params", "dataset_size__n_images")
NEEDS = {"simple_scaling_laws": ("polars",)}
SLICES = 3  # 3^5 starts; its examples use 5, and take thirteen times as long


def chinchilla_package(x: Array, y: Array, at: Array) -> Told:
    """E + A N^-alpha + B D^-beta by BFGS from a grid of starts that covers the published parameters."""
    from chinchilla import Chinchilla

    grid = {
        "e": np.linspace(-1.0, 1.0, SLICES),
        "a": np.linspace(1.0, 10.0, SLICES),
        "b": np.linspace(1.0, 10.0, SLICES),
        "alpha": np.linspace(0.1, 0.7, SLICES),
        "beta": np.linspace(0.1, 0.7, SLICES),
    }
    grid["E"] = np.exp(grid.pop("e"))
    order = {name: grid[name] for name in ("E", "a", "b", "alpha", "beta")}
    ranges = {"C": (1e18, 1e19), "N_to_D": (10, 100)}
    with tempfile.TemporaryDirectory() as folder:
        model = Chinchilla(folder, param_grid=order, seed_ranges=ranges, log_level=logging.ERROR)
        for (n, d), loss in zip(x, y, strict=True):
            model.database.append(N=float(n), D=float(d), loss=float(loss))
        model.fit(parallel=False)
        return np.array([float(model.predict_loss(N=n, D=d)) for n, d in at]), None, None


def simple_scaling_laws(x: Array, y: Array, at: Array, law: str = "separable-power") -> Told:
    """One of its laws with its cluster bootstrap, each row a run of its own."""
    import polars
    from simple_scaling_laws import fit

    names = NAMES[-x.shape[1] :]
    ids = {"training_run_id": [f"run{i}" for i in range(len(y))], "train_set_id": ["train"] * len(y)}
    table = ids | {"test_set_id": ["test"] * len(y)} | dict(zip(names, x.T.tolist(), strict=True))
    model = fit(polars.DataFrame(table | {"test_loss__loss": y.tolist()}), law=law, seed=0)
    with warnings.catch_warnings():  # it says of every prediction beyond the data that it is one
        warnings.simplefilter("ignore", UserWarning)
        told = model.predict(dict(zip(names, at.T.tolist(), strict=True)))
    columns = [name for name in told.columns if "loss" in name]
    low, mean, high = (told[name].to_numpy() for name in columns[-3:])
    return mean, low, high


def _law(name: str) -> Peer:
    return lambda x, y, at: simple_scaling_laws(x, y, at, law=name)


def peers(axes: int) -> dict[str, Peer]:
    """The peers that can be imported, by name, for laws of one or two axes; says which cannot, and why."""
    found: dict[str, Peer] = {}
    for package, own in (
        ("chinchilla", {2: {"chinchilla": chinchilla_package}}),
        ("simple_scaling_laws", SIMPLE),
    ):
        try:
            for module in (package, *NEEDS.get(package, ())):
                importlib.import_module(module)
        except Exception as error:  # of a package that is installed by half anything may be raised
            reason = str(error).partition("\n")[0]
            print(f"{package.replace('_', '-')} is skipped: {type(error).__name__}: {reason}")
            continue
        found |= own.get(axes, {})
    return found


SIMPLE: dict[int, dict[str, Peer]] = {
    1: {f"simple-scaling-laws, {law}": _law(law) for law in ("separable-power", "shifted-separable-power")},
    2: {f"simple-scaling-laws, {law}": _law(law) for law in ("separable-power", "multiplicative-power")},
}
