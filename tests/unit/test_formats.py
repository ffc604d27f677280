"""What a sender wrote, as services read it: marks, links, limits; whatever it holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara.formats import as_chat_marks, as_html, as_markdown, as_mrkdwn, as_text, cut, measure
from tests.plugins.shipped import a_message

MARKDOWN = """\
# Head *it*

Hello **bold** and *it* ~~no~~ `a*b` [link](https://x.example/a(b)) <b>html</b> [bad](javascript:x)
second & <!channel>

- one
- two **b**
  - inner

3. three
4. four

> quote
> more

```py
code ``` x
```

---
![img](https://i.example/x.png)
"""
HTML = (
    "<h1>Head</h1><p>Hello <b>bold</b> <i>it</i> &amp; <a href='https://x.example'>li<b>n</b>k</a>"
    "<br>line</p><ul><li>one<li>two<ul><li>in</ul></ul><ol start=3><li>a</li><li>b</ol>"
    "<pre>  x\n  y</pre><blockquote>q</blockquote><table><tr><th>a</th><td>b</td></tr>"
    "<tr><td>c<td>d</table><script>x</script><img alt='a cat'><a href='javascript:x'>end</a>"
)
WRITERS = [as_text, as_markdown, as_html, as_chat_marks, as_mrkdwn]
FORMATS = st.sampled_from(["text", "markdown", "html"])
TEXTS = st.text() | st.text(st.sampled_from("*_`~[]()<>#-+>&!\\\n ab/=\"'1."), max_size=300)


def message(text: str, format_: str = "text", **more: Any) -> Any:
    return a_message(description=text, format=format_, **more)


OF_MARKDOWN = {
    as_text: """\
Head it

Hello bold and it no a*b link (https://x.example/a(b)) <b>html</b> [bad](javascript:x)
second & <!channel>

• one
• two b
  • inner

3. three
4. four

> quote
> more

code ``` x

———

img (https://i.example/x.png)""",
    as_html: """\
<b>Head <i>it</i></b>

Hello <b>bold</b> and <i>it</i> <s>no</s> <code>a*b</code> \
<a href="https://x.example/a(b)">link</a> &lt;b&gt;html&lt;/b&gt; [bad](javascript:x)
second &amp; &lt;!channel&gt;

• one
• two <b>b</b>
  • inner

3. three
4. four

<blockquote>quote
more</blockquote>

<pre>code ``` x</pre>

———

<a href="https://i.example/x.png">img</a>""",
    as_markdown: """\
**Head *it***

Hello **bold** and *it* ~~no~~ `a*b` \
[link](https://x.example/a%28b%29) \\<b\\>html\\</b\\> \\[bad\\](javascript:x)
second & \\<!channel\\>

• one
• two **b**
  • inner

3. three
4. four

> quote
> more

```
code `\u200b`` x
```

———

[img](https://i.example/x.png)""",
    as_chat_marks: """\
*Head _it_*

Hello *bold* and _it_ ~no~ `a*b` \
<https://x.example/a(b)|link> \u2039b\u203ahtml\u2039/b\u203a [bad](javascript:x)
second & \u2039!channel\u203a

• one
• two *b*
  • inner

3. three
4. four

> quote
> more

```
code `\u200b`` x
```

———

<https://i.example/x.png|img>""",
}
OF_HTML = {
    as_text: """\
Head

Hello bold it & link (https://x.example)
line

• one
• two
  • in

3. a
4. b

x
  y

> q

a b
c d

a catend""",
    as_html: """\
<b>Head</b>

Hello <b>bold</b> <i>it</i> &amp; <a href="https://x.example">li<b>n</b>k</a>
line

• one
• two
  • in

3. a
4. b

<pre>x
  y</pre>

<blockquote>q</blockquote>

<b>a</b> b
c d

a catend""",
}


@pytest.mark.parametrize("write", OF_MARKDOWN)
def test_markdown_is_written_in_each_dialect(write: Any) -> None:
    assert write(message(MARKDOWN, "markdown")) == OF_MARKDOWN[write]


@pytest.mark.parametrize("write", OF_HTML)
def test_html_is_written_in_each_dialect(write: Any) -> None:
    assert write(message(HTML, "html")) == OF_HTML[write]


def test_a_text_stays_as_it_was_written() -> None:
    text = "  two  spaces\n\n\tand *stars* _too_\n1. no list"
    assert as_text(message(text)) == text
    assert as_html(message("a < b & c\n\nd")) == "a &lt; b &amp; c\n\nd"
    assert as_markdown(message("- no list\n2. nor this\n# nor this\na_b*c")) == (
        "\\- no list\n2\\. nor this\n\\# nor this\na\\_b\\*c"
    )


def test_the_title_is_the_first_line_unless_it_has_a_place_of_its_own() -> None:
    one = message("text", title=" Sales \n today ")
    assert as_text(one) == "Sales today\ntext"
    assert as_markdown(one) == "**Sales today**\ntext"
    assert as_html(one) == "<b>Sales today</b>\ntext"
    assert as_text(one, title=False) == "text"


def test_a_link_whose_label_is_its_address_is_not_written_twice() -> None:
    mail = '<a href="mailto:a@b.example">a@b.example</a> <a href="https://x.example">site</a>'
    assert as_text(message(mail, "html")) == "a@b.example site (https://x.example)"


def test_a_link_without_a_label_shows_its_address() -> None:
    link = "[](https://a.example) b [*c*](https://d.example)"
    assert as_text(message(link, "markdown")) == "https://a.example b c (https://d.example)"
    html = "<a href='https://a.example'><img></a> <a href='https://b.example'><img alt=c></a>"
    assert as_text(message(html, "html")) == "https://a.example c (https://b.example)"
    assert as_chat_marks(message(html, "html")) == (
        "<https://a.example|https://a.example> <https://b.example|c>"
    )


def test_a_heading_is_not_made_bold_twice() -> None:
    assert as_markdown(message("# **Now** or *never*", "markdown")) == "**Now or *never***"
    assert as_html(message("<h1><b>Now</b> or</h1>", "html")) == "<b>Now or</b>"


def test_what_is_never_closed_or_never_opened_is_read_all_the_same() -> None:
    html = "</b></li></ul><b>bold <i>both</b> plain<p>two<ul><li>one</p><blockquote>q"
    assert as_html(message(html, "html")) == (
        "<b>bold</b> <b><i>both</i></b> plain\n\ntwo\n\n• one\n\n<blockquote>q</blockquote>"
    )
    # Of an unfinished tag nothing is left, and nothing is no message: the source is shown.
    assert as_text(message("<p " * 10, "html")) == "<p " * 10
    assert as_text(message("a &amp", "html")) == "a &"
    assert as_text(message("<head>x</head><style>y</style>z", "html")) == "z"
    assert as_text(message("<ol start=x><li>a</ol>", "html")) == "1. a"
    assert as_text(message("<li>alone", "html")) == "• alone"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("I <3 you", "I <3 you"),
        ("<!-- hidden --><p>seen", "seen"),
        ("seen<!-- never ended <p>hidden", "seen"),
        ("seen <a href='x", "seen"),
        ("<script>never ended", "<script>never ended"),
        ("<title>x</title></title>a", "a"),
        ("<p>a</p>\n\n\n<p>b</p>", "a\n\nb"),
        ("<a>no target</a><img>", "no target"),
        ("<a href='https://example.org'></a>", "https://example.org"),
        ("Tom &amp; Jerry &", "Tom & Jerry &"),
    ],
)
def test_odd_html_gives_what_a_browser_shows(html: str, text: str) -> None:
    assert as_text(message(html, "html")) == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bomb", ["<!--", "<a ", "<a b='", "</a", "<?", "<![CDATA[", "&a", "<"])
