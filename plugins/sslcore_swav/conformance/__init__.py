"""The families of this plugin's losses, for the conformance kit; they need `sslcore[test]`."""

from sslcore_swav.conformance.entropy import CLUSTER_ENTROPY
from sslcore_swav.conformance.swapped import SWAV

__all__ = ["CLUSTER_ENTROPY", "SWAV"]
