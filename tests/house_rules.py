"""The house rules as functions: each takes a repository's root and yields what breaks the rule."""

from __future__ import annotations

import ast
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

SOURCE_LINES = 300
TEST_LINES = 400

FORBIDDEN_MODULES = frozenset(
    {
        "utils",
        "helpers",
        "common",
        "misc",
        "schemas",
        "services",
        "repositories",
        "base",
    }
)

#: The column "never call it" of the glossary, as far as it can be told from a name alone ("lock"
#: cannot: SQLite's file lock is one).
NEVER_NAMES = frozenset(
    re.findall(
        r"\w+",
        """notification event alert route subject destination provider integration driver backend
        notifier job task try execution publish ingest broker scheduler enqueue notify process
        handle reserve user producer""",
    )
)
#: Of these, the ones that may not even be part of a class's name.
NEVER_PARTS = frozenset({"notification", "alert", "destination", "integration", "notifier", "job"})

#: Libraries that one file alone may import.
SINGLE_HOMES = {
    "celery": "almenara/queues/celery.py",
    "jwt": "almenara/auth/jose.py",
    "opentelemetry": "almenara/tracing/otlp.py",
    "prometheus_client": "almenara/figures/writing.py",
}

_LOG_TABLES = "message|delivery|attempt"
_WRITERS_OF_THE_LOG = ("almenara/deliveries", "almenara/ledger", "almenara/migrations")
_WRITERS_OF_STATUS = ("almenara/deliveries", "almenara/migrations")
_DIRECTIVE = re.compile(r"#\s*(type:\s*ignore|(?:ruff:\s*)?noqa)\b(\s*\[[\w, -]+\]|:\s*[A-Z]+\d+)?")
_CODES = re.compile(r"type:\s*ignore\s*\[[^]]*\]|(?:ruff:\s*)?noqa:\s*(?:[A-Z]+\d+[,\s]*)+")


def repository_files(root: Path) -> list[Path]:
    """Every file that is tracked or could be: what git does not ignore."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        paths = [root / name for name in output.split("\0") if name]
    else:
        paths = [
            path
            for path in root.rglob("*")
            if not any(part.startswith(".") for part in path.relative_to(root).parts[:-1])
        ]
    return sorted(path for path in paths if path.is_file())


def python_files(root: Path, under: str = "") -> list[Path]:
    """The Python files, those that are broken on purpose left out."""
    return [
        path
        for path in repository_files(root)
        if path.suffix == ".py"
        and _name(root, path).startswith(under)
        and not _name(root, path).startswith("tests/broken_plugins/")
    ]


def long_files(root: Path) -> Iterator[str]:
    """A source file has at most 300 lines, a test file 400."""
    for path in python_files(root):
        limit = TEST_LINES if _name(root, path).startswith("tests/") else SOURCE_LINES
        count = len(path.read_text(encoding="utf-8").splitlines())
        if count > limit:
            yield f"{_name(root, path)}: {count} lines; {limit} are allowed: split it by its ideas"


def forbidden_modules(root: Path) -> Iterator[str]:
    """No module has a name that says nothing; ``base`` only beside a contract's implementations."""
    for path in python_files(root):
        name = _name(root, path)
        for part in (*Path(name).parts[:-1], path.stem):
            if part in FORBIDDEN_MODULES and name != "almenara/queues/base.py":
                yield f"{name}: {part!r} says nothing: name it after what it holds"


def missing_captions(root: Path) -> Iterator[str]:
    """Modules, public classes and public functions have docstrings that start with a sentence."""
    for path in python_files(root, "almenara/"):
        tree = _parse(path)
        nodes: list[tuple[str, ast.AST]] = [("the module", tree), *_public(tree)]
        for name, node in nodes:
            docstring = ast.get_docstring(node)  # type: ignore[arg-type]  # all can have one
            problem = _caption_problem(docstring)
            if problem:
                yield f"{_at(root, path, node)}: {name} {problem}"


