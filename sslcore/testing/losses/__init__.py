"""The conformance of losses: families, properties, broken variants."""

from sslcore.testing.losses import (  # noqa: F401
    barlow_twins,
    byol,
    classification,
    cpc,
    custom,
    dino,
    infonce,
    masked_reconstruction,
    nt_xent,
    predictive_coding,
    reconstruction,
    vicreg,
)
