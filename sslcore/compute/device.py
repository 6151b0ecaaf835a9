"""Where a run happens and in which precision."""

from __future__ import annotations

import os

import torch

from sslcore.errors import UsageError


def pick_device(name: str = "auto", *, local_rank: int | None = None) -> torch.device:
    """Return the device of a name; "auto" is the fastest kind available.

    Args:
        name: "auto", "cpu", "cuda", "cuda:N" or "mps".
        local_rank: rank of this process on its machine, which selects its CUDA device; None for a
            single process.

    Raises:
        UsageError: the device does not exist.
    """
    if local_rank is not None and name in ("auto", "cuda") and torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise UsageError(
                f"there are more processes on this machine than its {torch.cuda.device_count()} "
                "CUDA devices; start fewer processes with --nproc-per-node"
            )
        return torch.device("cuda", local_rank)
    if local_rank is not None and name.startswith("cuda:"):
        raise UsageError(
            f"--device {name}: each of several processes needs a device of its own; use "
            "--device cuda"
        )
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(
            f"--device {name}: not a device; expected auto, cpu, cuda, cuda:N or mps"
        ) from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UsageError(f"--device {name}: no CUDA device is available here; use --device cpu")
        if (device.index or 0) >= count:
            raise UsageError(f"--device {name}: there are {count} CUDA devices, counted from 0")
        return torch.device("cuda", device.index or 0)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError(f"--device {name}: no Apple GPU is available here; use --device cpu")
    if device.type not in ("cpu", "mps"):
        raise UsageError(f"--device {name}: expected auto, cpu, cuda, cuda:N or mps")
    if device.index:
        raise UsageError(
            f"--device {name}: there is only one {device.type}; use --device {device.type}"
        )
    return device


def pick_precision(name: str, device: torch.device) -> str:
    """Return fp32, bf16 or fp16; "auto" is bf16 where the device computes with it natively."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    if device.type == "cpu":
        native = _cpu_has("_is_avx512_bf16_supported") or _cpu_has("_is_amx_tile_supported")
        return "bf16" if native else "fp32"
    return "fp32"


def _cpu_has(check: str) -> bool:
    # The checks are private in torch; a version without one counts as a CPU without the feature.
    return bool(getattr(torch.cpu, check, bool)())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    # torch raises a plain RuntimeError when main memory runs out.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def free_memory(device: torch.device) -> int:
    """Return the free bytes of a device; for other devices than CUDA, of main memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (ValueError, OSError):
        return 2**33
