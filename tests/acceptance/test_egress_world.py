"""The whole table by every HTTP channel, where each address that is let through would be heard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.egress_table import ODD_FORMS, PERMITTED, REFUSED
from tests.egress_world import CHANNELS, NAMES, PUBLIC_NAMES

ROOT = Path(__file__).parent.parent.parent


def test_no_channel_reaches_an_address_that_is_not_public() -> None:
    if os.geteuid() or not all(shutil.which(one) for one in ("unshare", "ip")):
        pytest.skip("A network namespace of its own needs root, unshare and iproute2.")
    command = ["unshare", "--net", "--mount", "--fork"]
    if subprocess.run([*command, "ip", "link", "set", "lo", "up"], check=False).returncode:
        pytest.skip("This machine makes no network namespace.")
    done = subprocess.run(
        [*command, sys.executable, "-m", "tests.egress_world"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found = json.loads(done.stdout)
    assert {what: who for what, who in found["refused"].items() if who} == {}
    # Who is let through is heard, so nobody was merely not heard.
    assert {what for what, who in found["permitted"].items() if not who} == set()
    hosts = len(REFUSED) + len(ODD_FORMS) + len(NAMES)
    assert len(found["refused"]) >= hosts * len(CHANNELS) > 250
    assert len(found["permitted"]) == (len(PERMITTED) + len(PUBLIC_NAMES) + 1) * len(CHANNELS)
