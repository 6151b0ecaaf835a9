"""The version of sslcore, in its one place."""

__version__ = "0.1.0"
