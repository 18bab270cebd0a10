"""A stand-in for Kadeploy 3; see README.md."""

__version__ = "1.0.0"
