"""Kubernetes manifests held against schemas: KubeRay's own fields here, Kubernetes' in `kubernetes-validate`."""

from typing import Any

import yaml
from cluster_pages import FOLDER

_TEXT, _NUMBER, _WHOLE, _BOOL = ({"type": kind} for kind in ("string", "number", "integer", "boolean"))
_TEXTS = {"type": "object", "additionalProperties": _TEXT}
_POD = {"type": "object", "required": ["spec"]}
"""Checked by `kubernetes-validate` in `make cluster-test`."""


def _object(required: tuple[str, ...] = (), **fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


_GROUP: dict[str, Any] = {"rayStartParams": _TEXTS, "resources": _TEXTS, "labels": _TEXTS, "template": _POD}
_CLUSTER = _object(
    ("headGroupSpec",),
    authOptions=_object(mode={"enum": ["disabled", "token"]}, secretName=_TEXT, enableK8sTokenAuth=_BOOL),
    suspend=_BOOL,
    managedBy=_TEXT,
    autoscalerOptions={"type": "object"},
    headServiceAnnotations=_TEXTS,
    enableInTreeAutoscaling=_BOOL,
    gcsFaultToleranceOptions={"type": "object"},
    rayVersion=_TEXT,
    headGroupSpec=_object(
        ("template",),
        **_GROUP,
        serviceType=_TEXT,
        headService={"type": "object"},
        enableIngress=_BOOL,
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            ("groupName", "maxReplicas", "minReplicas", "template"),
            **_GROUP,
            groupName=_TEXT,
            replicas=_WHOLE,
            minReplicas=_WHOLE,
            maxReplicas=_WHOLE,
            numOfHosts=_WHOLE,
            idleTimeoutSeconds=_WHOLE,
            suspend=_BOOL,
            scaleStrategy={"type": "object"},
        ),
    },
)
_JOB = _object(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata={"type": "object", "required": ["name"]},
    spec=_object(
        activeDeadlineSeconds=_WHOLE,
        backoffLimit=_WHOLE,
        preRunningDeadlineSeconds=_WHOLE,
        rayClusterSpec=_CLUSTER,
        submitterPodTemplate=_POD,
        metadata=_TEXTS,
        clusterSelector=_TEXTS,
        submitterConfig=_object(backoffLimit=_WHOLE),
        managedBy=_TEXT,
        deletionStrategy={"type": "object"},
        entrypoint=_TEXT,
        runtimeEnvYAML=_TEXT,
        jobId=_TEXT,
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        entrypointResources=_TEXT,
        entrypointNumCpus=_NUMBER,
        entrypointNumGpus=_NUMBER,
        ttlSecondsAfterFinished=_WHOLE,
        shutdownAfterJobFinishes=_BOOL,
        suspend=_BOOL,
    ),
)
"""The fields of a RayJob and their types, from KubeRay's API reference (ray.io/v1)."""


def documents(name: str) -> list[dict[str, Any]]:
    """All of a template's YAML documents."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def wrong_fields(job: dict[str, Any]) -> list[str]:
    """What of a RayJob KubeRay would refuse, or leave out, a sentence each."""
    from jsonschema import Draft202012Validator

    return [error.message for error in Draft202012Validator(_JOB).iter_errors(job)]


def pod_templates(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of a RayJob, each as an object that Kubernetes itself knows."""
    cluster = job["spec"]["rayClusterSpec"]
    return [
        {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "of-a-group"},
            "template": group["template"],
        }
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])
    ]
