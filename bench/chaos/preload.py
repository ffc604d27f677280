"""Small libraries in C that stand before the system's own in a process of the product."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from bench.chaos.scenario import CannotRun


def preload(source: str, directory: Path) -> dict[str, str]:
    """Compile a file of this directory; return what a process needs in its environment to have it.

    Raises:
        CannotRun: it cannot be compiled here.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise CannotRun(f"no C compiler is installed, which {source} needs")
    file = Path(__file__).with_name(source)
    library = directory / file.with_suffix(".so").name
    command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(file), "-ldl"]
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    if finished.returncode:
        raise CannotRun(f"{source} cannot be compiled: {finished.stderr[:200]}")
    return {"LD_PRELOAD": str(library)}