def test_html_made_to_be_slow_is_read_all_the_same(bomb: str) -> None:
    # html.parser's close() needs minutes for some of these.
    html = "<p>before</p>" + bomb * (250_000 // len(bomb))
    assert as_text(message(html, "html")).startswith("before")


def test_what_is_nested_without_end_is_read_to_some_depth() -> None:
    assert "deep" in as_text(message("<ul><li>" * 500 + "deep", "html"))
    assert as_markdown(message("> " * 500 + "deep", "markdown"), limit=100)


def test_a_text_of_nothing_but_brackets_is_not_parsed_for_links() -> None:
    assert as_text(message("[" * 10_000 + "**b**", "markdown")).endswith("**b**")


def test_a_cut_is_never_within_marks_and_ends_with_an_ellipsis() -> None:
    text = "**" + "bold " * 50 + "x**"
    assert (
        as_html(message(text, "markdown"), limit=40) == "<b>bold bold bold bold bold bold bo</b>…"
    )
    assert as_markdown(message("[" + "a" * 90 + "](https://x.example)", "markdown"), limit=40) == (
        "[aaaaaaaaaaaaaaaaaa](https://x.example)…"
    )
    assert as_text(message("short"), limit=5) == "short"
    assert as_text(message("longer"), limit=5) == "long…"


@pytest.mark.parametrize(
    ("unit", "wanted"), [("characters", "😀" * 9), ("utf16", "😀" * 4), ("bytes", "😀")]
)
def test_a_limit_counts_as_the_service_counts(unit: Any, wanted: str) -> None:
    assert as_text(message("😀" * 100), limit=10, unit=unit) == f"{wanted}…"
    assert cut("😀" * 100, 10, unit) == f"{wanted}…"
    assert measure(f"{wanted}…", unit) <= 10
    assert cut("short", 10, unit) == "short"


@given(TEXTS, FORMATS, st.integers(5, 200), st.sampled_from(["characters", "utf16", "bytes"]))
def test_any_text_keeps_the_limit(text: str, format_: str, limit: int, unit: Any) -> None:
    for write in WRITERS:
        written = write(message(text, format_), limit=limit, unit=unit)
        assert measure(written, unit) <= limit


@given(TEXTS, FORMATS, st.none() | st.integers(20, 200))
def test_any_text_makes_tags_that_are_ours_and_closed(
    text: str, format_: str, limit: int | None
) -> None:
    written = as_html(message(text, format_), limit=limit)

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            assert tag in {"b", "i", "s", "code", "pre", "a", "blockquote"}
            assert {name for name, _ in attrs} == ({"href"} if tag == "a" else set())
            opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    opened: list[str] = []
    Reader().feed(written)
    assert opened == []
    assert not re.search(r"<(?![a-z/])", written)


@given(TEXTS)
def test_any_plain_text_stays_itself(text: str) -> None:
    assert as_text(message(text)) == text
