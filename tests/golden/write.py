"""Write the golden files anew: ``python -m tests.golden.write``, for a change of numbers that is meant.

The changelog has to say which numbers changed, and why. ``scaling_points.json`` is data and stays.
"""

import os
import tempfile
from pathlib import Path

from tests.golden.kernels import choose_kernels

choose_kernels()  # before NumPy is imported

from tests.golden import plain  # noqa: E402

HERE = Path(__file__).parent


def write_scaling() -> None:
    """Every case of ``scaling_cases``."""
    from tests.golden.scaling_cases import cases

    plain.write(HERE / "scaling_numbers.json", {name: plain.plain(case()) for name, case in cases().items()})


def write_experiment() -> None:
    """The keys of the stored cells, and the fit of them."""
    from tests.golden import store_api as api
    from tests.golden.test_stored_experiment import KEPT, unpack

    with tempfile.TemporaryDirectory() as folder:
        unpack(Path(folder))
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        found = api.observations(api.stored())
        plans = {plan.stem: api.cells_of(plan) for plan in sorted((KEPT / "plans").glob("*.toml"))}
        done = api.cells_in(found)
        cells = {key: one for some in (*plans.values(), done) for key, one in some.items()}
        cells = dict(sorted(cells.items()))
        keys = {"plans": {name: list(some) for name, some in plans.items()}, "done": sorted(done)}
        plain.write(HERE / "v0_2_keys.json", keys | {"cells": cells})
        plain.write(HERE / "v0_2_fit.json", plain.plain(api.study_of(found)))


if __name__ == "__main__":
    for name in ("v0_2_keys.json", "v0_2_fit.json", "scaling_numbers.json"):
        if not (HERE / name).exists():
            plain.write(HERE / name, {})
    write_scaling()
    write_experiment()
