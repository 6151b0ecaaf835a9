"""The conformance of losses: families, properties, broken variants."""

from sslcore.testing.losses import nt_xent  # noqa: F401
