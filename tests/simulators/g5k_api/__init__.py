"""A stand-in for the API of Grid'5000; see README.md."""

__version__ = "1.0.0"
