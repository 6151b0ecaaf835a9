"""The families of the losses of JEPAs, for the conformance kit; they need `sslcore[test]`."""

from __future__ import annotations

from sslcore_jepa.conformance.latent import LATENT
from sslcore_jepa.conformance.lejepa import LEJEPA

__all__ = ["LATENT", "LEJEPA"]
