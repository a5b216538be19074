import pytest

from analysis.printed import METRICS, Value, accuracy, normalise
from analysis.published import TABLES, published


def test_table_7_names_the_sweeps_settings():
    table = published("table-7")
    assert table is not None
    printed = {
        "js_lambda=0": (97.19, 0.12),
        "js_lambda=1": (97.27, 0.07),
        "js_lambda=2": (97.31, 0.11),
        "js_lambda=0->1": (97.16, 0.26),
        "js_lambda=1->2": (97.34, 0.02),
        "js_lambda=0->2": (97.52, 0.03),
    }
    for setting, value in printed.items():
        row = table.row(setting)
        assert row is not None
        assert row.values["test_accuracy"] == Value(*value)
    assert table.row("js_lambda=3") is None
    assert table.row("js_lambda=0->2, noise=0.1") is None


@pytest.mark.parametrize(
    ("setting", "mean"),
    [
        ("all", 83.29),
        ("no-cell", 82.35),
        ("No cell consistency", 82.35),
        ("no-discretization", 82.57),
        ("without discretisation", 82.57),
        ("no-depth-width", 82.99),
        ("w/o depth/width", 82.99),
        ("no_task_dataset", 83.04),
    ],
)
def test_table_8_is_found_under_the_usual_names(setting, mean):
    table = published("table-8")
    assert table is not None
    row = table.row(setting)
    assert row is not None
    assert row.values["test_accuracy"].mean == mean


def test_tables_that_print_the_same_result_agree():
    four, seven, eight = (TABLES[key] for key in ("table-4", "table-7", "table-8"))
    rows = {row.name: row for row in four.rows}
    assert accuracy(rows["STC w/o DepthC"]) == seven.row("0->2").values["test_accuracy"]  # type: ignore[union-attr]
    for name, setting in (("STC", "all"), ("STC w/o DepthC", "no-depth-width")):
        error = rows[name].values["cifar100_error"]
        value = eight.row(setting).values["test_accuracy"]  # type: ignore[union-attr]
        assert (round(100 - error.mean, 2), error.std) == (value.mean, value.std)


def test_every_row_has_a_name_of_its_own_and_known_metrics():
    for key, table in TABLES.items():
        assert table.key == key
        names = [normalise(name) for row in table.rows for name in {normalise(n) for n in (row.name, *row.settings)}]
        assert len(names) == len(set(names)), key
        assert {metric for row in table.rows for metric in row.values} <= set(METRICS)


def test_nothing_is_published_for_other_sweeps():
    assert published(None) is None
    assert published("table-99") is None


def test_figure_5_has_its_tau():
    row = TABLES["fig-5"].row("cells=20")
    assert row is not None
    assert row.values["kendall_tau"].mean == 0.64
