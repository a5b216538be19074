"""Alphas are read on the host as they are on the device, whatever was started before."""

import pytest
import torch

from stcnas_core.host_copy import HostCopy


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
        ),
    ],
)
def test_a_stale_copy_is_never_read(device: str) -> None:
    copy = HostCopy(device)
    alpha = torch.zeros(2, 3, device=device)
    assert copy.read(alpha, lambda: alpha + 1).tolist() == [[1.0] * 3] * 2
    alpha.add_(1)
    copy.start(alpha, lambda: alpha + 1)
    assert copy.read(alpha, lambda: alpha + 1).tolist() == [[2.0] * 3] * 2
    alpha.add_(1)  # after the start
    assert copy.read(alpha, lambda: alpha + 1).tolist() == [[3.0] * 3] * 2


def test_what_is_read_is_the_caller_s_own() -> None:
    """Changing what was read leaves alpha as it is."""
    copy = HostCopy("cpu")
    alpha = torch.zeros(2, 3)
    copy.read(alpha, alpha.detach)[:] = 5.0
    assert alpha.tolist() == [[0.0] * 3] * 2
