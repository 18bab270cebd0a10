"""A stand-in for a Proxmox VE 9.2 cluster: the official API schema before a state machine with real disk images."""

__version__ = "1.0.0"
