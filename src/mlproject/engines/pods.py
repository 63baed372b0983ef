"""Dask clusters of Kubernetes pods, made by Dask's operator from a resource that a table describes."""

from __future__ import annotations

import uuid
from typing import Any

from dask_kubernetes.operator import KubeCluster, make_cluster_spec

from mlproject.engines.jobs import ENVIRONMENT
from mlproject.engines.tables import PodTable, n_bytes

SCHEDULER = {"cpu": "1", "memory": "2Gi"}
"""What the scheduler's pod asks for: it holds the keys of tasks, not their results."""


def pod_cluster(table: PodTable) -> Any:
    """The cluster of a Kubernetes context; it has no workers yet. Close it to delete it."""
    name = f"mlproject-{uuid.uuid4().hex[:8]}"
    return KubeCluster(custom_cluster_spec=resource(table, name), namespace=table.namespace or None, quiet=True)


def resource(table: PodTable, name: str) -> dict[str, Any]:
    """The ``DaskCluster`` resource that the operator acts on."""
    memory = str(n_bytes(table.memory))
    limits = {"cpu": str(table.cores), "memory": memory}
    if table.gpus:
        limits["nvidia.com/gpu"] = str(table.gpus)
    spec: dict[str, Any] = make_cluster_spec(
        name,
        image=table.image,
        n_workers=table.min_jobs,
        resources={"requests": limits, "limits": limits},
        env=ENVIRONMENT | {"OMP_NUM_THREADS": str(table.cores)},
        worker_command=["dask", "worker", "--nthreads", "1", "--memory-limit", memory],
    )
    (scheduler,) = spec["spec"]["scheduler"]["spec"]["containers"]
    scheduler |= {"resources": {"requests": SCHEDULER}, "env": SETTINGS}
    pod = spec["spec"]["worker"]["spec"]
    (worker,) = pod["containers"]
    if table.secret:
        worker["envFrom"] = [{"secretRef": {"name": table.secret}}]
    worker["volumeMounts"] = [
        {"name": f"volume-{number}", "mountPath": folder} for number, folder in enumerate(table.volumes.values())
    ]
    pod["volumes"] = [
        {"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": claim}}
        for number, claim in enumerate(table.volumes)
    ]
    return spec


def pending_pods(cluster: Any) -> str:
    """Where to see what the pods of a cluster wait for."""
    return f"see: kubectl get pods --selector dask.org/cluster-name={cluster.name}"
