"""The settings: where each comes from, and that every mistake is told at once, without secrets."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from almenara.errors import ConfigurationError
from almenara.settings import Settings, read_settings

KEY = base64.b64encode(b"k" * 32).decode()

#: One value for every setting, and what it becomes.
GIVEN: dict[str, tuple[str, object]] = {
    "database_connections": ("30", 30),
    "broker_url": ("amqp://me:hush@mq:5672/", SecretStr("amqp://me:hush@mq:5672/")),
    "database_url": (
        "postgres://me:hush@db:5432/almenara",
        SecretStr("postgres://me:hush@db:5432/almenara"),
    ),
    "data_dir": ("/var/lib/almenara", Path("/var/lib/almenara")),
    "plugins_dir": ("/etc/almenara/plugins", Path("/etc/almenara/plugins")),
    "host": ("::1", "::1"),
    "port": ("8123", 8123),
    "workers": ("1", 1),
    "secret_key": (KEY, SecretStr(KEY)),
    "secret_keys_old": (KEY, SecretStr(KEY)),
    "secrets_dir": ("/run/secrets", Path("/run/secrets")),
    "strict": ("1", True),
    "jwt_issuer": ("https://id.example.org", "https://id.example.org"),
    "jwt_audience": ("notify", "notify"),
    "jwt_jwks_url": ("https://id.example.org/jwks", "https://id.example.org/jwks"),
    "jwt_public_key": ("-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----"),
    "jwt_secret": ("s" * 40, SecretStr("s" * 40)),
    "jwt_max_age_seconds": ("3600", 3600),
    "auth_file": ("/etc/almenara/auth.toml", Path("/etc/almenara/auth.toml")),
    "allowed_hosts": ("push.example.org, *.test", ("push.example.org", "*.test")),
    "cors_origins": ("https://shop.example.org", ("https://shop.example.org",)),
    "sender_rate": ("600/m", "600/m"),
    "console": ("off", False),
    "console_oidc_issuer": ("https://id.example.org/shop", "https://id.example.org/shop"),
    "console_client_id": ("almenara-console", "almenara-console"),
    "console_scope": ("openid messages:read", "openid messages:read"),
    "egress_allow": ("10.1.0.0/16, 127.0.0.0/8,", ("10.1.0.0/16", "127.0.0.0/8")),
    "max_body_bytes": ("65536", 65536),
    "sends": ("8", 8),
    "metrics_port": ("9464", 9464),
    "traces": ("on", "on"),
    "drain_seconds": ("2.5", 2.5),
    "retention_days": ("30", 30),
    "audit_days": ("30", 30),
    "log_format": ("json", "json"),
    "log_level": ("debug", "debug"),
}

#: What a setting is refused without.
NEEDED = {
    "broker_url": {"ALMENARA_DATABASE_URL": "postgres://me@db/almenara"},
    "console_oidc_issuer": {"ALMENARA_CONSOLE_CLIENT_ID": "me"},
    "console_client_id": {"ALMENARA_CONSOLE_OIDC_ISSUER": "https://id.example.org"},
    "jwt_issuer": {"ALMENARA_JWT_SECRET": "s" * 40},
    "jwt_jwks_url": {"ALMENARA_JWT_ISSUER": "me"},
    "jwt_public_key": {"ALMENARA_JWT_ISSUER": "me"},
    "jwt_secret": {"ALMENARA_JWT_ISSUER": "me"},
}


def _mistakes(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read_settings(environ)
    first, *lines = caught.value.message.splitlines()
    assert first == "The settings cannot be used:"
    return [line.strip() for line in lines]


def test_every_setting_is_tried_here_and_described() -> None:
    assert set(GIVEN) == set(Settings.model_fields)
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize("name", GIVEN)
def test_a_setting_comes_from_the_environment(name: str) -> None:
    text, value = GIVEN[name]
    environ = NEEDED.get(name, {}) | {f"ALMENARA_{name.upper()}": text}
    assert getattr(read_settings(environ), name) == value


@pytest.mark.parametrize("name", GIVEN)
def test_a_setting_comes_from_the_file_that_the_environment_names(
    name: str, tmp_path: Path
) -> None:
    text, value = GIVEN[name]
    path = tmp_path / name
    path.write_text(text + "\n")
    environ = NEEDED.get(name, {}) | {f"ALMENARA_{name.upper()}_FILE": str(path)}
    assert getattr(read_settings(environ), name) == value


def test_several_processes_need_postgresql() -> None:
    [mistake] = _mistakes({"ALMENARA_WORKERS": "2"})
    assert mistake.startswith("ALMENARA_WORKERS: SQLite is served by one process")
    assert "use PostgreSQL" in mistake
    [mistake] = _mistakes({"ALMENARA_WORKERS": "2", "ALMENARA_DATABASE_URL": "mysql://x"})
    assert mistake.startswith("ALMENARA_DATABASE_URL")
    url = "postgres://me@db/almenara"
    assert read_settings({"ALMENARA_DATABASE_URL": url}, workers=3).workers == 3


def test_workers_on_a_broker_need_postgresql() -> None:
    [mistake] = _mistakes({"ALMENARA_BROKER_URL": "amqp://mq"})
    assert mistake.startswith("ALMENARA_BROKER_URL: workers on other machines cannot share SQLite")
    [mistake] = _mistakes(NEEDED["broker_url"] | {"ALMENARA_BROKER_URL": "redis://:hush@mq"})
    assert mistake == "ALMENARA_BROKER_URL: must start with amqp:// or amqps://"


def test_without_anything_it_is_sqlite_on_loopback() -> None:
    settings = read_settings({})
    assert settings == Settings()
    assert settings.uses_sqlite
    assert settings.database_file == Path("data/almenara.sqlite3")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.egress_allow == ()


def test_the_processs_own_environment_is_the_usual_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALMENARA_PORT", "8124")
    assert read_settings().port == 8124


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_database_url_means_postgresql(scheme: str) -> None:
    assert not read_settings({"ALMENARA_DATABASE_URL": f"{scheme}://db/x"}).uses_sqlite


def test_the_value_itself_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "port"
    path.write_text("1")
    environ = {"ALMENARA_PORT": "2", "ALMENARA_PORT_FILE": str(path)}
    assert read_settings(environ).port == 2


def test_the_command_line_wins_and_none_means_not_given() -> None:
    settings = read_settings({"ALMENARA_PORT": "1", "ALMENARA_HOST": "::1"}, port=2, host=None)
    assert (settings.host, settings.port) == ("::1", 2)


def test_networks_may_be_given_as_a_list_by_the_program_itself() -> None:
    settings = read_settings({}, egress_allow=("10.0.0.0/8",))
    assert settings.egress_allow == ("10.0.0.0/8",)


def test_an_empty_value_means_not_given() -> None:
    assert read_settings({"ALMENARA_PORT": "", "ALMENARA_SECRET_KEY_FILE": ""}) == Settings()


def test_what_belongs_to_the_client_or_the_tests_is_no_mistake() -> None:
    environ = {
        "ALMENARA_URL": "http://127.0.0.1:8000",
        "ALMENARA_TOKEN": "hush",
        "ALMENARA_TEST_DATABASE_URL": "postgres://db/test",
        "PATH": "/bin",
    }
    assert read_settings(environ) == Settings()


def test_an_unknown_name_is_a_mistake() -> None:
    assert _mistakes({"ALMENARA_PROT": "8000", "ALMENARA_PROT_FILE": "x"}) == [
        "ALMENARA_PROT: there is no such setting",
        "ALMENARA_PROT_FILE: there is no such setting",
    ]


@pytest.mark.parametrize(
    ("content", "kind"),
    [(None, "FileNotFoundError"), (b"\xff\xfe", "UnicodeDecodeError")],
)
def test_a_file_that_cannot_be_read_is_a_mistake(
    content: bytes | None, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    assert _mistakes({"ALMENARA_SECRET_KEY_FILE": str(path)}) == [
        f"ALMENARA_SECRET_KEY_FILE: the file cannot be read ({kind})"
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "eight"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("SENDS", "0"),
        ("MAX_BODY_BYTES", "1023"),
        ("DRAIN_SECONDS", "601"),
        ("DRAIN_SECONDS", "nan"),
        ("LOG_FORMAT", "xml"),
        ("LOG_LEVEL", "INFO!"),
        ("DATABASE_URL", "mysql://me:hush@db/x"),
        ("EGRESS_ALLOW", "10.0.0.0/8,10.1.1.1/16"),
        ("EGRESS_ALLOW", "intranet"),
        ("CONSOLE", "perhaps"),
        ("CONSOLE_OIDC_ISSUER", "id.example.org"),
        ("CONSOLE_OIDC_ISSUER", "http://id.example.org"),
        ("CONSOLE_OIDC_ISSUER", "https://id.example.org; script-src *"),
        ("CONSOLE_OIDC_ISSUER", "https://id.example.org/?x"),
        ("CONSOLE_OIDC_ISSUER", "https://me:hush@id.example.org"),
    ],
)
def test_a_bad_value_is_a_mistake_that_names_its_variable(name: str, text: str) -> None:
    (line,) = _mistakes({f"ALMENARA_{name}": text})
    assert line.startswith(f"ALMENARA_{name}: ")


@pytest.mark.parametrize("name", ["console_oidc_issuer", "console_client_id"])
def test_where_people_sign_in_and_as_what_belong_together(name: str) -> None:
    [mistake] = _mistakes({f"ALMENARA_{name.upper()}": str(GIVEN[name][1])})
    assert mistake.endswith(
        "ALMENARA_CONSOLE_OIDC_ISSUER and ALMENARA_CONSOLE_CLIENT_ID belong together"
    )


def test_a_bad_network_is_shown_with_an_example_of_a_good_one() -> None:
    (line,) = _mistakes({"ALMENARA_EGRESS_ALLOW": "10.0.0.0/8,10.1.1.1/16"})
    assert "'10.1.1.1/16' is not a network such as 10.1.0.0/16" in line


def test_every_mistake_is_told_at_once() -> None:
    lines = _mistakes(
        {
            "ALMENARA_PORT": "eight",
            "ALMENARA_SENDS": "0",
            "ALMENARA_PROT": "x",
            "ALMENARA_SECRET_KEY_FILE": "/nowhere/at/all",
            "ALMENARA_EGRESS_ALLOW": "intranet",
        }
    )
    assert {line.split(":")[0] for line in lines} == {
        "ALMENARA_PORT",
        "ALMENARA_SENDS",
        "ALMENARA_PROT",
        "ALMENARA_SECRET_KEY_FILE",
        "ALMENARA_EGRESS_ALLOW",
    }


def test_no_secret_stands_in_an_error_nor_in_the_settings_text() -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_settings(
            {
                "ALMENARA_DATABASE_URL": "mysql://me:hush@db/x",
                "ALMENARA_SECRET_KEY": "hush",
                "ALMENARA_PORT": "hush",
            }
        )
    told: BaseException | None = caught.value
    while told is not None:
        assert "hush" not in f"{told} {told!r}"
        told = told.__cause__
    settings = read_settings({"ALMENARA_DATABASE_URL": "postgres://me:hush@db/x"})
    assert "hush" not in f"{settings} {settings!r}"


def test_settings_do_not_change_once_they_were_read() -> None:
    with pytest.raises(ValidationError):
        read_settings({}).port = 1  # type: ignore[misc]  # that it cannot be set is the point
