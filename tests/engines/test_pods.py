from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlproject.engines.pods import resource
from mlproject.engines.tables import PodTable, read_table
from tests.engines.test_tables import PODS, write

EXTRA = 'gpus = 1\nsecret = "store"\n[volumes]\nimages = "/data"\n'
DEFINITION = "deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"


def described(folder: Path, text: str) -> dict[str, Any]:
    return resource(read_table(PodTable, write(folder, text)), "study")


def test_the_resource_is_one_that_the_operator_accepts(tmp_path: Path) -> None:
    validation = pytest.importorskip("jsonschema", reason="needs jsonschema and the extra kubernetes")
    package = pytest.importorskip("dask_kubernetes", reason="needs the extra kubernetes").__file__
    definition = yaml.safe_load((Path(package).parent / "operator" / DEFINITION).read_text("utf-8"))
    (version,) = definition["spec"]["versions"]
    for text in (PODS, PODS + EXTRA):
        validation.validate(described(tmp_path, text), version["schema"]["openAPIV3Schema"])


def test_pods_ask_for_what_the_table_says(tmp_path: Path) -> None:
    spec = described(tmp_path, PODS + EXTRA)["spec"]
    pod = spec["worker"]["spec"]
    (worker,), (scheduler,) = pod["containers"], spec["scheduler"]["spec"]["containers"]
    assert worker["image"] == "registry.example/mlproject:0.3"
    assert worker["resources"]["limits"] == {"cpu": "4", "memory": str(16 * 2**30), "nvidia.com/gpu": "1"}
    assert "nvidia.com/gpu" not in scheduler["resources"]["requests"]
    assert {"name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "value": "3"} in scheduler["env"]
    assert worker["args"][:4] == ["dask", "worker", "--name", "$(DASK_WORKER_NAME)"]
    assert {"name": "OMP_NUM_THREADS", "value": "4"} in worker["env"]
    assert worker["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert worker["volumeMounts"] == [{"name": "volume-0", "mountPath": "/data"}]
    assert pod["volumes"] == [{"name": "volume-0", "persistentVolumeClaim": {"claimName": "images"}}]


def test_pods_without_gpu_and_secret_ask_for_none(tmp_path: Path) -> None:
    (worker,) = described(tmp_path, PODS)["spec"]["worker"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in worker["resources"]["limits"]
    assert worker["envFrom"] == worker["volumeMounts"] == []
