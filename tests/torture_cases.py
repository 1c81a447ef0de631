"""Hostile lines and what must become of each: `staged`, or the code of its reject.

The JSON cases follow JSONTestSuite (github.com/nst/JSONTestSuite): what every reader must take, must refuse, may do.
"""

from typing import Final

STAGED: Final = "staged"


def make_record(payload: bytes = b"{}", time: bytes = b'"2024-07-01T15:00:00Z"', **others: bytes) -> bytes:
    """A record with these values, as they are; other fields replace and come first."""
    fields = {"event_type": b'"torture"', "occurred_at": time} | others | {"payload": payload}
    return b"{" + b",".join(b'"%s":%s' % (name.encode(), value) for name, value in fields.items() if value) + b"}"


def nest(depth: int, is_closed: bool = True) -> bytes:
    return b"[" * depth + b"]" * (depth if is_closed else 0)


JSON_VALUES: Final[list[bytes]] = [
    b'""', b'"a"', b"0", b"-0", b"-1", b"1.5", b"1e5", b"1E+2", b"1e-2", b"123e65", b"-0.0", b"null", b"true",
    b"false", b"[]", b"{}", b"[ ]", b'[""]', b"[[]   ]", b'{"":0}', b'{"a":1,"a":2}', b'{"a":{"b":{"c":[]}}}',
    b"[null, 1, \"1\", {}]", b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u0060\\u012a\\u12AB"',
    b'"\\u0061\\u30af\\u30EA\\u30b9"', b'"\\uD801\\udc37"', b'"\\u0022"', b'"\\uFFFF"', b'"\\uDBFF\\uDFFE"',
    b'"\\u005C\\u0022"', b'"\\uFDD0"', b'"\\u200B\\u2064"', b'"\x7f"', b'"\xe2\x80\xa8\xe2\x80\xa9"',
    b'"\xf0\x9f\x98\x80"', b'"\xf4\x8f\xbf\xbf"', b'"\xef\xbf\xbe"', b'"\xe2\x80\xae abc"', b'"\xef\xbb\xbf"',
    b'"a/*b*/c#d//e"', b'"\\u0000"', b'"\\uD800"', b'"\\uDADA"', b'"\\uD888\\u1234"', b'"\\uDFAA"',
    b'"\\uDd1e\\uD834"', b'"\\ud800\\ud800\\udc00"', b'"\\uD800\\n"', b'{"\\u0000":1}', b'{"\\uDC00":"\\uDC00"}',
    b"18446744073709551616", b"-9223372036854775809", b"100000000000000000000000000000000000001", b"9" * 4000,
    b"1e400", b"-1e400", b"1e-400", b"1e3999", b"9" * 3999 + b".5", b"1e-4000", b"1." + b"1" * 3900 + b"e-4000",
    b"0." + b"1" * 3000, b"4.9406564584124654e-324", b"1.7976931348623159e308",
    b"123456789012345678901234567890.123456789", b"-0e10", b"0.1e-10", b"2.00000000000000000000000000001",
    b'{"__proto__":{"x":1},"constructor":1,"prototype":null,"toString":""}',
    b'{"$ref":"#","@type":"x","__class__":"os"}', b'"\'; DROP TABLE analytics_events; --"',
    b'"%s %(a)s {0} ${x} \\\\N \\\\."', b'"=cmd|\' /C calc\'!A0"', b'"<script>alert(1)</script>"', nest(99),
    b"{" + b'"a":{' * 98 + b"}" * 99, b'"' + b"[" * 1000 + b'"', b"[" + b"[]," * 1000 + b"0]",
]  # fmt: skip

