"""Objects of several values: ranges, boundaries, the same bytes for the same values."""

import email
import gzip
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hindcast.errors import ObjectError
from hindcast.objects.content import Content
from hindcast.objects.multipart import Value, build_object, inflate, parse_part

NAMES = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
VALUES = st.dictionaries(NAMES, st.binary(min_size=1, max_size=300), min_size=1, max_size=10)


def value(name: str, data: bytes, content_type: str = "text/plain", encoding: str | None = None) -> Value:
    return Value(name, Content([data]), content_type, encoding)


@given(VALUES)
def test_every_range_is_exactly_its_part(values: dict[str, bytes]) -> None:
    made = build_object([value(name, data) for name, data in values.items()])
    whole = b"".join(made.content)
    covered: list[tuple[int, int]] = sorted(made.ranges.values())
    assert all(end < start for (_, end), (start, _) in pairwise(covered))
    for name, data in values.items():
        first, last = made.ranges[name]
        part = parse_part(whole[first : last + 1])
        assert (part.name, part.body, part.headers["content-type"]) == (name, data, "text/plain")
        assert whole[:first].endswith(f"--{made.boundary}\r\n".encode())
        assert whole[last + 1 :].startswith(f"\r\n--{made.boundary}".encode())


def test_the_body_is_what_the_format_says() -> None:
    made = build_object(
        [value("$ai_output", gzip.compress(b"x"), "application/json", "gzip"), value("$ai_input", b"hi")]
    )
    b = made.boundary.encode()
    assert b"".join(made.content) == (
        b"--" + b + b'\r\nContent-Disposition: form-data; name="$ai_input"\r\nContent-Type: text/plain\r\n\r\nhi\r\n'
        b"--" + b + b'\r\nContent-Disposition: form-data; name="$ai_output"\r\nContent-Type: application/json\r\n'
        b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x") + b"\r\n--" + b + b"--\r\n"
    )
    assert made.content_type == f"multipart/mixed; boundary={made.boundary}"


def test_another_reader_of_multipart_understands_it() -> None:
    made = build_object([value("a", b"one"), value("b", b"two\r\nlines")])
    whole = f"Content-Type: {made.content_type}\r\n\r\n".encode() + b"".join(made.content)
    parts = email.message_from_bytes(whole).get_payload()
    assert [(p.get_param("name", header="content-disposition"), p.get_payload(decode=True)) for p in parts] == [  # type: ignore[union-attr]
        ("a", b"one"),
        ("b", b"two\r\nlines"),
    ]


def test_the_same_values_in_another_order_are_the_same_bytes() -> None:
    values = [value("a", b"1"), value("b", b"2")]
    assert build_object(values).content.sha256 == build_object(values[::-1]).content.sha256
    assert build_object(values).content.sha256 != build_object([value("a", b"2"), value("b", b"1")]).content.sha256


def test_a_boundary_that_occurs_in_a_value_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import hindcast.objects.multipart as module

    taken: list[bytes] = []

    def claim_first(content: Content, sought: bytes) -> bool:
        taken.append(sought)
        return len(taken) == 1

    monkeypatch.setattr(module, "_holds", claim_first)
    made = build_object([value("a", b"x")])
    assert len(set(taken)) == 2 and made.boundary.encode() == taken[1]


def test_a_boundary_across_two_blocks_is_seen() -> None:
    from hindcast.objects.content import BUFFER_BYTES
    from hindcast.objects.multipart import _holds

    content = Content([b"x" * (BUFFER_BYTES - 5) + b"boundary" + b"y" * 10])
    assert _holds(content, b"boundary") and not _holds(content, b"boundarz")


def test_gzip_is_inflated_with_a_bound_and_refused_when_broken() -> None:
    packed = gzip.compress(b"a" * 100_000) + gzip.compress(b"b")
    assert inflate(packed, 100_001) == b"a" * 100_000 + b"b"
    for broken, largest in ((packed, 100_000), (packed[:-3], 200_000), (b"no gzip", 10)):
        with pytest.raises(ObjectError, match="gzip"):
            inflate(broken, largest)
    made = build_object([value("a", packed, encoding="gzip")])
    first, last = made.ranges["a"]
    assert parse_part(b"".join(made.content)[first : last + 1]).value().endswith(b"ab")


@pytest.mark.parametrize("values", [[], [value("a", b"1"), value("a", b"2")], [value("a\r\nX: y", b"1")]])
def test_what_makes_no_object_is_a_callers_fault(values: list[Value]) -> None:
    with pytest.raises(ValueError, match=re.compile("once|line break")):
        build_object(values)
