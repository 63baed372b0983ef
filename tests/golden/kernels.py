"""The kernels of linear algebra that tests compute with: they decide the last bits of a fit.

Golden numbers were written with those that every x86-64 processor since 2013 has. Wider ones round the last
bits in another way, and a search or a sample that stops at a threshold then ends elsewhere.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

WIDER = {"X86_V4": "avx512vl", "AVX512_ICL": "avx512_vbmi2", "AVX512_SPR": "avx512_fp16"}
"""NumPy's groups of wider kernels, and the flag by which Linux says that the processor has each."""


def choose_kernels() -> None:
    """Leave the wider kernels out, in this process and in those that it starts; before NumPy is imported."""
    if platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists():
        return
    flags = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    os.environ["OPENBLAS_CORETYPE"] = "Haswell"
    os.environ["NPY_DISABLE_CPU_FEATURES"] = " ".join(n for n, flag in WIDER.items() if flag in flags)


def kernels() -> dict[str, Any]:
    """What rounds the last bits: the kernels of the linear algebra, and the width of NumPy's functions."""
    import numpy as np
    from threadpoolctl import threadpool_info

    extensions: Any = np.show_config(mode="dicts")
    found = extensions["SIMD Extensions"].get("found", [])
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = {str(library["architecture"]) for library in libraries}
    return {"blas": sorted(names), "wide": "X86_V4" in found or "AVX512_SKX" in found}
