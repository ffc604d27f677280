"""What many commands have in common."""

from __future__ import annotations

from typing import Annotated, Final

import typer

#: What every command has in common.
CONTEXT: Final = {"help_option_names": ["-h", "--help"]}

#: The variable that a shell sets when it completes what somebody types.
COMPLETING: Final = "_ALMENARA_COMPLETE"

AsJson = Annotated[bool, typer.Option("--json", help="Write the server's JSON, for machines.")]
