"""The families of MoCo's losses, for the conformance kit; they need the extra `sslcore[test]`."""

from __future__ import annotations

from sslcore_moco.conformance.batch import BATCH
from sslcore_moco.conformance.queue import QUEUE, QUEUE_SYMMETRIC

__all__ = ["BATCH", "QUEUE", "QUEUE_SYMMETRIC"]
