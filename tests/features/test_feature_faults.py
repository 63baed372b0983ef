"""Killed, doubled, damaged, deleted: what is lost is one shard at most, and it is computed again."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save
from tiny import RANDOM, Loud, Pictures, tiny_model

from mlproject.features import (
    FeatureStore,
    forget,
    list_tables,
    prune,
    prune_unfinished,
    unfinished_folder,
)
from mlproject.features.table import FeatureTable, _digest

HERE = Path(__file__).parent
HEAD = f"""
import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1] / "src")!r}]
import os
from tiny import *
from mlproject.features import FeatureStore
from mlproject.features.table import FeatureTable
def ask(n):
    # Pixels go the way of features, shard by shard, and need no torch: a process that starts at once.
    images = Pictures(list(range(n)))
    FeatureStore().pixels(tiny_model(), images, np.arange(n), report=Loud())
    return len(images.reads)
"""
DIES = """
add = FeatureTable.add
def add_and_die(self, digests, matrix):
    add(self, digests, matrix)
    (self.folder / "half.safetensors.part").write_bytes(b"half")
    os._exit(9)
FeatureTable.add = add_and_die
ask(600)
"""


def ask(root, n):
    store = FeatureStore(root)
    images = Pictures(list(range(n)))
    features = store.features(tiny_model(), RANDOM, images, np.arange(n), engine="eager", report=Loud())
    return store, features


def start(code, root):
    environment = os.environ | {"MLPROJECT_CACHE": str(root)}
    return subprocess.Popen(
        [sys.executable, "-c", HEAD + code], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_process_leaves_its_finished_shards(tmp_path):
    with start(DIES, tmp_path) as process:
        assert process.wait() == 9
    images, everything = Pictures(list(range(600))), np.arange(600)
    resumed = FeatureStore(tmp_path).pixels(tiny_model(), images, everything, report=Loud())
    assert len(images.reads) == 600 - 256
    assert not list(tmp_path.glob("*/*.part"))
    unbroken = FeatureStore(tmp_path / "other").pixels(tiny_model(), images, everything, report=Loud())
    assert np.array_equal(resumed, unbroken)


def test_two_processes_share_the_work(tmp_path):
    both = [start("print(ask(300))", tmp_path) for _ in range(2)]
    counts = [int(process.communicate()[0]) for process in both]
    assert sorted(counts) == [0, 300]


def shard_of(root):
    return next(root.glob("*/*.safetensors"))


def test_a_damaged_shard_is_moved_aside_said_once_and_computed_again(tmp_path, caplog):
    _, first = ask(tmp_path, 10)
    shard = shard_of(tmp_path)
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    forget()
    store, again = ask(tmp_path, 10)
    assert store.n_forwards == 10
    assert caplog.text.count("is damaged") == 1
    assert len(list(tmp_path.glob("*/*.damaged"))) == 1
    assert np.array_equal(first.matrix, again.matrix)


@pytest.mark.parametrize("harm", ["flipped", "cut"])
def test_every_flipped_byte_and_every_length_is_told(tmp_path, harm, caplog):
    caplog.set_level("CRITICAL")
    key, rows = {"model": "t"}, np.arange(4, dtype=np.float32).reshape(2, 2)
    FeatureTable(tmp_path, key, 2).add(["a" * 8, "b" * 8], rows)
    shard = shard_of(tmp_path)
    good = shard.read_bytes()
    for i in range(len(good)):
        bad = good[:i] if harm == "cut" else good[:i] + bytes([good[i] ^ 0x10]) + good[i + 1 :]
        shard.write_bytes(bad)
        table = FeatureTable(tmp_path, key, 2)
        missing = table.missing(["a" * 8, "b" * 8])
        if not missing:
            # Harmless only if every value is still the right one.
            out = np.empty((2, 2), np.float32)
            table.read(["a" * 8, "b" * 8], out)
            assert np.array_equal(out, rows), i


def test_pipes_in_place_of_a_shard_and_of_its_description_are_not_waited_for(tmp_path, caplog):
    rows = np.arange(4, dtype=np.float32).reshape(2, 2)
    FeatureTable(tmp_path, {"model": "t"}, 2).add(["a", "b"], rows)
    for path in (shard_of(tmp_path), *tmp_path.glob("*/meta.json")):
        path.unlink()
        os.mkfifo(path)
    table = FeatureTable(tmp_path, {"model": "t"}, 2)
    assert table.missing(["a", "b"]) == ["a", "b"]
    assert "is no regular file" in caplog.text


@pytest.mark.parametrize("named", [True, False])
def test_a_shard_of_another_table_is_refused(tmp_path, caplog, monkeypatch, named):
    rows = np.arange(4, dtype=np.float32).reshape(2, 2)
    other, table = (FeatureTable(tmp_path, {"model": name}, 2) for name in ("other", "t"))
    if not named:  # as version 0.2 wrote them, which are still read
        monkeypatch.setattr("mlproject.features.table.save", lambda arrays, meta: save(arrays, legacy(meta)))
    other.add(["a", "b"], rows)
    table.folder.mkdir()
    shutil.copy(shard_of(tmp_path), table.folder)
    assert table.missing(["a", "b"]) == (["a", "b"] if named else [])
    assert (f"shard of another table, {other.folder.name}" in caplog.text) == named


def legacy(meta):
    names = json.loads(meta["digests"])
    digest = _digest(names, np.arange(4, dtype=np.float32).reshape(2, 2), "")
    return {"digests": meta["digests"], "sha256": digest}


def test_a_damaged_description_is_written_again(tmp_path):
    _, first = ask(tmp_path, 3)
    meta = next(tmp_path.glob("*/meta.json"))
    meta.write_text(meta.read_text().replace("232", "233"))
    store, again = ask(tmp_path, 3)
    assert (again.n_params, store.n_forwards) == (first.n_params, 0)


def test_a_cache_deleted_under_a_running_process_is_filled_again(tmp_path):
    store, first = ask(tmp_path, 4)
    shard_of(tmp_path).unlink()
    images = Pictures(list(range(4)))
    again = store.features(tiny_model(), RANDOM, images, np.arange(4), engine="eager", report=Loud())
    assert again.n_forwards == 4
    assert np.array_equal(first.matrix, again.matrix)


def test_the_cache_can_be_listed_and_pruned(tmp_path):
    ask(tmp_path, 5)
    (table,) = list_tables(tmp_path)
    assert (table.model, table.weights, table.engine, table.n_shards) == ("tiny", "random:0", "eager", 1)
    assert table.n_bytes > 5 * 8 * 4
    assert prune(tmp_path, unused_days=1.0) == []
    assert prune(tmp_path, model="other") == []
    assert prune(tmp_path) == [table]
    assert list_tables(tmp_path) == []


def test_only_trainings_untouched_for_a_week_are_abandoned(tmp_path, monkeypatch):
    monkeypatch.setenv("MLPROJECT_CACHE", str(tmp_path / "features"))
    assert prune_unfinished() == (0, 0)
    old, alive = unfinished_folder("old"), unfinished_folder("alive")
    long_ago = time.time() - 8 * 86_400
    for folder in (old, alive):
        folder.mkdir(parents=True)
        (folder / "training.safetensors").write_bytes(b"x" * 1000)
        for path in (folder / "training.safetensors", folder):
            os.utime(path, (long_ago, long_ago))
    (alive / "epochs").mkdir()
    assert prune_unfinished(untouched_days=9.0) == (0, 0)
    assert prune_unfinished() == (1, 1000)
    assert not old.exists()
    assert (alive / "training.safetensors").exists()