NO_JSON_VALUES: Final[list[bytes]] = [
    b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"+1", b"01", b"-01", b"1.", b".5", b"-.5", b"0.e1", b"1e", b"1e+",
    b"1eE2", b"0x42", b"1 000", b"1_000", b"--1", b"-", b"1+2", b"True", b"nul", b"tru", b"undefined", b"abc", b"'a'",
    b"\\u0031", b'"a', b'a"', b'"\\x00"', b'"\\', b'"\\u"', b'"\\u00"', b'"\\u00G0"', b'"\\uD800\\u"',
    b'"\\uD800\\uD8"', b'"\\a"', b'"\\u{41}"', b'"\x00"', b'"\x01"', b'"\x1f"', b'"\t"', b'"a\x0cb"', b"\x0c1",
    b"\xc2\xa01", b"\xe2\x81\xa01", b"\xef\xbb\xbf1", b"[1,]", b"[,1]", b"[1,,2]", b"[,]", b"[1", b"1]", b"[1}",
    b"[1 2]", b'["a":1]', b"[*]", b"[-]", b"[1]x", b"(1)", b"<1>", b'{"a":1,}', b"{,}", b'{"a"}', b'{"a",1}',
    b'{"a"::1}', b"{a:1}", b"{'a':1}", b"{1:1}", b'{"a":1 "b":2}', b'{"a":1;"b":2}', b'{"a":1', b'{"a":', b"{[]:1}",
    b"{null:1}", b"/* c */1", b"1//c", b"1#c", b"<null>", b"*", b"`1`", b"1;", b"",
]  # fmt: skip

NO_UTF_8: Final[list[bytes]] = [
    b"\xff", b"\xfe", b"\x80", b"\xbf", b"\xe9", b"a\xe9b", b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80",
    b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf7\xbf\xbf\xbf",
    b"\xe2\x82", b"\xf0\x9f\x98", b"\xc3", b"\xe2\x28\xa1",
]  # fmt: skip

