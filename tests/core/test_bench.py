"""The bench measures real steps, counts what it says it counts, and needs torch and numpy alone."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

from stcnas_core.bench import Setting, bench_step, make_step
from stcnas_core.bench.__main__ import TRAINED, main
from stcnas_core.bench.measure import clock, saved_activations
from stcnas_core.bench.step import Step
from stcnas_core.bench.subnet import FIXED, Subnet
from stcnas_core.genotype import Genotype
from stcnas_core.methods.base import Sample
from stcnas_core.path import from_genotype

TINY = Setting(space="nasbench201", cells=1, channels=4, batch=4, size=8, rounds=2, device="cpu")


@pytest.mark.parametrize("method", TRAINED)
def test_a_step_of_every_method_trains_weights_and_alphas(method: str) -> None:
    step = make_step(method, "nasbench201", cells=1, channels=4, batch=4, size=8, device="cpu")
    weights = [p.clone() for p in step.model.parameters()]
    alphas = [p.clone() for p in step.bilevel.method.parameters().values()]
    for _ in range(3):
        step()
    assert any(not torch.equal(a, b) for a, b in zip(step.model.parameters(), weights, strict=True))
    moved = step.bilevel.method.parameters().values()
    assert all(not torch.equal(a, b) for a, b in zip(moved, alphas, strict=True))
    assert step.tallies[0].result()[0] > 0


def test_steps_are_repeatable_and_leave_the_global_generators_alone() -> None:
    before = torch.random.get_rng_state()
    one, other = (make_step("stc", "nasbench201", 1, 4, 4, size=8, device="cpu") for _ in range(2))
    for _ in range(2):
        assert torch.equal(one().weights[0], other().weights[0])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_saved_activations_are_counted_once_and_without_parameters() -> None:
    linear = nn.Linear(5, 7)
    x = torch.randn(3, 5)
    with saved_activations(linear) as saved:
        y = linear(x).tanh()  # keeps x for the weight's gradient and its own result
        z = y.tanh() + y.exp()  # keep two more results; y is kept already
    assert saved() == 4 * (3 * 5 + 3 * 3 * 7)
    z.sum().backward()
    assert linear.weight.grad is not None


def test_the_saved_bytes_of_a_step_are_those_of_its_larger_pass() -> None:
    step = Step(TINY, "stc")
    step.cell = from_genotype(Genotype.parse(FIXED["nasbench201"]))
    path = step.bilevel.method.path(Sample(step.cell, step.cell))
    kept = []
    for weights_too in (False, True):
        step.model.requires_grad_(weights_too)
        with saved_activations(step.model) as saved:
            loss, _ = step.bilevel.loss(path, *step.train)
        del loss
        kept.append(saved())
    # Of convolutions alone the weight pass keeps more: their inputs.
    assert kept[0] < kept[1] == pytest.approx(step.saved_bytes(), rel=0.01)


def test_the_table_3_rows_hold_what_they_are_read_for() -> None:
    result = bench_step(TINY, ["stc", "gdas"], doubled=True)
    rows = {row["method"]: row for row in result["rows"]}
    assert list(rows) == ["stc", "gdas", "fixed subnet", "random subnet"]
    assert rows["random subnet"]["ratio_random_subnet"] == rows["fixed subnet"]["ratio_fixed_subnet"] == 1.0
    for name in ("stc", "gdas"):
        for key in ("cpu_ms", "ratio_random_subnet", "ratio_fixed_subnet", "saved_mb", "saved_ratio_random_subnet"):
            assert rows[name][key] > 0
        assert rows[name]["ratio_doubled"] > 0
        for yardstick in ("random", "fixed"):
            low, high = rows[name][f"ratio_{yardstick}_subnet_quartiles"]
            assert low <= rows[name][f"ratio_{yardstick}_subnet"] <= high
    assert result["n"] == 2
    assert result["versions"]["torch"] == torch.__version__


def test_doubled_candidates_are_twice_the_modules_and_the_same_work() -> None:
    steps = [Step(TINY, "stc"), Step(TINY, "stc", copies=2)]
    parameters = [len(list(step.model.parameters())) for step in steps]
    shared = len(steps[0].bilevel.shared)
    assert parameters[1] - shared == 2 * (parameters[0] - shared)
    cell = steps[0].bilevel.method.sample(0.3, steps[0].draws).cell
    ran: list[list[str]] = [[], []]
    for step, names in zip(steps, ran, strict=True):
        step.cell = cell
        for name, module in step.model.named_modules():
            module.register_forward_hook(lambda *_, name=name, names=names: names.append(name))
        step()
    assert ran[0] == ran[1]


def test_the_yardstick_takes_two_steps() -> None:
    subnet = Subnet(TINY, Genotype.parse(FIXED["nasbench201"]))
    before = [p.clone() for p in subnet.model.parameters()]
    subnet()
    assert all(not torch.equal(a, b) for a, b in zip(subnet.model.parameters(), before, strict=True))
    norms = [m.num_batches_tracked for m in subnet.model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [2] * len(norms)


def test_processor_time_is_what_the_call_spent() -> None:
    spent = clock(lambda: sum(range(2_000_000)), "cpu")
    assert 1 < spent.ms == spent.cpu_ms < 5000


def test_the_command_line_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    threads = torch.get_num_threads()
    sizes = ["--space", "nasbench201", "--cells", "1", "--channels", "4", "--batch", "4", "--device", "cpu"]
    main(["step", "--method", "stc", "--rounds", "1", "--json", *sizes])
    assert json.loads(capsys.readouterr().out)["rows"][0]["method"] == "stc"
    main(["step", "--method", "stc", "--rounds", "1", *sizes])
    assert "saved_ratio_random_subnet" in capsys.readouterr().out
    torch.set_num_threads(threads)


def test_two_searches_side_by_side_and_nothing_but_torch_and_numpy() -> None:
    # The packages that a GPU machine may lack are made unimportable.
    lacking = [
        *("sklearn", "pandas", "pyarrow", "ray", "scipy", "pydantic", "torchvision", "PIL", "matplotlib", "obstore"),
        *("typer", "rich", "yaml"),
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({lacking!r})); from stcnas_core.bench.__main__ import main; "
    code = f"if __name__ == '__main__':\n    {code}main(sys.argv[1:])"
    arguments = "search --method stc --space nasbench201 --cells 1 --channels 4 --batch 8 --images 32 --device cpu"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments.split(), "--processes", "2", "--json"],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    assert row["processes"] == 2
    assert row["epoch_seconds"] > 0
    assert row["peak_mb_all"] > row["peak_mb"] > 0
    assert row["ratio_random_subnet"] > 0
