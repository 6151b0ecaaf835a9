"""Memory on the CPU is kept from step to step while training, and no longer."""

from __future__ import annotations

import json
import platform
import subprocess
import sys

import pytest

#: In a process of its own: what other tests have left in the heap would be taken first.
_PROGRAM = """
import json, os, resource, torch
from sslcore.allocation import kept_memory

SIZE, PAGE = 2**26, os.sysconf("SC_PAGE_SIZE")

def fresh(device):
    # The first ones are not counted: the place made for one is a little small for the next.
    with kept_memory(torch.device(device)):
        for turn in range(20):
            if turn == 10:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            torch.ones(SIZE, dtype=torch.uint8)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * PAGE / SIZE / 10

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * PAGE / SIZE

found = {"elsewhere": fresh("meta"), "before": resident()}
try:
    with kept_memory(torch.device("cpu")):
        torch.ones(SIZE, dtype=torch.uint8)
        found["kept"] = resident()
        raise ZeroDivisionError
except ZeroDivisionError:
    found["after"] = resident()
print(json.dumps(found | {"here": fresh("cpu")}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_a_large_tensor_takes_the_memory_of_the_last_one_and_in_the_end_it_is_given_back():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # In parts of a tensor that the system had to provide anew, or that the process holds.
    assert found["here"] < 0.01
    assert found["elsewhere"] > 0.5
    assert found["kept"] - found["before"] > 0.9
    assert found["after"] - found["before"] < 0.5
