"""AWX as far as the modules of awx.awx go, by the recorded answers of a real one."""

__version__ = "1.0.0"
