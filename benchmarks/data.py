"""Start of a data set of 100,000 small JPEGs: first, second, with 100 more files, renamed, read in full.

    PYTHONPATH=src python benchmarks/data.py [number of files]

Every start is a process of its own, with a manifest in a cache folder of the benchmark. Seconds and CPU
seconds (of all its processes) of the call, digest and a draw of 1,000 included; peak memory of
the process that calls; seconds of that process from its start to its end.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

N_FILES, N_CLASSES, N_MORE = 100_000, 100, 100
START = """
import resource, sys, time
from mlproject.data import load_images
if __name__ == "__main__":
    start = time.perf_counter()
    images = load_images(sys.argv[1], verify=sys.argv[2])
    images.digest
    images.draw(min(1000, len(images) // 2), seed=0, how="balanced")
    seconds = time.perf_counter() - start
    whose = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    cpu = sum(resource.getrusage(each).ru_utime + resource.getrusage(each).ru_stime for each in whose)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(len(images), f"{seconds:8.2f}{cpu:10.2f}{peak:10.0f}")
"""


def write_files(folder: Path, first: int, n: int) -> None:
    """Small JPEGs that differ in a comment, in class folders; half a second for a thousand."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((64, 48), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
    content = file.getvalue()
    for label in range(N_CLASSES):
        (folder / f"n{label:08d}").mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        comment = b"\xff\xfe\x00\x0a" + f"{i:08d}".encode()
        path = folder / f"n{i % N_CLASSES:08d}" / f"{i:08d}.JPEG"
        path.write_bytes(content[:2] + comment + content[2:])


def start(what: str, folder: Path, verify: str = "changed") -> None:
    """One start, as a row."""
    began = time.perf_counter()
    command = [sys.executable, "-c", START, str(folder), verify]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    n, *figures = answer.split()
    whole = time.perf_counter() - began
    print(f"{what:24}{n:>9}{''.join(f'{each:>10}' for each in figures)}{whole:10.2f}", flush=True)


def main(n_files: int) -> None:
    """All starts on one set of files."""
    with tempfile.TemporaryDirectory(prefix="mlproject-") as place:
        os.environ["MLPROJECT_CACHE"] = str(Path(place, "cache"))
        folder = Path(place, "images")
        write_files(folder, 0, n_files)
        time.sleep(2.5)  # files that changed just now are not taken from the manifest
        print(f"{'start':24}{'images':>9}{'seconds':>10}{'CPU s':>10}{'peak MB':>10}{'process':>10}")
        start("first", folder)
        start("second", folder)
        write_files(folder, n_files, N_MORE)
        time.sleep(2.5)
        start(f"{N_MORE} files more", folder)
        start("the next", folder)
        start("renamed", folder.rename(folder.with_name("renamed")))
        start("verify=full", folder.with_name("renamed"), "full")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else N_FILES)
