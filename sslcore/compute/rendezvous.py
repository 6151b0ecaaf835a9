"""How processes that are started again find those started with them, and no others.

torchrun's store outlives a process. What one that has died wrote there, its address say, must not
be taken for that of the one started in its place, and which start this is can't be told from a
count: machines may have started theirs a different number of times.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

from sslcore.errors import UsageError

#: Seconds between two looks, and before it is given up.
_PAUSE, _PATIENCE = 0.05, 600.0


def meet(store: Any, rank: int, count: int, *, patience: float = _PATIENCE) -> str:
    """Return a word that these processes share, and that no earlier ones have shared.

    Each leaves a token of its own. The first puts the tokens together to a word, and takes it back
    when a token changes; the others answer to a word that has their token in it.

    Args:
        store: a `torch.distributed.Store`.
        rank: of this process.
        count: of all processes.
        patience: seconds before it is given up.

    Raises:
        UsageError: the others did not come.
    """
    own = uuid.uuid4().hex
    store.set(f"token/{rank}", own)
    until = time.monotonic() + patience
    while time.monotonic() < until:
        if rank == 0:
            # Each is waited for until it is there.
            tokens = [store.get(f"token/{each}").decode() for each in range(count)]
            word = "-".join(tokens)
            store.set("word", word)
            if store.check([f"answer/{word}/{each}" for each in range(1, count)]):
                store.set(f"settled/{word}", "yes")
                return word
        else:
            word = store.get("word").decode()
            if own in word.split("-"):
                store.set(f"answer/{word}/{rank}", "yes")
                if store.check([f"settled/{word}"]):
                    return word
        time.sleep(_PAUSE)
    raise UsageError(f"waited {patience:.0f} s for {count} processes, and not all of them came")
