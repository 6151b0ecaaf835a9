"""The rendezvous of processes that were restarted together.

The store of torchrun outlives a process. Keys of a process that died, such as its address, must not
be mistaken for keys of its replacement. A count of restarts does not identify a launch, because
machines may restart their processes a different number of times.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from sslcore.errors import UsageError

#: Seconds between two attempts, and until it gives up.
_PAUSE, _PATIENCE = 0.05, 600.0


def rendezvous(store: Any, rank: int, count: int, *, patience: float = _PATIENCE) -> str:
    """Return a key that these processes share and that no earlier processes shared.

    Each process writes a token of its own. The main process joins the tokens into a key, and
    replaces the key when a token changes. The other processes confirm a key that contains their
    token.

    Args:
        store: a `torch.distributed.Store`.
        rank: rank of this process.
        count: number of processes.
        patience: seconds until it gives up.

    Raises:
        UsageError: not all processes arrived in time.
    """
    own = uuid.uuid4().hex
    store.set(f"token/{rank}", own)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if rank == 0:
            # `get` waits until the key exists.
            tokens: list[str] = [store.get(f"token/{each}").decode() for each in range(count)]
            key = "-".join(tokens)
            store.set("key", key)
            if store.check([f"answer/{key}/{each}" for each in range(1, count)]):
                store.set(f"settled/{key}", "yes")
                return key
        else:
            key = str(store.get("key").decode())
            if own in key.split("-"):
                store.set(f"answer/{key}/{rank}", "yes")
                if store.check([f"settled/{key}"]):
                    return key
        time.sleep(_PAUSE)
    raise UsageError(f"waited {patience:.0f} s for {count} processes, but not all of them started")
