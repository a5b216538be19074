"""Sweeps from Python: what the command line does, as methods that return tables and figures.

    from orchestrator.api import Sweep

    sweep = Sweep("sweeps/table7.yaml", storage="/shared/nas", profile="smoke")
    sweep.run()
    sweep.compare()

Everything but `run` reads the ledger anew at every call, starts nothing and imports neither torch nor ray, and works
while the sweep runs elsewhere. A user's mistake is a `stcnas_core.errors.InputError`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from orchestrator.benchmark import UNNAMED
from orchestrator.ledger import Ledger
from orchestrator.overview import Overview, examine, recorded_fingerprint
from orchestrator.plan import Plan, make_plan
from orchestrator.simulation import check_real, fingerprint, is_simulated
from orchestrator.spec import load_sweep
from orchestrator.storage import LocalStorage, open_storage
from stcnas_core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from analysis.plots import Plot
    from analysis.resolution import Resolution
    from analysis.results import Results
    from orchestrator.export import FileKind, Tracker

__all__ = ["InputError", "Sweep"]


def _to_stderr(notice: str) -> None:
    print(notice, file=sys.stderr)


class Sweep:
    """A sweep file beside the ledger that holds its trials.

    `profile` and `overrides` (texts such as `"search.epochs=3"`) are what `--profile` and `--set` are; `storage` is a
    folder or an `s3://`, `gs://`, `az://` address; `say` is told what a reader should know, on stderr by default.
    Raises InputError where the file cannot be read.
    """

    def __init__(
        self,
        file: str | Path,
        storage: str | Path = "results",
        *,
        profile: str | None = None,
        overrides: Sequence[str] = (),
        say: Callable[[str], None] = _to_stderr,
    ) -> None:
        self.file = Path(file)
        self.spec = load_sweep(self.file, profile=profile, overrides=overrides)
        self.storage = str(storage)
        self.ledger = Ledger(open_storage(self.storage))
        self._profile, self._overrides, self._say = profile, tuple(overrides), say
        self._said: set[str] = set()
        self._plan: Plan | None = None

    @property
    def name(self) -> str:
        """The name that the file gives the sweep."""
        return self.spec.name

    def _planned(self) -> Plan:
        """For verbs that only read: data that is not here is taken to be what the records say it was."""
        # The first lookup's record names a table that was not named here.
        if self._plan is None or self._plan.lookup_data == UNNAMED:
            recorded = recorded_fingerprint(self._recorded_data, self._say_once)
            self._plan = make_plan(self.spec, fingerprint if self._simulated else recorded)
        return self._plan

    def _recorded_data(self) -> Iterator[str]:
        return (str(row["data"]) for row in self.ledger.rows(self.ledger.ids(), ["data"]))

    def _say_once(self, notice: str) -> None:
        if notice not in self._said:
            self._said.add(notice)
            self._say(notice)

    @cached_property
    def _simulated(self) -> bool:
        simulated = is_simulated(self.ledger.storage)
        if simulated:
            self._say(f"note: {self.ledger.storage.uri} holds simulated records, no results")
        return simulated

    def overview(self, *, computing: bool = False) -> Overview:
        """The plan beside the ledger as it is now; before `computing`, the data must be here."""
        if computing and not self._simulated:
            return examine(make_plan(self.spec), self.ledger)
        return examine(self._planned(), self.ledger)

    def plan(self) -> "pd.DataFrame":
        """One row a trial: `id`, `stage`, `setting`, `seed`, `retrain_seed`, `epoch`, `state`, `parent`.

        `state` is done, failed or missing; `epoch` is that of a cell which a search derived on its way.
        Retrainings of cells that are not found yet stand under provisional ids.
        """
        import pandas as pd

        rows = pd.DataFrame(self.overview().listed())
        return rows.astype({"seed": "Int64", "retrain_seed": "Int64", "epoch": "Int64"})

    def resolution(self, overview: Overview | None = None) -> "Resolution | None":
        """Which differences the seeds can tell: by deviations that the paper prints, or the ledger's, or None."""
        from analysis.resolution import resolution
        from orchestrator.measured import measured
        from orchestrator.spec import ANY_GENOTYPE

        overview, spec = overview or self.overview(), self.spec
        return resolution(
            spec.paper,
            list(dict.fromkeys(trial.setting for trial in overview.plan.searches)),
            len(spec.seeds),
            retrained_on=None if spec.retrain is None else spec.retraining(ANY_GENOTYPE["darts"]).dataset,
            searched_on=spec.base.dataset,
            measured=measured(overview),
        )

    def status(self) -> dict[str, Any]:
        """What `stcnas status --json` prints: counts, what runs, what failed and why, who drives it."""
        return self.overview().as_status()

    def run(
        self,
        *,
        backend: Literal["ray", "inline"] = "ray",
        address: str | None = None,
        retry_failed: bool = False,
        out: TextIO | None = None,
    ) -> int:
        """Run what is missing, as `stcnas run` does; returns its exit code.

        0: complete, 3: some trials failed, 4: interrupted. `inline` runs one trial after the other in this process,
        `ray` on this machine's cores and GPUs or on the cluster at `address`. Progress is written to `out`, stdout by
        default. Raises InputError where it cannot be run, also where another driver runs it.
        """
        from orchestrator import session

        overview = self.overview(computing=True)
        check_real(self.ledger.storage)
        options = session.Options(
            self.file, self.storage, self._profile, self._overrides, backend, address, retry_failed
        )
        return session.run(overview, options, out or sys.stdout)

    def trials(self) -> "pd.DataFrame":
        """One row for each recorded trial of this sweep in the order of its plan, as docs/schema.md lists the columns.

        As in all four tables, `setting`, `seed` and `retrain_seed` are this sweep's, also where another sweep that
        shares the trial ran it first.
        """
        return self._frame("trials")

    def epochs(self) -> "pd.DataFrame":
        """One row for each epoch of each finished trial."""
        return self._frame("epochs")

    def alphas(self) -> "pd.DataFrame":
        """Architecture parameters: a row for each search, epoch, edge and operation."""
        return self._frame("alphas")

    def ranks(self) -> "pd.DataFrame":
        """Accuracies of drawn cells with inherited weights, where `rank_every` is set."""
        return self._frame("ranks")

    def _frame(self, table: str) -> "pd.DataFrame":
        from orchestrator.selection import select

        return select(self.ledger, table, self.overview().listed()).to_pandas(use_threads=False)

    def results(self) -> "Results":
        """Searches joined with the retrainings and lookups of their cells: what tables and figures are made from."""
        from analysis.results import collect

        return collect(*self._recorded())

    def _recorded(self) -> tuple[Any, ...]:
        """What a report is made from: sweep, planned trials, and the tables of the ledger."""
        from orchestrator.lookups import benchmark_id

        overview = self.overview()
        planned = overview.listed()
        ids = [trial["id"] for trial in planned]
        trials, epochs, alphas, ranks = (
            self.ledger.table(table, ids).to_pandas(use_threads=False)
            for table in ("trials", "epochs", "alphas", "ranks")
        )
        benchmark = self.ledger.benchmark(benchmark_id(overview.plan))
        return self.spec, planned, trials, epochs, alphas, ranks, benchmark, overview.study

    def compare(self) -> "pd.DataFrame":
        """One row a setting: number of seeds, means and sample standard deviations, beside the paper's values."""
        return self._table("ablation")

    def rank(self) -> "pd.DataFrame":
        """How accuracy in search ranks outcomes: Kendall's tau-b with its interval, by setting and over all.

        Raises InputError where nothing is retrained or looked up.
        """
        return self._table("ranking")

    def claims(self) -> "pd.DataFrame":
        """What the paper claims of these settings: its number, the one measured here with its interval, the verdict.

        `verdict` is held, did not hold, not told or not run. Raises InputError where the sweep is of no table or
        figure of the paper.
        """
        return self._table("claims")

    def _table(self, name: str) -> "pd.DataFrame":
        import pandas as pd

        from analysis.report import tables_of

        table = tables_of(self.results()).get(name)
        if table is None:
            raise InputError(f"{self.name}: there is nothing to make the table {name!r} from")
        return pd.DataFrame.from_records(list(table.records))

    def plot(self, what: "Plot" = "seeds", column: str | None = None) -> "Figure":
        """A matplotlib figure: `seeds` (outcome by setting), `ranking` (search against outcome), `curves` (by epoch).

        `column` is an accuracy of the search for `ranking`, a column of the epochs for `curves`; `derived_accuracy` by
        default. Raises InputError where nothing is recorded yet.
        """
        from analysis.plots import plot

        return plot(self.results(), what, column)

    def report(self, out: str | Path | None = None, *, renew_seconds: int | None = None) -> dict[str, Path]:
        """Write the report, into `<storage>/report/<name>` by default; returns the written paths by file name.

        With `renew_seconds` a browser that shows the page reads it anew that often.
        """
        from analysis.report import write_report
        from orchestrator.session import command_line

        root = self.ledger.storage.root if isinstance(self.ledger.storage, LocalStorage) else Path("results")
        folder = root / "report" / self.name if out is None else Path(out)
        spec, planned, trials, epochs, alphas, ranks, benchmark, study = self._recorded()
        if study is not None:
            from orchestrator.studies.sampling import with_importance

            study = with_importance(spec.optuna, study)
        return write_report(
            spec,
            planned,
            trials,
            epochs,
            alphas,
            folder,
            ranks=ranks,
            benchmark=benchmark,
            study=study,
            command=command_line("run", self.file, self.storage, self._profile, self._overrides),
            renew_seconds=renew_seconds,
        )

    def files(self, kind: "FileKind") -> dict[str, bytes]:
        """Content by file name of what `stcnas export` writes; `latex` is a file for each table of the report."""
        if kind == "latex":
            from analysis.formats import to_latex
            from analysis.report import tables_of

            return {f"{name}.tex": to_latex(table).encode() for name, table in tables_of(self.results()).items()}
        from orchestrator.export import file_of

        name, content = file_of(kind, self.ledger, self.name, self.overview().listed())
        return {name: content}

    def tell(self, tracker: "Tracker", target: str | Path) -> int:
        """Tell `tensorboard`, `mlflow` or `wandb` of every finished trial that it has not; returns how many.

        `target` is a folder, or for MLflow a tracking address as well.
        """
        from orchestrator.export import tell

        return tell(tracker, self.ledger, self.name, self.overview().listed(), str(target))
