"""Each command on the clusters' pages is run by a test or said not to be and why; templates are whole."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cluster_pages import FOLDER, blocks
from manifests import documents, wrong_fields

TESTS = Path(__file__).parent


def test_each_command_is_run_by_a_test_or_says_why_not() -> None:
    found = blocks()
    assert {block.page for block in found} == {"plain", "slurm", "kuberay", "launcher"}
    used = {
        (page, f"run: {name}")
        for file in TESTS.glob("*.py")
        for page, name in re.findall(r'command\("(\w+)", "([\w-]+)"\)', file.read_text(encoding="utf-8"))
    }
    assert {(block.page, block.mark) for block in found if block.mark.startswith("run: ")} == used
    for block in found:
        if block.mark == "values":
            assert all(line.startswith("export ") for line in block.text.splitlines()), block
        else:
            assert re.fullmatch(r"run: [\w-]+|not run: \S.{15,}", block.mark), block


def test_all_code_on_the_pages_is_in_such_blocks() -> None:
    for page in FOLDER.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * sum(block.page == page.stem for block in blocks())
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_commands_are_shell() -> None:
    done = subprocess.run(
        ["bash", "-n"], input="".join(block.text for block in blocks()), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("checker", [["bash", "-n"], ["shellcheck"]], ids=lambda checker: checker[0])
@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.sh")), ids=lambda script: script.name)
def test_scripts_are_shell(script: Path, checker: list[str]) -> None:
    if shutil.which(checker[0]) is None:
        pytest.skip(f"{checker[0]} is not installed")
    done = subprocess.run([*checker, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifest_has_no_field_that_kuberay_lacks() -> None:
    claim, job = documents("rayjob.yaml")
    assert claim["kind"] == "PersistentVolumeClaim"
    assert wrong_fields(job) == []
    job["spec"]["rayClusterSpec"]["authOption"] = job["spec"]["rayClusterSpec"].pop("authOptions")
    job["spec"]["backoffLimit"] = "10"
    del job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    (extra, kind, lacking) = wrong_fields(job)
    assert "authOption" in extra + kind + lacking
    assert "'10' is not of type 'integer'" in extra + kind + lacking
    assert "'template' is a required property" in extra + kind + lacking


def test_the_manifest_asks_for_what_the_page_says() -> None:
    _, job = documents("rayjob.yaml")
    spec = job["spec"]
    assert spec["entrypoint"].startswith("stcnas run ")
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert len({group["template"]["spec"]["containers"][0]["image"] for group in groups}) == 1


def test_the_launcher_file_is_what_ray_takes() -> None:
    from jsonschema import Draft4Validator

    schema = json.loads((_ray() / "autoscaler" / "ray-schema.json").read_text(encoding="utf-8"))
    (content,) = documents("launcher.yaml")
    assert [error.message for error in Draft4Validator(schema).iter_errors(content)] == []
    content["max_worker"] = content.pop("max_workers")
    assert list(Draft4Validator(schema).iter_errors(content))


def _ray() -> Path:
    from importlib.util import find_spec

    spec = find_spec("ray")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