LINES: Final[list[tuple[bytes, str]]] = [
    # No record at all.
    (b"{}", "missing_event_type"), (b"[]", "not_an_object"), (b'""', "not_an_object"), (b"null", "not_an_object"),
    (b"true", "not_an_object"), (b"0", "not_an_object"), (b"1.5e3", "not_an_object"), (b'"a"', "not_an_object"),
    (b"[" + make_record() + b"]", "not_an_object"), (b"9" * 5000, "number_out_of_range"),
    # Around a record.
    (b"  " + make_record() + b" \t", STAGED), (make_record() + b",", "malformed_json"),
    (make_record() * 2, "malformed_json"), (make_record() + b" " + make_record(), "malformed_json"),
    (b"\xef\xbb\xbf" + make_record(), "malformed_json"), (make_record() + b"\x00", "malformed_json"),
    (b"\x00" + make_record(), "malformed_json"), (make_record() + b"#", "malformed_json"),
    (make_record()[:-1], "malformed_json"), (make_record()[1:], "malformed_json"),
    (make_record().replace(b'"', b"'"), "malformed_json"), (make_record() + b"\xff", "malformed_json"),
    (b"data: " + make_record(), "malformed_json"), (b"\x1e" + make_record(), "malformed_json"),
    (make_record().decode().encode("utf-16-le"), "malformed_json"),
    (make_record().decode().encode("utf-16-be"), "malformed_json"),
    (b"\xff\xfe" + make_record().decode().encode("utf-16-le"), "malformed_json"),
    (make_record().decode().encode("utf-32-le"), "malformed_json"),
    (b"\x1f\x8b\x08\x00" + b"\x00" * 9, "malformed_json"), (b"PK\x03\x04", "malformed_json"),
    (b"event_type,occurred_at,payload", "malformed_json"), (b"\x00" * 1000, "malformed_json"),
    # Deep.
    (nest(101), "too_deep"), (nest(10_000), "too_deep"), (nest(100_000, is_closed=False), "too_deep"),
    (make_record(nest(100)), "too_deep"), (make_record(b'{"a":' * 100 + b"1" + b"}" * 100), "too_deep"),
    (make_record(nest(10_000)), "too_deep"), (make_record(nest(10_000, is_closed=False)), "too_deep"),
    (make_record(extra=nest(100)), "too_deep"), (b"]" * 1000 + b"[" * 1050, "malformed_json"),
    (nest(100), "not_an_object"), (b'{"a":"' + b"[" * 5000 + b'"}', "missing_event_type"),
    (b'"' + b"[{" * 500, "malformed_json"),
    # Event types and ids.
    (make_record(event_type=b'""'), "missing_event_type"), (make_record(event_type=b'" \\t"'), "missing_event_type"),
    (make_record(event_type=b"null"), "missing_event_type"),
    (make_record(event_type=b'"\\u00a0\\u3000"'), "missing_event_type"),
    (make_record(event_type=b"1"), "invalid_type"), (make_record(event_type=b"[]"), "invalid_type"),
    (make_record(event_type=b"false"), "invalid_type"), (make_record(event_type=b'{"a":1}'), "invalid_type"),
    (make_record(event_type=b'"' + b"t" * 256 + b'"'), STAGED),
    (make_record(event_type=b'"' + b"t" * 257 + b'"'), "value_too_long"),
    (make_record(event_type=b'"' + "é".encode() * 256 + b'"'), STAGED),
    (make_record(event_type=b'"' + b"t" * 300 + b'"'), "value_too_long"),
    (make_record(course_id=b'"' + b"c" * 300 + b'"'), "value_too_long"),
    (make_record(lessonId=b'"' + b"c" * 257 + b'"'), "value_too_long"),
    (make_record(module_id=b'"' + b"c" * 300 + b'"'), STAGED),
    (make_record(user_id=b'"' + b"u" * 1000 + b'"'), STAGED),
    (make_record(event_id=b'"' + b"i" * 1000 + b'"'), STAGED),
    (make_record(user_agent=b'"' + b"a" * 100_000 + b'"'), STAGED), (make_record(user_id=b'"\\u0000"'), STAGED),
    (make_record(event_type=b'"\\u0000"'), STAGED), (make_record(event_id=b'"\\ud800"'), STAGED),
    (make_record(event_type='"\u202eevil\u200f"'.encode()), STAGED),
    (make_record(user_id='"𝕌𝕤𝕖𝕣 👩‍👩‍👧‍👦"'.encode()), STAGED), (make_record(user_id=b"true"), "invalid_type"),
    (make_record(user_id=b"1.5"), "invalid_type"), (make_record(user_id=b"[1]"), "invalid_type"),
    (make_record(session_id=b"{}"), "invalid_type"), (make_record(user_agent=b"false"), "invalid_type"),
    (make_record(id=b"1e-400"), "invalid_type"), (make_record(user_id=b"1e400"), STAGED),
    (make_record(user_id=b"-0"), STAGED), (make_record(user_id=b"7.0"), STAGED),
    (make_record(user_id=b"9" * 4000), STAGED), (make_record(user_id=b"9" * 4001), "number_out_of_range"),
    (make_record(user_id=b"9" * 4301), "number_out_of_range"),
    (make_record(event_id=b"1e4001"), "number_out_of_range"),
    # Payloads and properties beside it.
    (make_record(b"1e4000"), "number_out_of_range"),
    (make_record(b"1." + b"1" * 7000 + b"e-4000"), "number_out_of_range"),
    (make_record(b"1e-4001"), "number_out_of_range"), (make_record(b"0e5000"), "number_out_of_range"),
    (make_record(b"1e99999999999999999999"), "number_out_of_range"),
    (make_record(b"-1e-99999999999999999999"), "number_out_of_range"),
    (make_record(b"1" * 4001), "number_out_of_range"),
    (make_record(b"[" + b"1" * 100_000 + b"]"), "number_out_of_range"),
    (make_record(b"0." + b"1" * 9000), "number_out_of_range"),
    (make_record(ignored=b"1e5000"), "number_out_of_range"), (make_record(b'"' + b"9" * 5000 + b'"'), STAGED),
    (make_record(b'"' + b"x" * 1_000_000 + b'"'), STAGED), (make_record(b'"' + b"\\u0000" * 10_000 + b'"'), STAGED),
    (make_record(b"[" + b'"\\\\",' * 5000 + b"1]"), STAGED),
    (make_record(b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(10_000)) + b"}"), STAGED),
    (make_record(ignored=b'"\\u0000\\ud800"'), STAGED),
    (make_record(__proto__=b"{}", constructor=b"1", toString=b"null"), STAGED),
    (b'{"event_type":"torture","event_type":7,"occurred_at":"2024-07-01T15:00:00Z"}', "invalid_type"),
    (b'{"event_type":7,"event_type":"torture","occurred_at":"2024-07-01T15:00:00Z"}', STAGED),
    (b'{"EVENT_TYPE":"torture","occurred_at":"2024-07-01T15:00:00Z"}', "missing_event_type"),
    (b'{"event_type ":"torture","occurred_at":"2024-07-01T15:00:00Z"}', "missing_event_type"),
    (b'{"\\u0065vent_type":"torture","occurred_at":"2024-07-01T15:00:00Z"}', STAGED),
]  # fmt: skip

