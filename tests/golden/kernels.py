"""The kernels of linear algebra that this machine computes with: they decide the last bits of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_info


def kernels() -> dict[str, Any]:
    """What rounds the last bits: the kernels of the linear algebra, and the width of NumPy's functions."""
    extensions: Any = np.show_config(mode="dicts")
    found = extensions["SIMD Extensions"].get("found", [])
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = {str(library["architecture"]) for library in libraries}
    return {"blas": sorted(names), "wide": "X86_V4" in found or "AVX512_SKX" in found}
