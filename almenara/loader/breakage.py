"""Says in one sentence why a plugin is broken and what to do about it."""

from __future__ import annotations

import hashlib
import shlex
import traceback
from datetime import datetime
from pathlib import Path

from almenara.loader.found import BrokenPlugin
from almenara.loader.importing import ROOT
from almenara.news import News, SystemTopic

_LONGEST_REASON = 500
_LONGEST_TRACEBACK = 8_000


def news_of(broken: BrokenPlugin, at: datetime) -> News:
    """Return the news of a breakage; the same file broken in the same way is told once."""
    try:
        # Not a pipe: reading one would wait for ever.
        content = broken.file.read_bytes() if broken.file.is_file() else b""
    except OSError:
        content = b""
    digest = hashlib.sha256(content + f"{broken.file}\0{broken.reason}".encode()).hexdigest()
    name = broken.qualified_name or broken.directory
    return News(
        topic=SystemTopic.PLUGIN_BROKEN,
        at=at,
        title=f"Plugin broken: {name}",
        text=f"{broken.file} cannot be used. {broken.reason}",
        data={
            "plugin": broken.qualified_name,
            "directory": broken.directory,
            "file": str(broken.file),
            "reason": broken.reason,
        },
        key=f"plugin-broken {digest}",
    )


def error_text(error: BaseException) -> str:
    """Return the type and the first line of an error; safe with errors that cannot be printed."""
    last = traceback.format_exception_only(error)[-1 if isinstance(error, SyntaxError) else 0]
    return last.strip().split("\n", maxsplit=1)[0][:_LONGEST_REASON]


def import_reason(error: BaseException, file: Path) -> str:
    """Say why a file could not be imported."""
    if isinstance(error, SyntaxError):
        return _syntax_reason(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_module_reason(error.name, file.parent)
    if isinstance(error, SystemExit):
        return (
            "The file ends the process while it is imported (SystemExit): "
            'take the call of sys.exit out of it, or put it under `if __name__ == "__main__"`.'
        )
    if isinstance(error, OSError) and str(error.filename) == str(file):
        return f"The file cannot be read ({error.strerror}): correct it, or take it away."
    return f"The import raised {error_text(error)}; correct the file."


def import_traceback(error: BaseException, directory: Path) -> str:
    """Return the traceback from the plugin's first frame on; the loader's frames tell nothing."""
    frames = error.__traceback__
    while frames and Path(frames.tb_frame.f_code.co_filename).parent != directory:
        frames = frames.tb_next
    lines = traceback.format_exception(type(error), error, frames)
    return "".join(lines)[-_LONGEST_TRACEBACK:]


def late_reason(seconds: float) -> str:
    """Say that an import did not end."""
    return (
        f"The import did not end within {seconds:g} s: a file must not wait or work while it is "
        "imported; do that in send_message."
    )


def no_class_reason(directory: Path) -> str:
    """Say that a directory holds no plugin."""
    return (
        f"There is no class with send_message in {directory.name}/*.py (files named _*, .* or "
        "test_* are not searched): write one, or take the directory away."
    )


def loose_file_reason(file: Path) -> str:
    """Say that a file stands beside the directories instead of in one."""
    return (
        "A plugin stands in a directory of its own: "
        f"move {file.name} to {file.parent.name}/{file.stem}/{file.name}."
    )


def loose_rights_reason(path: Path, reason: str) -> str:
    """Say that others can change what would run."""
    return f"{path} is not safe to run (ALMENARA_STRICT): {reason}"


def empty_package_reason(entry_point: str) -> str:
    """Say that what an installed package announces is no plugin."""
    return (
        f"The entry point {entry_point} names neither a class with send_message nor a module "
        "that defines one: correct or uninstall the package."
    )


def shape_reason(name: str) -> str:
    """Say that ``send_message`` cannot be called as the contract has it."""
    return (
        f"{name}.send_message cannot be called with two arguments: write it as "
        "`def send_message(self, message, background_tasks)`, with or without async."
    )


def settings_reason(name: str) -> str:
    """Say that the nested ``Settings`` is of a kind that would not be read."""
    return (
        f"{name}.Settings would not be read: let it inherit from almenara.PluginSettings "
        "(or give it another name, if the class reads it itself)."
    )


def twins_reason(name: str, files: list[Path]) -> str:
    """Say that one directory has two classes of one name."""
    places = " and in ".join(str(file) for file in files)
    return f"There are two classes named {name}, in {places}: rename one of them."


def taken_reason(qualified_name: str, file: Path) -> str:
    """Say that an installed package brings a plugin whose name is in use."""
    return f"The name {qualified_name} belongs to {file}: uninstall one of the two packages."


def _syntax_reason(error: SyntaxError) -> str:
    file = Path(error.filename).name if error.filename else "The file"
    return f"{file}, line {error.lineno}: {error.msg}; correct this line."


def _missing_module_reason(module: str, directory: Path) -> str:
    if module.startswith(f"{ROOT}."):
        wanted = module.split(".", maxsplit=2)[-1]
        return f"The file imports .{wanted}, but there is no {wanted}.py in {directory.name}."
    if (directory / "requirements.txt").is_file():
        command = f"almenara plugins install {shlex.quote(directory.name)}"
        return f"The module {module} is not installed: run `{command}`."
    package = module.partition(".")[0]
    return (
        f"The module {module} is not installed: install the package that brings it into the "
        f"environment that runs Almenara (often `pip install {package}`)."
    )
