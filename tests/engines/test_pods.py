from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from mlproject.engines.pods import resource
from mlproject.engines.tables import PodTable, read_table
from tests.engines.test_tables import PODS, write

DEFINITION = "deployment/helm/dask-kubernetes-operator/crds/daskcluster.yaml"


def described(folder: Path, text: str) -> dict[str, Any]:
    """The resource of a table, checked by the definition that the operator installs."""
    spec = resource(read_table(PodTable, write(folder, text)), "study")
    definition = yaml.safe_load(files("dask_kubernetes.operator").joinpath(DEFINITION).read_text("utf-8"))
    (version,) = definition["spec"]["versions"]
    jsonschema.validate(spec, version["schema"]["openAPIV3Schema"])
    return spec


def test_the_resource_is_one_that_the_operator_accepts_and_asks_for_what_the_table_says(tmp_path: Path) -> None:
    extra = 'gpus = 1\nsecret = "store"\n[volumes]\nimages = "/data"\n'
    spec = described(tmp_path, PODS + extra)["spec"]
    pod = spec["worker"]["spec"]
    (worker,), (scheduler,) = pod["containers"], spec["scheduler"]["spec"]["containers"]
    assert worker["image"] == "registry.example/mlproject:0.3"
    assert worker["resources"]["limits"] == {"cpu": "4", "memory": str(16 * 2**30), "nvidia.com/gpu": "1"}
    assert "nvidia.com/gpu" not in scheduler["resources"]["requests"]
    assert worker["args"][:4] == ["dask", "worker", "--nthreads", "1"]
    assert {"name": "OMP_NUM_THREADS", "value": "4"} in worker["env"]
    assert worker["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert worker["volumeMounts"] == [{"name": "volume-0", "mountPath": "/data"}]
    assert pod["volumes"] == [{"name": "volume-0", "persistentVolumeClaim": {"claimName": "images"}}]


def test_a_resource_without_gpu_secret_and_volumes_is_accepted_too(tmp_path: Path) -> None:
    (worker,) = described(tmp_path, PODS)["spec"]["worker"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in worker["resources"]["limits"]
    assert "envFrom" not in worker
