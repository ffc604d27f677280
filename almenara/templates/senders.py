"""What the webhooks of well-known senders mean, by the names that ``?template=`` takes.

Their bodies are as the senders document them: GitHub ("Webhook events and payloads"), Grafana
("Configure the webhook notifier"), Prometheus Alertmanager (``webhook_config``), Stripe ("The Event
object").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from almenara.plugin import Format


@dataclass(frozen=True, slots=True)
class Reading:
    """A template for each field of a message, over the ``body`` and ``headers`` of a webhook."""

    #: ``None``: the body as it came.
    description: str | None = None
    title: str | None = None
    #: What the description is written in.
    format: Format = "text"
    #: Makes a number from 1 to 5.
    priority: str | None = None
    #: Each makes one word, or nothing.
    tags: tuple[str, ...] = ()
    reference: str | None = None
    #: Makes the idempotency key: what the sender calls the event, so that a repetition is seen.
    key: str | None = None


_GITHUB = """\
{% set event = headers['x-github-event']|default('event') %}
{% set who = body.sender.login|default('Somebody') %}
{% if event == 'push' %}
**{{ who }}** pushed {{ body.commits|length }} commits to `{{ body.ref|safe }}`

{% for one in body.commits[:10] %}
- [{{ one.message|split('\n')|first|truncate(100) }}]({{ one.url }})
{% endfor %}
{% elif body.workflow_run %}
[{{ body.workflow_run.name }}]({{ body.workflow_run.html_url }}): \
{{ body.workflow_run.conclusion|default(body.workflow_run.status, true) }}
{% elif body.release %}
**{{ who }}** {{ body.action }} [{{ body.release.name|default(body.release.tag_name, true) }}]\
({{ body.release.html_url }})
{% else %}
{% set one = body.pull_request|default(body.issue|default(body.discussion|default(''))) %}
**{{ who }}** {{ event|replace('_', ' ') }} {{ body.action|default('') }}
{% if one %}

[#{{ one.number }} {{ one.title }}]({{ one.html_url }})
{% endif %}
{% if body.comment %}

{{ body.comment.body|truncate(1000)|safe }}
{% endif %}
{% endif %}
"""

_ALERTS = """\
{% for one in body.alerts[:20] %}
**{{ one.status|upper }}** {{ one.labels.alertname|default('alert') }}\
{% if one.labels.severity %} ({{ one.labels.severity }}){% endif %}
{% if one.labels.instance %} on {{ one.labels.instance }}{% endif %}


{{ one.annotations.summary|default(one.annotations.description|default('')) }}

{% set link = one.dashboardURL|default(one.generatorURL|default(''), true) %}
{% if link %}
[See it]({{ link }})

{% endif %}
{% endfor %}
{% if body.alerts|length > 20 %}
and {{ body.alerts|length - 20 }} more
{% endif %}
"""
_ALERT_TITLE = """\
[{{ body.status|upper }}] {{ body.groupLabels.alertname|default(
body.commonLabels.alertname|default(body.receiver|default('alerts'))) }}"""
_ALERT_PRIORITY = """\
{% set severity = body.commonLabels.severity|default('')|lower %}
{{ 4 if body.status == 'resolved' else 1 if severity == 'critical' else 2 \
if severity in ['error', 'high', 'page'] else 3 }}"""

_STRIPE = """\
{% set one = body.data.object %}
**{{ body.type }}**{% if not body.livemode %} (test mode){% endif %}


{% set amount = one.amount|default(one.amount_total|default(one.amount_due|default(none))) %}
{% if amount is number and one.currency %}
{% set whole = one.currency|lower in ['bif', 'clp', 'djf', 'gnf', 'jpy', 'kmf', 'krw', 'mga',
 'pyg', 'rwf', 'ugx', 'vnd', 'vuv', 'xaf', 'xof', 'xpf'] %}
{{ amount if whole else (amount / 100)|decimals(2) }} {{ one.currency|upper }}

{% endif %}
{{ one.object }} `{{ one.id|safe }}`{% if one.status is string %}: {{ one.status }}{% endif %}
"""

#: By name. ``json`` takes any body, and writes it as it came.
SENDERS: Final[dict[str, Reading]] = {
    "github": Reading(
        title="{{ body.repository.full_name|default(body.organization.login|default('GitHub')) }}: "
        "{{ headers['x-github-event']|default('event') }} {{ body.action|default('') }}",
        description=_GITHUB,
        format="markdown",
        priority="{{ 2 if body.workflow_run.conclusion|default('') == 'failure' else 3 }}",
        tags=("github", "{{ headers['x-github-event']|default('') }}"),
        key="{{ headers['x-github-delivery']|default('') }}",
    ),
    "grafana": Reading(
        title=f"{{% if body.title %}}{{{{ body.title }}}}{{% else %}}{_ALERT_TITLE}{{% endif %}}",
        description=_ALERTS,
        format="markdown",
        priority=_ALERT_PRIORITY,
        tags=("grafana", "{{ body.status }}"),
    ),
    "alertmanager": Reading(
        title=_ALERT_TITLE,
        description=_ALERTS,
        format="markdown",
        priority=_ALERT_PRIORITY,
        tags=("alertmanager", "{{ body.status }}"),
        reference="{{ body.groupKey|truncate(255) }}",
    ),
    "stripe": Reading(
        title="Stripe: {{ body.type }}",
        description=_STRIPE,
        format="markdown",
        tags=("stripe", "{{ body.type }}"),
        reference="{{ body.data.object.id }}",
        key="{{ body.id }}",
    ),
    "json": Reading(),
}