def stray_libraries(root: Path) -> Iterator[str]:
    """Celery, OpenTelemetry, and the libraries for JWT and metrics: each is known to one file."""
    for path in python_files(root, "almenara/"):
        for node, module in _imports(_parse(path)):
            home = SINGLE_HOMES.get(module.split(".")[0])
            if home is not None and home != _name(root, path):
                yield f"{_at(root, path, node)}: {module} is imported only in {home}"


def plugins_reaching_inside(root: Path) -> Iterator[str]:
    """A shipped plugin imports the public names of ``almenara`` and nothing else of it."""
    for path in python_files(root, "almenara/plugins/"):
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.Import):
                bad = [item.name for item in node.names if item.name.split(".")[0] == "almenara"]
            elif isinstance(node, ast.ImportFrom):
                bad = _reaches_inside(node)
            else:
                continue
            for name in bad:
                yield f"{_at(root, path, node)}: {name} is not a public name of almenara"


def oracles_that_know_the_product(root: Path) -> Iterator[str]:
    """Nothing of the breaking bench imports ``almenara``, but the launchers that break it."""
    for path in python_files(root, "bench/chaos/"):
        if path.name.endswith("_launcher.py"):
            continue
        for node, module in _imports(_parse(path)):
            if module.split(".")[0] in {"almenara", "tests"} or module.endswith("_launcher"):
                yield f"{_at(root, path, node)}: an oracle that imports {module} proves nothing"


def middleware_that_costs(root: Path) -> Iterator[str]:
    """Only plain ASGI middleware: Starlette's other kind costs four times the whole route."""
    for path in python_files(root, "almenara/"):
        for node in ast.walk(_parse(path)):
            named = (
                (isinstance(node, ast.Name) and node.id == "BaseHTTPMiddleware")
                or (isinstance(node, ast.Attribute) and node.attr == "BaseHTTPMiddleware")
                or (isinstance(node, ast.alias) and node.name == "BaseHTTPMiddleware")
            )
            called = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "middleware"
            )
            if named or called:
                yield f"{_at(root, path, node)}: write a plain ASGI middleware"


def bare_exemptions(root: Path) -> Iterator[str]:
    """A ``type: ignore`` or ``noqa`` carries its code and, after it, its reason."""
    for path in python_files(root):
        text = path.read_text(encoding="utf-8")
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type != tokenize.COMMENT:
                continue
            found = list(_DIRECTIVE.finditer(token.string))
            if not found:
                continue
            where = f"{_name(root, path)}:{token.start[0]}"
            if any(match[2] is None for match in found):
                yield f"{where}: the exemption has no code"
            elif not re.search(r"[A-Za-z]{3}", _CODES.sub(" ", token.string)):
                yield f"{where}: the exemption has no reason"


def forbidden_words(root: Path) -> Iterator[str]:
    """No module or public class has a name from the glossary's column "never call it"."""
    for path in python_files(root, "almenara/"):
        if _singular(path.stem.lower()) in NEVER_NAMES:
            yield f"{_name(root, path)}: the glossary has another word for {path.stem!r}"
        for node in ast.walk(_parse(path)):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                parts = {_singular(part.lower()) for part in re.findall("[A-Z][a-z]+", node.name)}
                if _singular(node.name.lower()) in NEVER_NAMES or parts & NEVER_PARTS:
                    yield f"{_at(root, path, node)}: the glossary has another word for {node.name}"


def stray_writes(root: Path) -> Iterator[str]:
    """Only ``deliveries`` and ``ledger`` write the log's tables, only ``deliveries`` a status."""
    write = re.compile(
        rf'\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+"?({_LOG_TABLES})\b', re.IGNORECASE
    )
    status = re.compile(
        rf'\bUPDATE\s+"?({_LOG_TABLES})\b"?\s+SET\b(?:(?!\bWHERE\b).)*\bstatus\s*=',
        re.IGNORECASE | re.DOTALL,
    )
    for path in python_files(root, "almenara/"):
        name = _name(root, path)
        found = {}  # by place: an f-string and its parts are one finding
        for node in ast.walk(_parse(path)):
            text, place = _text(node), _at(root, path, node)
            if not name.startswith(_WRITERS_OF_THE_LOG) and (
                write.search(text) or _writes_by_call(node)
            ):
                found[place] = "only ledger and deliveries write the log"
            elif not name.startswith(_WRITERS_OF_STATUS) and (
                status.search(text) or _sets_status(node)
            ):
                found[place] = "only deliveries writes a status"
        yield from (f"{place}: {what}" for place, what in found.items())


