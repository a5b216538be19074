"""Preflight: what could never run is refused."""

from pathlib import Path

import pytest
from obstore.store import MemoryStore

from orchestrator import preflight
from orchestrator.preflight import Demand, check_demands, check_storage
from orchestrator.storage import LocalStorage, ObjectStorage, StorageError
from stcnas_core.errors import InputError


@pytest.mark.parametrize(
    ("demand", "nodes", "slots"),
    [
        (Demand(1, 0), [{"CPU": 4}], 4),
        (Demand(3, 0), [{"CPU": 4}, {"CPU": 7}], 3),
        (Demand(1, 1), [{"CPU": 4}], 0),
        (Demand(1, 1), [{"CPU": 4, "GPU": 2}], 2),
        (Demand(1, 0.5), [{"CPU": 16, "GPU": 2}], 4),
        (Demand(1, 0.34), [{"CPU": 16, "GPU": 2}], 4),
        (Demand(4, 0.25), [{"CPU": 8, "GPU": 4}], 2),
        (Demand(1, 0), [], 0),
        (Demand(1, 0, devices=3), [{"CPU": 2}, {"CPU": 5}], 2),
        (Demand(8, 1, devices=8), [{"CPU": 64, "GPU": 8}, {"CPU": 64, "GPU": 7}], 1),
        (Demand(8, 1, devices=16), [{"CPU": 64, "GPU": 8}, {"CPU": 64, "GPU": 7}], 0),
    ],
)
def test_slots(demand: Demand, nodes: list[dict[str, float]], slots: int) -> None:
    assert demand.slots(nodes) == slots


def test_shared_devices() -> None:
    assert Demand(1, 0.5).shares_device([{"CPU": 4, "GPU": 1}])
    assert not Demand(1, 1).shares_device([{"CPU": 4, "GPU": 4}])
    assert Demand(2, 0).shares_device([{"CPU": 4}])
    assert not Demand(4, 0).shares_device([{"CPU": 4}, {"CPU": 4}])
    assert not Demand(1, 0, devices=4).shares_device([{"CPU": 4}])
    assert Demand(1, 0, devices=3).shares_device([{"CPU": 4}])
    assert not Demand(1, 1, devices=2).shares_device([{"CPU": 4, "GPU": 4}])


def test_refuses_what_no_node_has() -> None:
    check_demands({"search": Demand(4, 0)}, [{"CPU": 2}, {"CPU": 4}])
    with pytest.raises(InputError, match=r"resources\.retrain: a trial asks for 8 CPUs and 0 GPUs .* largest: 4 CPUs"):
        check_demands({"search": Demand(1, 0), "retrain": Demand(8, 0)}, [{"CPU": 4}, {"CPU": 4}])


def test_refuses_more_devices_than_all_nodes_have_together() -> None:
    nodes = [{"CPU": 16, "GPU": 2}, {"CPU": 16, "GPU": 1}]
    check_demands({"retrain": Demand(4, 1, devices=3)}, nodes)
    with pytest.raises(InputError, match=r"retrain.devices: .* 4 devices with 4 CPUs and 1 GPUs each, .* room for 3;"):
        check_demands({"retrain": Demand(4, 1, devices=4)}, nodes)


def test_probes_the_storage_and_leaves_nothing(tmp_path: Path) -> None:
    check_storage(LocalStorage(tmp_path))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert check_storage(ObjectStorage(MemoryStore(), "s3://bucket")) == []


def test_warns_of_and_refuses_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": preflight.COMFORTABLE_FREE - 1})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    (warning,) = check_storage(LocalStorage(tmp_path))
    assert "only 2.0 GiB left" in warning
    usage.free = preflight.SMALLEST_FREE - 1
    with pytest.raises(StorageError, match="make room there"):
        check_storage(LocalStorage(tmp_path))
