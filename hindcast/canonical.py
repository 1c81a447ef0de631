"""The canonical form of JSON values: what is hashed, stored and compared. Version 1; golden values in the tests.

Object keys are sorted, the last of duplicate keys wins, there is no white space, and a number is written by its
value: `1`, `1.0` and `1e0` are one number. A number that a double holds exactly as written is a double; any other
is kept digit for digit. So the text read back from a `jsonb` column has the canonical form of the text that went in.
"""

import re
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from hindcast.errors import RecordError

MAX_DEPTH: Final = 100
# Integers of over 4,300 digits cannot be read back by Python, and numeric ends not far beyond.
MAX_NUMBER_DIGITS: Final = 4_000

_EXACT = Context(prec=3 * MAX_NUMBER_DIGITS + 100, Emax=MAX_EMAX, Emin=MIN_EMIN)
_DOUBLE_IS_EXACT_CHARACTERS = 15  # a decimal of up to 15 digits survives a double
_LONG_DIGITS = re.compile(rb"\d{%d}" % (MAX_NUMBER_DIGITS + 1))
# Possessive repeats: without them a string of megabytes costs a hundred times its size in memory.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: one character, storable
    rb"|(?P<bad>\\u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))"
    rb"|\\.",
    re.DOTALL,
)


def decode_value(text: bytes | str | msgspec.Raw) -> Any:
    """Read one JSON value; numbers come as int, float or, where a double would lose digits, Decimal.

    Raises msgspec.DecodeError, UnicodeDecodeError, or RecordError for a number too long to keep.
    """
    value = _DECODER.decode(text)
    if len(text) > MAX_NUMBER_DIGITS:
        source = text.encode() if isinstance(text, str) else bytes(text)
        if _LONG_DIGITS.search(source):
            _check_integers(value)
    return value


def encode_value(value: Any) -> bytes:
    """Write a value of `decode_value` in canonical form, UTF-8."""
    return _ENCODER.encode(value)


def is_canonical_form(text: str, canonical: bytes) -> bool:
    """True when JSON text (as of a `jsonb` column) has this canonical form; never raises."""
    try:
        return _ENCODER.encode(_DECODER.decode(text)) == canonical
    except (msgspec.DecodeError, RecordError):  # nothing of ours: numbers longer than any format may bring in
        return False


def mark_unstorable(text: bytes) -> tuple[bytes, bool]:
    """Make `\\u0000` and lone surrogates visible text in JSON source, as PostgreSQL can hold neither.

    Returns the text and whether anything was changed. The value then reads as the six characters of the escape.
    """
    if b"\\" not in text or b"\\u" not in text:  # one byte is found much faster than two
        return text, False
    marked = _ESCAPES.sub(lambda m: b"\\" + m[0] if m["bad"] else m[0], text)
    return marked, marked != text


def check_depth(text: bytes) -> None:
    """Raise RecordError when brackets nest deeper than MAX_DEPTH; cheap on ordinary records."""
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for token in _STRUCTURE.finditer(text):
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise RecordError("too_deep", f"nested more than {MAX_DEPTH} levels deep")
        elif first in b"]}":
            depth -= 1


def read_number(text: str) -> int | float | Decimal:
    """Read a JSON number with a fraction or exponent by its value: the `float_hook` of every decoder here."""
    double = float(text)
    if len(text) > _DOUBLE_IS_EXACT_CHARACTERS or "e" in text or "E" in text:
        exact = _read_exact(text)
        if exact == exact.to_integral_value(context=_EXACT):
            return int(exact)
        if Decimal(repr(double)) != exact:
            return _EXACT.normalize(exact)
        return double
    return int(double) if double.is_integer() else double


def _read_exact(text: str) -> Decimal:
    try:
        exact = Decimal(text)
        if len(text) + abs(exact.adjusted()) < MAX_NUMBER_DIGITS or _is_writable(exact, len(text)):
            return exact
    except InvalidOperation:  # an exponent beyond even Decimal's
        pass
    raise RecordError("number_out_of_range", f"number {text[:20]}… has over {MAX_NUMBER_DIGITS} digits")


def _is_writable(exact: Decimal, length: int) -> bool:
    """True when the number, written without an exponent as PostgreSQL does, can be read back."""
    if length > 3 * MAX_NUMBER_DIGITS + 10 or not -MAX_NUMBER_DIGITS <= exact.adjusted() < MAX_NUMBER_DIGITS:
        return False
    exponent = exact.as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= 2 * MAX_NUMBER_DIGITS


def _check_integers(value: Any) -> None:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _check_integers(item)
    elif isinstance(value, int) and abs(value) >= 10**MAX_NUMBER_DIGITS:
        raise RecordError("number_out_of_range", f"an integer has over {MAX_NUMBER_DIGITS} digits")


_DECODER: Final = msgspec.json.Decoder(float_hook=read_number)
_ENCODER: Final = msgspec.json.Encoder(order="sorted", decimal_format="number")
