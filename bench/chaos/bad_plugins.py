"""The plugins that do harm, as files that a scenario writes into the product's plugin directory.

Each is a directory with one class. What they do is done to the process that calls them.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

#: Class name: what its `send_message` does. ``async`` ones run on the event loop.
_BODIES: dict[str, str] = {
    "Raises": 'raise RuntimeError("the line is dead")',
    "RaisesAll": 'raise BaseException("no Exception at all")',
    "RaisesUnprintable": """
        class Unprintable(Exception):
            def __str__(self):
                raise RuntimeError("this error cannot be printed")
        raise Unprintable
    """,
    "Exits": "import sys; sys.exit(3)",
    "ExitsAtOnce": "import os; os._exit(3)",
    "Segfaults": "import ctypes; ctypes.string_at(0)",
    "HoldsTheLock": "import ctypes; ctypes.PyDLL(None).usleep({hold} * 1_000_000)",
    "HangsForEver": "import ctypes; ctypes.PyDLL(None).sleep(3600)",
    "Spins": """
        import time
        end = time.monotonic() + {hold}
        while time.monotonic() < end:
            pass
    """,
    "Oversleeps": "import time; time.sleep({hold})",
    "Leaks": "LEAKED.append(bytearray({leak}))",
    "LogsMuch": 'import logging; logging.getLogger("bad").error("x" * {line})',
    "PrintsMuch": 'print("x" * {line})',
    "ChangesDirectory": 'import os; os.chdir("/")',
    "ReturnsAnything": "return object()",
    "ReturnsMuch": 'return "x" * 5_000_000',
    "ReturnsALiar": """
        class Liar:
            @property
            def __class__(self):
                raise RuntimeError("nobody may ask what this is")
        return Liar()
    """,
    "ReturnsABadReceipt": """
        from almenara import Receipt
        return Receipt.model_construct(reference=123, detail=object())
    """,
    "ClosesFiles": """
        import os
        os.closerange(3, 256)
    """,
}
_ASYNC_BODIES: dict[str, str] = {
    "BlocksTheLoop": "import time; time.sleep({hold})",
    "ChangesSignals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
}
#: Files that cannot be imported, by directory.
_BROKEN: dict[str, str] = {
    "syntax_error": "class Broken(:\n",
    "import_error": "import almenara_no_such_module\n",
    "exits_at_import": "import sys\nsys.exit(3)\n",
    "raises_at_import": 'raise BaseException("not even loaded")\n',
    "no_class": "send_message = None\n",
    "wrong_shape": "class Odd:\n    def send_message(self):\n        return None\n",
    "binary": "\x00\x01\x02\n",
}


def write_plugins(directory: Path, *, hold_seconds: float, leak_bytes: int, line: int) -> None:
    """Write every bad plugin into a plugin directory.

    Args:
        hold_seconds: how long those take that take long.
        leak_bytes: how much memory is never given back, each time.
        line: how many characters the longest line of a log has.
    """
    numbers = {"hold": hold_seconds, "leak": leak_bytes, "line": line}
    for bodies, kind in ((_BODIES, "def"), (_ASYNC_BODIES, "async def")):
        for name, body in bodies.items():
            text = textwrap.indent(textwrap.dedent(body.format(**numbers)).strip(), " " * 8)
            _write(
                directory / name.lower(),
                f'"""Does harm: {name}."""\n\nLEAKED = []\n\n\nclass {name}:\n'
                f"    {kind} send_message(self, message, background_tasks):\n{text}\n",
            )
    for name, text in _BROKEN.items():
        _write(directory / name, text)


def broken_directories() -> list[str]:
    """Return the directories whose plugin cannot be used."""
    return sorted(_BROKEN)


def _write(directory: Path, text: str) -> None:
    directory.mkdir(parents=True)
    (directory / "bad.py").write_text(text, encoding="utf-8")
