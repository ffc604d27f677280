"""A message as Slack's own markup: readable, within the limit, and mentioning nobody."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara import as_mrkdwn
from tests.plugins.shipped import a_message

MENTIONS = ["<!channel>", "<!here>", "<!everyone>", "<@U012345>", "<#C012345>", "<!subteam^S01>"]
#: A link that may stand in a post: to an address that can only be followed.
LINK = re.compile(r"<(?:https?://|mailto:)[^<>|\s]+\|[^<>]*>", re.IGNORECASE)


def render(**message: object) -> str:
    return as_mrkdwn(a_message(**message), limit=40_000)


def brackets_outside_links(text: str) -> set[str]:
    return set(LINK.sub("", text)) & set("<>")


@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
@pytest.mark.parametrize("mention", MENTIONS)
def test_nobody_is_mentioned(format_: str, mention: str) -> None:
    html = mention.replace("<", "&lt;").replace(">", "&gt;")
    for written in (mention, f"[x]({mention})", f"[x]({mention[1:-1]})", f"[{mention}](http://a)"):
        assert brackets_outside_links(render(description=written, format=format_)) == set()
    for written in (html, f"<a href='{html}'>x</a>", f"<a href='http://a'>{html}</a>"):
        assert brackets_outside_links(render(description=written, format=format_)) == set()
    assert brackets_outside_links(render(description="x", title=mention)) == set()


@given(st.text(alphabet="<>!@&|*_~`[]()#- \n\"'/=ahref:tps", max_size=200), st.data())
def test_no_text_makes_anything_but_links(text: str, data: st.DataObject) -> None:
    format_ = data.draw(st.sampled_from(["text", "markdown", "html"]))
    assert brackets_outside_links(render(description=text, title=text, format=format_)) == set()


def test_the_title_stands_first_in_bold_and_on_one_line() -> None:
    assert render(title=" A\nB & C ", description="text") == "*A B &amp; C*\ntext"
    assert render(title=" ", description="text") == "text"


def test_text_stays_as_it_was_written() -> None:
    assert render(description="**a** [b](http://c)\n  d") == "**a** [b](http://c)\n  d"


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**bold** and __bold__", "*bold* and *bold*"),
        ("*italic* and _italic_", "_italic_ and _italic_"),
        ("~~gone~~", "~gone~"),
        ("# Heading\n## **Bold** one", "*Heading*\n\n*Bold one*"),
        ("[site](https://a.example/b?c=d&e=f)", "<https://a.example/b?c=d&amp;e=f|site>"),
        ("![image](https://a.example/i.png)", "<https://a.example/i.png|image>"),
        ("[](https://a.example)", "<https://a.example|https://a.example>"),
        ("[x](https://a.example/a|b)", "<https://a.example/a%7Cb|x>"),
        ("[mail](mailto:ana@example.org)", "<mailto:ana@example.org|mail>"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("- one\n- two\n  - three\n\n7. seven", "• one\n• two\n  • three\n\n7. seven"),
        ("`**code**`\n```py\n**a** < b\n```", "`**code**`\n\n```\n**a** &lt; b\n```"),
        ("2 * 3 * 4 and snake__case__name", "2 * 3 * 4 and snake__case__name"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("> quoted", "&gt; quoted"),
        ("> one\n> two\n\nthree", "&gt; one\n&gt; two\n\nthree"),
        ("star\x00dust", "star\ufffddust"),
        ("[**b**](http://a) **[c](http://d)**", "<http://a|b> <http://d|c>"),
    ],
)
def test_the_basics_of_markdown_become_slack_s(markdown: str, mrkdwn: str) -> None:
    assert render(description=markdown, format="markdown") == mrkdwn


@pytest.mark.parametrize(
    ("html", "mrkdwn"),
    [
        ("<p>One</p><p>Two<br>three</p>", "One\n\nTwo\nthree"),
        ("a &amp; b &lt; c", "a &amp; b &lt; c"),
        (
            '<a href="https://a.example/?b&amp;c">the <b>site</b></a>!',
            "<https://a.example/?b&amp;c|the site>!",
        ),
        ('<a href="https://a.example/|x"> </a>', "<https://a.example/%7Cx|https://a.example/|x>"),
        ('<a href="javascript:alert()">x</a>', "x"),
        ("<a name=top>x</a>", "x"),
        ("<a href='http://a'>one<a href='http://b'>two</a>", "<http://a|one><http://b|two>"),
        ("<a href='http://a'>never closed", "<http://a|never closed>"),
        ("<pre>a &lt;\n  b</pre>", "```\na &lt;\n  b\n```"),
        ("<blockquote>a<br>b</blockquote>", "&gt; a\n&gt; b"),
        ("<a href='http://a'><p>block</p></a>", "<http://a|block>"),
        ("</a>stray", "stray"),
        ("<ul><li>one<li>two</ul>", "• one\n• two"),
        ("<style>p {}</style><script>x()</script><title>t</title>seen", "seen"),
        ("<!-- unseen -->seen", "seen"),
        ("a   \n b", "a b"),
        ("unfinished <a", "unfinished"),
        ("left over &am", "left over &amp;am"),
    ],
)
def test_html_becomes_its_visible_text_with_links(html: str, mrkdwn: str) -> None:
    assert render(description=html, format="html") == mrkdwn


@pytest.mark.parametrize("piece", ["x", "😀", "&", "<", "ab&"])
def test_a_long_text_is_cut_with_a_mark_and_not_within_an_entity(piece: str) -> None:
    text = render(description=piece * 50_000)
    assert 39_980 < len(text) <= 40_000
    assert text.endswith("…")
    assert re.search(r"&(?!amp;|lt;|gt;)", text) is None


def test_a_long_text_is_not_cut_within_a_link() -> None:
    text = render(description="x" * 39_990 + "[site](https://a.example)", format="markdown")
    assert text == "x" * 39_990 + "…"


def test_a_text_of_just_the_limit_is_whole() -> None:
    assert render(description="x" * 40_000) == "x" * 40_000


@pytest.mark.parametrize("format_", ["text", "markdown", "html"])
@pytest.mark.parametrize(
    "piece",
    [
        *("<", "<a ", "<a/", "<!--", "<a b='", "</", "[", "[a](", "[a](http://", "![", "*", "**"),
        *("** *", "__", "~~", "`", "```", "#", "# ", "* a", "*a ", "&", "&am", " ", "\n", "("),
        "<a href=http://a>",
    ],
)
def test_the_most_awkward_text_of_a_full_message_is_rendered(format_: str, piece: str) -> None:
    text = render(description=(piece * 262_144)[:262_144], format=format_)
    assert len(text) <= 40_000
