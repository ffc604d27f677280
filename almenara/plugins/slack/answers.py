"""What Slack's answers mean for a delivery: taken, to be tried again, or given up."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from almenara import (
    ChannelError,
    HttpResponse,
    PermanentError,
    TemporaryError,
    raise_for_status,
)

_SERVICE = "Slack"

_NEW_WEBHOOK = "make a new webhook and set `webhook_url`"
_COPY_AGAIN = "copy the webhook's address again"
_INSTALL_AGAIN = "install the app again and set `bot_token`"
_ASK_ADMIN = "the workspace does not let the app post there: ask its admin"
_OTHER_CHANNEL = "choose another Slack channel"
_OUR_FAULT = "Slack could not read the message; please report this"

#: What to do about the errors that trying again does not mend, of both ways to post.
_ADVICE = {
    "access_denied": _ASK_ADMIN,
    "accesslimited": "let Slack accept this server's network",
    "account_inactive": _INSTALL_AGAIN,
    "action_prohibited": _ASK_ADMIN,
    "as_user_not_supported": "set a bot's token (xoxb-...) as `bot_token`",
    "channel_is_archived": f"the channel is archived: {_OTHER_CHANNEL}, or bring it back",
    "channel_not_found": "check `channel` (an id such as C0123456789) and invite the bot to it",
    "ekm_access_denied": "the workspace's admins have suspended posting",
    "enterprise_is_restricted": _ASK_ADMIN,
    "invalid_arg_name": _OUR_FAULT,
    "invalid_arguments": "check `channel`",
    "invalid_auth": "check `bot_token`, and that Slack accepts this server's address",
    "invalid_charset": _OUR_FAULT,
    "invalid_json": _OUR_FAULT,
    "invalid_payload": _OUR_FAULT,
    "invalid_post_type": _OUR_FAULT,
    "invalid_token": _NEW_WEBHOOK,
    "is_archived": f"the channel is archived: {_OTHER_CHANNEL}, or bring it back",
    "messages_tab_disabled": "turn on the app's messages tab",
    "missing_post_type": _OUR_FAULT,
    "missing_scope": "give the app the scope chat:write and install it again",
    "missing_text_or_fallback_or_attachments": "the message has no text that Slack can show",
    "msg_too_long": "shorten the text",
    "no_active_hooks": _NEW_WEBHOOK,
    "no_permission": "invite the bot to the channel and check its scopes",
    "no_service": _NEW_WEBHOOK,
    "no_service_id": _COPY_AGAIN,
    "no_team": _COPY_AGAIN,
    "no_text": "the message has no text that Slack can show",
    "not_allowed_token_type": "set a bot's token (xoxb-...) as `bot_token`",
    "not_authed": "set `bot_token`",
    "not_in_channel": "invite the bot to the channel",
    "posting_to_general_channel_denied": _ASK_ADMIN,
    "restricted_action": _ASK_ADMIN,
    "restricted_action_non_threadable_channel": _OTHER_CHANNEL,
    "restricted_action_read_only_channel": f"the channel is read-only: {_OTHER_CHANNEL}",
    "restricted_action_thread_only_channel": f"the channel takes replies only: {_OTHER_CHANNEL}",
    "team_disabled": "the workspace is disabled",
    "team_not_found": _COPY_AGAIN,
    "token_expired": "set a new `bot_token`",
    "token_revoked": _INSTALL_AGAIN,
    "too_many_attachments": _OUR_FAULT,
    "two_factor_setup_required": "the workspace wants two-factor authentication to be set up",
    "user_not_found": f"the user that it posts to does not exist: {_NEW_WEBHOOK}",
}

#: Those that are about one message; all others would refuse every message of the channel.
_OF_THE_MESSAGE = frozenset(
    {
        *(code for code, advice in _ADVICE.items() if advice == _OUR_FAULT),
        "invalid_arguments",
        "missing_text_or_fallback_or_attachments",
        "msg_too_long",
        "no_text",
    }
)
#: The statuses that say, without a code of Slack's, that the address or the token is no good.
_NO_ENTRY = frozenset({401, 403, 404, 410})

_RATE_LIMITED = frozenset({"ratelimited", "rate_limited"})

#: What an error code of Slack's looks like; anything else is not repeated in an error.
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")

#: How the answer to a post that was taken begins.
_TAKEN = re.compile(r'\s*\{\s*"ok"\s*:\s*true\s*,')
_CHANNEL = re.compile(r'"channel"\s*:\s*"(\w+)"')
_TS = re.compile(r'"ts"\s*:\s*"([0-9.]+)"')


def read_webhook_answer(response: HttpResponse) -> None:
    """Return when an incoming webhook has taken the message; raise what it says otherwise."""
    code = response.text.strip()
    if code in _ADVICE and response.status in range(400, 500):
        raise _refused(code)
    _check_status(response)


def read_bot_answer(response: HttpResponse) -> str | None:
    """Return the reference of the post, ``channel:ts``; raise when it was not made.

    An error that Slack does not document is temporary: a needless attempt costs one request, a
    message given up too soon is lost.
    """
    answer = _taken(response, "message")
    channel, ts = answer.get("channel"), answer.get("ts")
    return f"{channel}:{ts}" if isinstance(channel, str) and isinstance(ts, str) else None


def read_token_answer(response: HttpResponse) -> str:
    """Return whose token it is; raise when Slack does not take it."""
    answer = _taken(response, "token")
    return f"Slack knows the token: it is {answer.get('user')}'s, in {answer.get('team')}."


def _taken(response: HttpResponse, what: str) -> dict[str, Any]:
    """Return the answer to what Slack has taken."""
    _check_status(response)
    answer = _read(response)
    if answer.get("ok") is True:
        return answer
    code = str(answer.get("error"))
    if code in _RATE_LIMITED:
        raise_for_status(replace(response, status=429), service=_SERVICE)
    if code in _ADVICE:
        raise _refused(code, what)
    named = code if _CODE.fullmatch(code) else "an error of no known form"
    raise TemporaryError(f"Slack could not take the {what} just now ({named}).")


def _read(response: HttpResponse) -> dict[str, Any]:
    """Return the answer as an object, also when it is long and was cut.

    Slack repeats the message in its answer: a long message that was posted must not look like a
    failure, or it would be posted again and again.
    """
    try:
        answer = response.json()
    except ValueError:
        answer = _beginning(response.text)
    if not isinstance(answer, dict):
        raise TemporaryError("Slack's answer was not the JSON that its API promises.")
    return answer


def _beginning(text: str) -> dict[str, Any] | None:
    if not _TAKEN.match(text):
        return None
    channel, ts = _CHANNEL.search(text), _TS.search(text)
    return {"ok": True, "channel": channel and channel[1], "ts": ts and ts[1]}


def _check_status(response: HttpResponse) -> None:
    try:
        raise_for_status(response, service=_SERVICE)
    except PermanentError as error:
        if response.status in _NO_ENTRY:
            raise ChannelError(error.message) from error
        raise


def _refused(code: str, what: str = "message") -> ChannelError | PermanentError:
    kind = PermanentError if code in _OF_THE_MESSAGE else ChannelError
    return kind(f"Slack refused the {what} ({code}): {_ADVICE[code]}.")
