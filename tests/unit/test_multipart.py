"""A form that was built is read back as it was, whatever is in it."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almenara import Attachment, TemporaryError, multipart
from tests.forms import FilePart, read_form

#: What a sender may call a file; `%` stays as it is, as in forms of browsers.
NAMES = st.text(
    st.characters(exclude_characters="\\%", exclude_categories=["Cs", "Cc"]), min_size=1
)


async def test_fields_and_files_are_read_back() -> None:
    content = bytes(range(256)) * 1_200
    body, kind = await multipart(
        {"payload_json": '{"a": "ñ"}', "empty": ""},
        {
            "files[0]": Attachment.of("año 😀.png", content),
            "files[1]": Attachment.of('a"b\r\nX-Evil: 1.bin', b"", "text/x"),
        },
    )
    assert await read_form(body, kind) == {
        "payload_json": '{"a": "ñ"}',
        "empty": "",
        "files[0]": FilePart("año 😀.png", "image/png", content),
        "files[1]": FilePart('a"b\r\nX-Evil: 1.bin', "text/x", b""),
    }
    assert b"\r\nX-Evil" not in body
    assert b'filename="a%22b%0D%0AX-Evil: 1.bin"' in body


@given(NAMES, st.binary(), st.text(st.characters(exclude_categories=["Cs"])))
def test_any_name_and_any_content_are_read_back(name: str, content: bytes, text: str) -> None:
    async def there_and_back() -> dict[str, str | FilePart]:
        body, kind = await multipart({"text": text}, {"file": Attachment.of(name, content, "a/b")})
        return await read_form(body, kind)

    assert asyncio.run(there_and_back()) == {"text": text, "file": FilePart(name, "a/b", content)}


async def test_the_boundary_is_another_each_time() -> None:
    file = Attachment.of("a.txt", b"x")
    kinds = {(await multipart({}, {"file": file}))[1] for _ in range(20)}
    assert len(kinds) == 20


@pytest.mark.parametrize("media_type", ["text/plain\r\nX-Evil: 1", "text", "", "a/b; c=d", "ñ/b"])
async def test_a_media_type_cannot_break_out_of_its_header(media_type: str) -> None:
    body, kind = await multipart({}, {"file": Attachment.of("a", b"x", media_type or " ")})
    read = await read_form(body, kind)
    assert read == {"file": FilePart("a", "application/octet-stream", b"x")}
    assert b"X-Evil" not in body


async def test_what_cannot_be_written_as_utf_8_is_replaced() -> None:
    body, kind = await multipart({"t\ud800": "x\ud800"}, {"file": Attachment.of("a\ud800", b"")})
    assert [*(await read_form(body, kind))] == ["t?", "file"]


async def test_a_file_that_cannot_be_read_is_tried_again() -> None:
    file = Attachment(name="a.txt", media_type="text/plain", size=1, sha256="0" * 64)
    with pytest.raises(TemporaryError, match=r"a\.txt"):
        await multipart({}, {"file": file})
