"""Dask clusters of Kubernetes pods, made by Dask's operator from a resource that a table describes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from mlproject.engines.tables import PodTable, n_bytes
from mlproject.engines.workers import SCHEDULER, as_environment, worker_environment

SCHEDULER_REQUESTS = {"cpu": "1", "memory": "2Gi"}
"""What the scheduler's pod asks for: it holds the keys of tasks, and results of a few kilobytes each."""
PORTS = {"tcp-comm": 8786, "http-dashboard": 8787}
"""The ports of a scheduler under the names by which the operator looks for them."""


def pod_cluster(table: PodTable) -> Any:
    """The cluster of a Kubernetes context; it has no workers yet. Close it to delete it."""
    from dask_kubernetes.operator import KubeCluster

    spec = resource(table, f"mlproject-{uuid.uuid4().hex[:8]}")
    return KubeCluster(custom_cluster_spec=spec, namespace=table.namespace or None, quiet=True)


def resource(table: PodTable, name: str) -> dict[str, Any]:
    """The ``DaskCluster`` resource that the operator acts on."""
    selector = {"dask.org/cluster-name": name, "dask.org/component": "scheduler"}
    ports = [{"name": port, "protocol": "TCP", "port": n, "targetPort": port} for port, n in PORTS.items()]
    scheduler = {
        "spec": {"containers": [_scheduler(table.image)]},
        "service": {"type": "ClusterIP", "selector": selector, "ports": ports},
    }
    worker = {
        "replicas": table.min_jobs,
        "spec": {"containers": [_worker(table)], "volumes": _volumes(table)},
    }
    return {
        "apiVersion": "kubernetes.dask.org/v1",
        "kind": "DaskCluster",
        "metadata": {"name": name},
        "spec": {"worker": worker, "scheduler": scheduler},
    }


def pending_pods(cluster: Any) -> str:
    """Where to see what the pods of a cluster wait for."""
    return f"see: kubectl get pods --selector dask.org/cluster-name={cluster.name}"


def _scheduler(image: str) -> dict[str, Any]:
    probe = {"httpGet": {"port": "http-dashboard", "path": "/health"}, "periodSeconds": 5}
    return {
        "name": "scheduler",
        "image": image,
        "args": ["dask", "scheduler", "--no-dashboard"],
        "env": _variables(as_environment(SCHEDULER)),
        "resources": {"requests": SCHEDULER_REQUESTS},
        "ports": [{"name": port, "containerPort": n, "protocol": "TCP"} for port, n in PORTS.items()],
        "readinessProbe": probe,
    }


def _worker(table: PodTable) -> dict[str, Any]:
    memory = str(n_bytes(table.memory))
    limits = {"cpu": str(table.cores), "memory": memory}
    if table.gpus:
        limits["nvidia.com/gpu"] = str(table.gpus)
    # The operator gives each pod its name, and DASK_SCHEDULER_ADDRESS.
    words = ["--name", "$(DASK_WORKER_NAME)", "--nthreads", "1", "--memory-limit", memory, "--no-dashboard"]
    return {
        "name": "worker",
        "image": table.image,
        "args": ["dask", "worker", *words],
        "env": _variables(worker_environment(table.cores)),
        "envFrom": [{"secretRef": {"name": table.secret}}] if table.secret else [],
        "resources": {"requests": limits, "limits": limits},
        "volumeMounts": [
            {"name": f"volume-{number}", "mountPath": folder}
            for number, folder in enumerate(table.volumes.values())
        ],
    }


def _volumes(table: PodTable) -> list[dict[str, Any]]:
    return [
        {"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": claim}}
        for number, claim in enumerate(table.volumes)
    ]


def _variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
