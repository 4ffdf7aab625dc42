"""Writes safetensors/: files of the reference implementation, for tests that read them and write them again.
Needs torch, numpy and safetensors.

    python golden/safetensors_files.py
"""

import pathlib

import numpy
import torch
from safetensors.torch import save_file

FOLDER = pathlib.Path(__file__).parent / "safetensors"

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def dtypes():
    """One tensor of every dtype: 0 … 5 as [2, 3]; signed ones are shifted by -3; BOOL is the parity."""
    base = torch.arange(6, dtype=torch.int64).reshape(2, 3)
    tensors = {}
    for name, dtype in DTYPES.items():
        signed = name[0] != "U" and name != "BOOL"
        tensors[name] = (base % 2 if name == "BOOL" else base - 3 if signed else base).to(dtype)
    return tensors


def writable():
    """What diffuse writes as well: odd names, a scalar, an empty tensor, special values."""
    return {
        "weight": torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 7,
        "special": torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-45, 3.4028235e38]),
        "double": torch.tensor([1 / 3, -2.5e-308, 1.7976931348623157e308], dtype=torch.float64),
        "step": torch.tensor(-(2**62) - 1, dtype=torch.int64),
        "counts": torch.tensor([[-(2**31)], [2**31 - 1]], dtype=torch.int32),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "empty": torch.zeros(0, 7),
        "0": torch.ones(1),
        'gewöhnlich "quoted" \\ \t 雪 😀': torch.full((2,), 0.5),
    }


def half_precision():
    """All 65536 patterns of both 16-bit formats, and the bits of the float32 that PyTorch widens them to."""
    patterns = torch.from_numpy(numpy.arange(65536, dtype=numpy.uint16).view(numpy.int16).copy())
    half, brain = patterns.view(torch.float16), patterns.clone().view(torch.bfloat16)
    tensors = {"half": half, "brain": brain}
    # Checksums of the wide bits keep the file small; NaNs are left to their own test.
    for name, values in [("half", half), ("brain", brain)]:
        wide = values.to(torch.float32)
        tensors[f"{name}.finite"] = torch.isfinite(wide).sum()
        bits = wide[~torch.isnan(wide)].view(torch.int32).to(torch.int64)
        index = torch.arange(1, bits.numel() + 1)
        tensors[f"{name}.checksum"] = (bits % 65521 * (index % 1009)).sum()
    return tensors


def main():
    FOLDER.mkdir(exist_ok=True)
    save_file(dtypes(), FOLDER / "dtypes.safetensors")
    save_file(writable(), FOLDER / "writable.safetensors", {"format": "pt"})
    save_file(half_precision(), FOLDER / "half-precision.safetensors")
    save_file({}, FOLDER / "empty.safetensors")


if __name__ == "__main__":
    main()
