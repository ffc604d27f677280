"""PostgreSQL for both sides: a server of the bench's own that is set up as it is installed."""

from __future__ import annotations

import subprocess

from bench.chaos.postgres import Cluster


class DefaultCluster(Cluster):
    """A server with PostgreSQL's own defaults, durability included."""

    def _spawned(self) -> subprocess.Popen[bytes]:
        command = [str(self._programs / "postgres"), "-D", str(self._directory)]
        command += ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        command += ["-c", "unix_socket_directories="]
        # To ask it how long claims take.
        command += ["-c", "shared_preload_libraries=pg_stat_statements"]
        with self._output.open("ab") as file:
            return subprocess.Popen(
                command, stdout=file, stderr=file, cwd="/", start_new_session=True, **self._as_user
            )
