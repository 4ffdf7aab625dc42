"""Stands in for PyTorch on a GPU: computes nothing, and appends what matters for timing to the file that FAKE_TORCH_LOG names.

Everything else that is asked of it exists and does nothing.
"""

import os
import sys
from unittest.mock import MagicMock


def log(line):
    with open(os.environ["FAKE_TORCH_LOG"], "a") as file:
        file.write(line + "\n")


def logged(line, result=None):
    def call(*arguments, **_):
        log(" ".join([line, *map(str, arguments)]))
        return result

    return call


class Event:
    def __init__(self, enable_timing=False):
        assert enable_timing, "an event without timing has no elapsed time"

    record = logged("event recorded")
    synchronize = logged("event awaited")

    def __str__(self):
        return "event"

    def elapsed_time(self, end):
        log("elapsed time")
        return 3.0


class Backend:
    """Says which of its switches is set to what."""

    def __init__(self, name):
        object.__setattr__(self, "name", name)

    def __setattr__(self, switch, value):
        log(f"{self.name}.{switch} = {value}")


torch = MagicMock()
torch.__version__ = "2.0-fake"
torch.__spec__ = __spec__
torch.__path__ = []
torch.version.cuda = os.environ.get("FAKE_TORCH_CUDA") or None
torch.cuda.is_available = lambda: os.environ.get("FAKE_TORCH_GPU") != "none"
torch.cuda.set_device = logged("current device")
torch.cuda.get_device_name = lambda *_: "a GPU of paper"
torch.cuda.synchronize = logged("synchronised")
torch.cuda.Event = Event
torch.set_default_device = logged("default device")
torch.manual_seed = logged("seed")
torch.backends.cudnn = Backend("cudnn")
torch.backends.cuda.matmul = Backend("matmul")
torch.backends.cpu.get_cpu_capability = lambda: "AVX512"
torch.get_default_device.return_value.type = "cuda"
torch.autocast = lambda kind, dtype, enabled: log(f"autocast {kind} {enabled}") or MagicMock()
torch.nn.functional.mse_loss.return_value.item = logged("loss read")
torch.mm = logged("product")

sys.modules["torch"] = torch
for module in ("nn", "nn.functional", "_inductor", "_inductor.config"):
    target = torch
    for part in module.split("."):
        target = getattr(target, part)
    sys.modules[f"torch.{module}"] = target
