"""The page for KubeRay: what can be done without a Kubernetes cluster, and its files against Kubernetes' schemas."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_pages import command
from manifests import documents, pod_templates

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

VERSIONS = ("1.28", "1.32", "1.37")
"""Of Kubernetes."""


def validate(content: dict[str, Any]) -> None:
    """Against each version's schema, in which no unknown field is allowed."""
    checker = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for version in VERSIONS:
        checker.validate(content, version, strict=True)


def test_the_manifests_are_valid() -> None:
    claim, job = documents("rayjob.yaml")
    validate(claim)
    for pods in pod_templates(job):
        validate(pods)
    pods["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(Exception, match="volumeMount"):
        validate(pods)


def test_the_page_makes_its_files(tmp_path: Path, sweep: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    credentials = tmp_path / "storage.env"
    credentials.write_text("AWS_ACCESS_KEY_ID=key\nAWS_SECRET_ACCESS_KEY=secret\n")
    program = tmp_path / "bin" / "stcnas"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    environment = {
        "PATH": f"{program.parent}:/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(tmp_path),
        "SWEEP": str(sweep),
        "CREDENTIALS": str(credentials),
    }
    script = command("kuberay", "templates") + command("kuberay", "sweep") + command("kuberay", "credentials")
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = yaml.safe_load((tmp_path / "sweep-configmap.yaml").read_text())
    validate(made)
    assert made["metadata"]["name"] == "stcnas-sweep"
    assert yaml.safe_load(made["data"]["sweep.yaml"]) == yaml.safe_load(sweep.read_text())
    secret = yaml.safe_load((tmp_path / "storage-secret.yaml").read_text())
    validate(secret)
    assert set(secret["data"]) == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    assert (tmp_path / "rayjob.yaml").exists()
