"""The whole of it works where nothing but one directory may be written, and by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.smoke import shut_in


@pytest.mark.unmeasured
def test_it_works_as_nobody_with_one_writable_directory(open_directory: Path) -> None:
    reason = shut_in.refusal()
    if reason:
        pytest.skip(f"nothing can be shut in here: {reason}")
    finished = shut_in.run(open_directory)
    assert finished.returncode == 0, finished.stdout
    steps = [line for line in finished.stdout.splitlines() if line.startswith("ok: ")]
    assert len(steps) == 7, finished.stdout


def test_what_is_not_in_a_namespace_of_its_own_mounts_nothing(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    with pytest.raises(AssertionError, match="nothing is mounted"):
        shut_in.main([shut_in._namespace(), str(tmp_path)])
    assert Path("/proc/self/mountinfo").read_text() == mounts
