"""The case of the bot: sales goes to Slack, pricing goes to mail, and the log proves both."""

from __future__ import annotations

import pytest

from almenara.settings import Settings
from almenara.testing import FakeService, SmtpSink
from tests.serving import Client

SECRET_PATH = "T0CANARY/B0CANARY/x0canary0secret"


async def set_up(client: Client, http: FakeService, smtp: SmtpSink) -> None:
    slack = await client.post(
        "/v1/channels",
        {
            "name": "team-slack",
            "plugin": "Slack",
            "settings": {"webhook_url": f"{http.url}/services/{SECRET_PATH}"},
        },
    )
    assert slack.status == 201, slack.text
    mail = await client.post(
        "/v1/channels",
        {
            "name": "backoffice-mail",
            "plugin": "Email",
            "settings": {
                "server": smtp.host,
                "port": smtp.port,
                "from": "bot@example.org",
                "from_name": "The bot",
                "to": ["backoffice@example.org"],
            },
        },
    )
    assert mail.status == 201, mail.text
    for topic, channel in (("sales", "team-slack"), ("pricing", "backoffice-mail")):
        created = await client.post("/v1/topics", {"name": topic, "channel": channel})
        assert created.status == 201, created.text


async def test_sales_reaches_slack_and_pricing_reaches_mail(client: Client) -> None:
    with FakeService() as http, SmtpSink() as smtp:
        await set_up(client, http, smtp)
        sales = await client.post(
            "/v1/messages", {"topic": "Sales", "description": "I need help with my plan"}
        )
        pricing = await client.post(
            "/v1/messages",
            {"topic": "pricing", "title": "A question", "description": "How much is it?"},
        )
        assert (sales.status, pricing.status) == (202, 202)
        sales_story = await client.final(sales.body["id"])
        pricing_story = await client.final(pricing.body["id"])

        [request] = http.received
        assert request.method == "POST"
        assert request.target == f"/services/{SECRET_PATH}"
        assert request.headers["Content-Type"].startswith("application/json")
        assert "I need help with my plan" in request.json()["text"]

        [mail] = smtp.mails
        assert mail.sender == "bot@example.org"
        assert mail.recipients == ("backoffice@example.org",)
        assert mail.parsed["Subject"] == "A question"
        assert mail.parsed["From"] == "The bot <bot@example.org>"
        assert mail.text.strip() == "How much is it?"

    for story, channel in ((sales_story, "team-slack"), (pricing_story, "backoffice-mail")):
        assert story["status"] == "sent"
        [delivery] = story["deliveries"]
        assert (delivery["channel"], delivery["status"]) == (channel, "sent")
        [attempt] = delivery["attempts"]
        assert attempt["outcome"] == "sent"
        assert attempt["error"] is None
    assert pricing_story["deliveries"][0]["reference"] == mail.parsed["Message-ID"]


async def test_a_topic_with_both_channels_fans_out(client: Client) -> None:
    with FakeService() as http, SmtpSink() as smtp:
        await set_up(client, http, smtp)
        await client.post(
            "/v1/topics", {"name": "urgent", "channels": ["team-slack", "backoffice-mail"]}
        )
        accepted = await client.post(
            "/v1/topics/urgent/messages", {"description": "The shop is down"}
        )
        story = await client.final(accepted.body["id"])
        assert [one["channel"] for one in story["deliveries"]] == [
            "team-slack",
            "backoffice-mail",
        ]
        assert story["status"] == "sent"
        assert len(http.received) == 1
        assert len(smtp.mails) == 1


@pytest.mark.parametrize("where", ["answers", "log"])
async def test_the_address_of_the_webhook_is_nowhere_to_be_seen(
    client: Client, settings: Settings, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with FakeService() as http, SmtpSink() as smtp:
        await set_up(client, http, smtp)
    # The receiver is gone: the attempt fails, and says why.
    accepted = await client.post("/v1/messages", {"topic": "sales", "description": "Anyone?"})
    story = accepted
    for _ in range(200):
        story = await client.get(f"/v1/messages/{accepted.body['id']}")
        if story.body["deliveries"][0]["attempts"]:
            break
    [attempt] = story.body["deliveries"][0]["attempts"]
    assert attempt["outcome"] == "temporary_error"
    if where == "answers":
        shown = await client.get("/v1/channels/team-slack")
        assert shown.body["settings"]["webhook_url"] == "********"
        assert "canary" not in (story.text + shown.text).lower()
    else:
        assert "canary" not in caplog.text.lower()
    if settings.uses_sqlite:
        stored = b"".join(path.read_bytes() for path in settings.data_dir.glob("almenara.sqlite3*"))
        assert b"canary" not in stored.lower()
