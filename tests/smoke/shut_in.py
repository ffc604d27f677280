"""Runs the journey where it may do next to nothing: `make smoke`.

In a mount namespace of its own everything is read-only but one directory; there it becomes nobody,
without capabilities and without a way to new ones, as in a container or under systemd. It needs
root to make that, and Linux.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
NOBODY = 65534
#: What is no file: it may stay as it is.
_NO_FILES = ("/proc", "/sys", "/dev")
_RESTRICTED = (
    "setpriv",
    "--no-new-privs",
    "--bounding-set=-all",
    "--inh-caps=-all",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
)
_NAMESPACE = ("unshare", "--mount", "--propagation=private")


def refusal() -> str | None:
    """Say why this machine does not shut anything in, where that is so."""
    if os.geteuid() != 0:
        return "only root can make its root read-only"
    for command in ((*_NAMESPACE, "mount", "--bind", "/", "/mnt"), (*_RESTRICTED, "true")):
        try:
            tried = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return f"there is no {command[0]} here"
        if tried.returncode:
            return f"the kernel refuses it: {tried.stderr.strip()}"
    return None


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the journey shut in, with one directory to write in."""
    os.chown(directory, NOBODY, NOBODY)
    environ = {name: one for name, one in os.environ.items() if not name.startswith("ALMENARA_")}
    return subprocess.run(
        [*_NAMESPACE, sys.executable, "-m", "tests.smoke.shut_in", _namespace(), str(directory)],
        cwd=ROOT,
        env=environ | {"PYTHONPATH": str(ROOT), "HOME": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )


def _namespace() -> str:
    return str(Path("/proc/self/ns/mnt").readlink())


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def _open_the_way(place: Path) -> None:
    """Let nobody come to a place below a directory that is closed, and to nothing else there."""
    closed = next((one for one in reversed(place.parents) if not one.stat().st_mode & 0o001), None)
    if closed is None:
        return
    with tempfile.TemporaryDirectory() as name:
        _mount("--bind", place, name)
        _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", closed)
        place.mkdir(parents=True)
        _mount("--move", name, place)


def _close_the_rest(directory: Path) -> None:
    """Make every mount read-only, but the one of the directory."""
    _mount("--bind", directory, directory)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    for place in dict.fromkeys(line.split()[4] for line in mounts):
        if place.startswith(_NO_FILES) or place == str(directory):
            continue
        _mount("-o", "remount,bind,ro", place)


def _be_nobody(directory: Path) -> None:
    """Prove that it is shut in, and go on as the journey."""
    restricted = Path("/proc/self/status").read_text()
    assert "NoNewPrivs:\t1\n" in restricted, restricted
    assert "CapBnd:\t0000000000000000\n" in restricted, restricted
    assert os.geteuid() == NOBODY
    for place in (ROOT, Path("/tmp"), Path("/var/tmp"), Path.home().parent):
        assert not os.access(place, os.W_OK), f"{place} can be written"
    print("ok: nothing can be written but one directory", flush=True)
    arguments = [sys.executable, "-m", "tests.smoke.journey", str(directory)]
    os.execv(sys.executable, arguments)


def main(arguments: list[str]) -> int:
    """Shut in what is started by :func:`run`; without arguments, be what starts it."""
    if not arguments:
        reason = refusal()
        if reason:
            print(f"skipped: {reason}", file=sys.stderr)
            return 1
        with tempfile.TemporaryDirectory(prefix="almenara-smoke-") as name:
            finished = run(Path(name))
            print(finished.stdout, end="")
            return finished.returncode
    before, directory = arguments[0], Path(arguments[1])
    if before == "nobody":
        _be_nobody(directory)
    assert _namespace() != before, "not in a namespace of its own: nothing is mounted"
    for place in (Path(sys.base_prefix), ROOT):
        _open_the_way(place)
    _close_the_rest(directory)
    os.chdir(directory)
    again = [sys.executable, "-m", "tests.smoke.shut_in", "nobody", str(directory)]
    os.execvp(_RESTRICTED[0], [*_RESTRICTED, *again])  # the journey's own exit code comes back
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
