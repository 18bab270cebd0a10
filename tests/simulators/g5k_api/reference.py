"""What is told about the site: clusters, nodes, who uses them."""

from __future__ import annotations

import typing as t
import zlib

from .errors import ApiError
from .jobs import Jobs

Json = dict[str, t.Any]

_VERSION = "0" * 40


class Reference:
    """:param jobs: whose resources the site has"""

    def __init__(self, site: str, jobs: Jobs) -> None:
        self._site = site
        self._jobs = jobs
        self._clusters: dict[str, list[str]] = {}
        for row in jobs.resources:
            names = self._clusters.setdefault(row["cluster"], [])
            if row["network_address"] not in names:
                names.append(row["network_address"])

    def site(self) -> Json:
        """The site."""
        words = {"description": "", "location": self._site.capitalize(), "name": self._site.capitalize()}
        return {**words, "type": "site", "uid": self._site, "version": _VERSION, "frontend_ip": "127.0.0.1"}

    def clusters(self) -> list[Json]:
        """All clusters."""
        return [self.cluster(name) for name in self._clusters]

    def cluster(self, name: str) -> Json:
        """One of them."""
        if name not in self._clusters:
            raise ApiError(404, f"Cannot find resource /sites/{self._site}/clusters/{name}")
        return {
            "uid": name,
            "type": "cluster",
            "model": "simulated",
            "kavlan": False,
            "queues": ["admin", "default"],
            "exotic": False,
            "nodes_count": len(self._clusters[name]),
            "version": _VERSION,
        }

    def nodes(self, cluster: str) -> list[Json]:
        """Nodes of a cluster."""
        self.cluster(cluster)
        return [self._node(name) for name in self._clusters[cluster]]

    def node(self, cluster: str, name: str) -> Json:
        """One of them."""
        for node in self.nodes(cluster):
            if node["uid"] == name:
                return node
        raise ApiError(404, f"Cannot find resource /sites/{self._site}/clusters/{cluster}/nodes/{name}")

    def _node(self, name: str) -> Json:
        number = zlib.crc32(name.encode())
        adapter = {
            "device": "eth0",
            "name": "eno1",
            "enabled": True,
            "mounted": True,
            "mountable": True,
            "management": False,
            "interface": "Ethernet",
            "network_address": name,
            "ip": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "mac": ":".join(f"{byte:02x}" for byte in (2, 0, *number.to_bytes(4, "big"))),
        }
        return {
            "uid": name.split(".")[0],
            "type": "node",
            "architecture": {"platform_type": "x86_64", "nb_cores": 2, "nb_procs": 1},
            "network_adapters": [adapter],
            "storage_devices": [{"device": "disk0", "id": "disk0", "interface": "SATA", "size": 480103981056}],
            "supported_job_types": {"deploy": True, "besteffort": True, "queues": ["admin", "default"]},
            "version": _VERSION,
        }

    def status(self) -> Json:
        """Who uses what."""
        now = self._jobs.now()
        holding = [job for job in self._jobs.list() if job.nodes and job.state != "Waiting"]
        nodes = {}
        for names in self._clusters.values():
            for name in names:
                jobs = [job for job in holding if name in job.nodes and job.state not in ("Terminated", "Error")]
                cores = sum(row["network_address"] == name for row in self._jobs.resources)
                nodes[name] = {
                    "hard": "alive",
                    "soft": "busy" if jobs else "free",
                    "free_slots": 0 if jobs else cores,
                    "freeable_slots": 0,
                    "busy_slots": cores if jobs else 0,
                    "reservations": [self._jobs.about(job) for job in jobs],
                }
        return {"uid": int(now), "nodes": nodes, "disks": {}}
