"""`python -m sslcore`, as torchrun calls it."""

from sslcore.cli import main

main()
