"""The ids of all trials that the shipped sweeps plan, in every profile, as they were committed.

`python tests/orchestrator/golden_ids.py` writes them anew. Do that only where an id was wrong, or where a sweep or the
program of a method has changed, and name the reason in the commit: a changed id leaves its recorded trials behind.
"""

import json
from pathlib import Path

from orchestrator.plan import make_plan
from orchestrator.spec import load_sweep

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))
FILE = Path(__file__).parents[1] / "data" / "golden_ids.json"


def fingerprint(dataset: str, path: str | None) -> str:
    """A fixed fingerprint, so that ids do not depend on the files of this machine."""
    return "digits@scikit-learn" if dataset == "digits" else f"{dataset}@golden"


def planned(sweep_file: Path) -> dict[str, str]:
    """The id of each planned trial of a sweep by `profile/setting/stage/seed`; without a profile it is `-`."""
    profiles = [None, *load_sweep(sweep_file).profiles]
    found: dict[str, str] = {}
    for profile in profiles:
        plan = make_plan(load_sweep(sweep_file, profile=profile), fingerprint)
        for trial in (*plan.searches, *plan.given):
            seeds = "-".join(str(seed) for seed in (trial.seed, trial.retrain_seed) if seed is not None)
            found[f"{profile or '-'}/{trial.setting}/{trial.stage}/{seeds}"] = trial.id
    return found


if __name__ == "__main__":
    ids = {sweep_file.stem: planned(sweep_file) for sweep_file in SWEEPS}
    FILE.write_text(json.dumps(ids, indent=0, sort_keys=True) + "\n", encoding="utf-8")
