"""Hosts on this machine: network namespaces on one bridge, whose links can be cut.

Packets of a host whose link is down are dropped, and nobody is told: a real partition.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import suppress

from bench.chaos.scenario import CannotRun

#: For nothing but benchmarks (RFC 2544), so it is nobody's.
_SUBNET = "198.18.77"
#: Where the machine itself stands on the bridge, and everything on it that hosts may reach.
MACHINE = f"{_SUBNET}.1"
NETWORK = f"{_SUBNET}.0/24"


class Network:
    """A bridge and its hosts.

    Raises:
        CannotRun: this process may make none.
    """

    def __init__(self) -> None:
        if shutil.which("ip") is None or os.geteuid() != 0:
            raise CannotRun("network namespaces need root and iproute2")
        self._tag = secrets.token_hex(3)
        self._bridge = f"alm{self._tag}"
        self._hosts: list[str] = []
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "add", f"{MACHINE}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
        except subprocess.CalledProcessError as error:
            self.close()
            raise CannotRun(f"no bridge can be made here: {error.stderr.strip()}") from error

    def host(self) -> str:
        """Make a host, and return its name."""
        number = len(self._hosts) + 1
        name = f"alm{self._tag}h{number}"
        self._hosts.append(name)
        near, far = self._link(name), f"{name}f"
        _ip("netns", "add", name)
        _ip("link", "add", near, "type", "veth", "peer", "name", far)
        _ip("link", "set", near, "master", self._bridge, "up")
        _ip("link", "set", far, "netns", name)
        inside = ("-n", name)
        _ip(*inside, "addr", "add", f"{_SUBNET}.{10 + number}/24", "dev", far)
        _ip(*inside, "link", "set", far, "up")
        _ip(*inside, "link", "set", "lo", "up")
        return name

    def cut(self, host: str) -> None:
        """Let no packet through from or to a host."""
        _ip("link", "set", self._link(host), "down")

    def mend(self, host: str) -> None:
        """Let packets through again."""
        _ip("link", "set", self._link(host), "up")

    def close(self) -> None:
        """Take it all away."""
        for host in self._hosts:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", host)
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._bridge)

    def _link(self, host: str) -> str:
        return f"{host}n"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)
