"""Versions are known without importing what they are of."""

import subprocess
import sys

from driver import ROOT

from orchestrator.schema import TRIALS
from orchestrator.versions import versions


def test_are_columns_of_a_record() -> None:
    found = versions()
    assert set(found) <= set(TRIALS.names)
    assert found["stcnas_version"]
    assert found["torch_version"].startswith("2.")


def test_import_nothing_heavy() -> None:
    program = (
        "import sys; from orchestrator.versions import versions; versions();"
        "print({'torch', 'ray', 'pandas', 'pyarrow'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
