"""The families of losses that MoCo's are held against; they need the extra `sslcore[test]`."""

from __future__ import annotations

from sslcore_moco.conformance.batch import BATCH
from sslcore_moco.conformance.queue import QUEUE, QUEUE_SYMMETRIC

__all__ = ["BATCH", "QUEUE", "QUEUE_SYMMETRIC"]