TIMES: Final[list[tuple[bytes, str]]] = [
    (b"null", "missing_time"), (b'""', "missing_time"), (b'" "', "invalid_time"), (b'"yesterday"', "invalid_time"),
    (b'"now"', "invalid_time"), (b'"2024-02-29"', STAGED), (b'"2023-02-29"', "invalid_time"),
    (b'"2024-02-30"', "invalid_time"), (b'"2024-04-31T00:00:00Z"', "invalid_time"),
    (b'"2024-06-30T23:59:60Z"', STAGED), (b'"2024-06-30T23:59:61Z"', "invalid_time"),
    (b'"2024-07-01T24:00:00Z"', "invalid_time"), (b'"2024-07-01T15:00:00"', STAGED), (b'"2024-07-01 15:00"', STAGED),
    (b'"2024-07-01T15:00:00+14:00"', STAGED), (b'"2024-07-01T15:00:00-12:45"', STAGED),
    (b'"2024-07-01T15:00:00+23:59"', STAGED), (b'"2024-07-01T15:00:00+24:00"', "invalid_time"),
    (b'"2024-07-01T15:00:00 PST"', "invalid_time"), (b'"2024-07-01T15:00:00.123456789Z"', STAGED),
    (b'"2024-W27-1"', STAGED), (b'"07/01/2024"', "invalid_time"),
    (b'"Mon, 01 Jul 2024 15:00:00 GMT"', "invalid_time"), (b'"\\u0000"', "invalid_time"),
    (b'"0000-00-00 00:00:00"', "invalid_time"), (b'"0000-01-01T00:00:00Z"', "invalid_time"),
    (b'"0001-01-01T00:00:00Z"', "time_out_of_range"), (b'"1969-12-31T23:59:59.999999Z"', "time_out_of_range"),
    (b'"1970-01-01T00:00:00Z"', STAGED), (b'"1970-01-01T00:00:00+01:00"', "time_out_of_range"),
    (b'"9999-12-31T23:59:59Z"', "time_out_of_range"), (b'"9999-12-31T23:59:59-01:00"', "invalid_time"),
    (b'"10000-01-01T00:00:00Z"', "invalid_time"), (b"0", STAGED), (b"-1", "time_out_of_range"),
    (b"1719846000", STAGED), (b"1719846000123", STAGED), (b"1719846000.123456789", STAGED), (b"1.719846e9", STAGED),
    (b'"1719846000"', STAGED), (b'"1719846000123"', STAGED), (b'"171984600"', "invalid_time"),
    (b"1719846000123456", "invalid_time"), (b"99999999999", "time_out_of_range"), (b"-99999999999", "invalid_time"),
    (b"-99999999999999", "invalid_time"), (b"1e400", "invalid_time"), (b"1e-400", STAGED),
    (b"9" * 4000, "invalid_time"), (b"true", "invalid_time"), (b"false", "invalid_time"), (b"[]", "invalid_time"),
    (b'{"$date":1719846000123}', "invalid_time"), ('"２０２４-07-01"'.encode(), "invalid_time"),
    ('"١٧١٩٨٤٦٠٠٠"'.encode(), "invalid_time"),
]  # fmt: skip


def all_cases() -> list[tuple[bytes, str]]:
    """Every line with its verdict; no line is blank, none holds a line feed."""
    return [
        *((make_record(value), STAGED) for value in JSON_VALUES),
        *((make_record(b"[" + value + b"]"), "malformed_json") for value in NO_JSON_VALUES if value),
        *((value, "malformed_json") for value in NO_JSON_VALUES if value and not value.isspace()),
        (make_record().replace(b"{}", b""), "malformed_json"),
        *((make_record(b'"' + value + b'"'), "invalid_utf8") for value in NO_UTF_8),
        *((make_record(b'{"' + value + b'":1}'), "invalid_utf8") for value in NO_UTF_8),
        *((make_record(user_id=b'"' + value + b'"'), "invalid_utf8") for value in NO_UTF_8),
        *((make_record(ignored=b'"' + value + b'"'), "invalid_utf8") for value in NO_UTF_8),
        *((value, "malformed_json") for value in NO_UTF_8),
        *((make_record(time=value), verdict) for value, verdict in TIMES),
        *LINES,
    ]