def addresses_in_locks(root: Path) -> Iterator[str]:
    """A lock file pins with hashes and holds no address; those that cannot are not kept."""
    for path in repository_files(root):
        name = _name(root, path)
        if path.name in {"uv.lock", "pylock.toml", "poetry.lock"}:
            yield f"{name}: holds the address of the registry it was made from"
        elif re.fullmatch(r"requirements.*\.txt|.*\.lock|package-lock\.json", path.name):
            text = path.read_text(encoding="utf-8")
            if "://" in text:
                yield f"{name}: holds an address"
            pins = re.findall(r"^[\w.\[\]-]+==.*\n(?!\s+--hash=sha256:)", text, re.MULTILINE)
            if path.suffix == ".txt" and pins:
                yield f"{name}: pins without a hash"


def machine_paths(root: Path) -> Iterator[str]:
    """No file names a path of the machine that it was written on."""
    paths = re.compile(r"(?<![\w.$}-])/(root|work)/")
    for path in repository_files(root):
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, start=1):
            if paths.search(line):
                yield f"{_name(root, path)}:{number}: names a path of somebody's machine"


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _at(root: Path, path: Path, node: ast.AST) -> str:
    return f"{_name(root, path)}:{getattr(node, 'lineno', 1)}"


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        marks = {ast.unparse(mark).split(".")[-1] for mark in node.decorator_list}
        if node.name.startswith("_") or marks & {"overload", "override", "setter"}:
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node)


def _caption_problem(docstring: str | None) -> str | None:
    if not docstring:
        return "has no docstring"
    caption = docstring.splitlines()[0].strip()
    if not caption.endswith((".", "?", "!")):
        return f"has a docstring whose first line is not a whole sentence: {caption!r}"
    if re.search(r"[.?!] +[A-Z]", caption):
        return f"has a docstring whose first line is more than one sentence: {caption!r}"
    return None


def _imports(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, item.name) for item in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node, node.module


def _reaches_inside(node: ast.ImportFrom) -> list[str]:
    from almenara import __all__ as public

    if node.level > 1:
        return ["." * node.level + (node.module or "")]
    if node.level == 1 or node.module is None or node.module.split(".")[0] != "almenara":
        return []
    if node.module != "almenara":
        return [node.module]
    return [f"almenara.{item.name}" for item in node.names if item.name not in public]


def _singular(word: str) -> str:
    return word.removesuffix("s")


def _text(node: ast.AST) -> str:
    """The text of a string, of an f-string with its gaps as ``{}``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
        )
    return ""


def _writes_by_call(node: ast.AST) -> bool:
    """Tell ``Delivery.filter(...).update(...)`` and ``transaction.insert("delivery", ...)``."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    if node.func.attr == "insert":
        return bool(node.args) and bool(re.fullmatch(_LOG_TABLES, _text(node.args[0])))
    if node.func.attr not in {"create", "bulk_create", "get_or_create", "update", "delete"}:
        return False
    start: ast.AST = node.func.value
    while isinstance(start, ast.Call | ast.Attribute):
        start = start.func if isinstance(start, ast.Call) else start.value
    return isinstance(start, ast.Name) and start.id in {"Delivery", "Attempt", "Message"}


def _sets_status(node: ast.AST) -> bool:
    """Tell ``delivery.status = ...``, but not an object that keeps a status of its own."""
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Attribute)
        and target.attr == "status"
        and not (isinstance(target.value, ast.Name) and target.value.id == "self")
        for target in node.targets
    )
