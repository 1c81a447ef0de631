"""Addresses and phone numbers in email engagement records: how they are hashed, found in other texts, and hidden.

A hash is lower-case hex: SHA-256 of the normal form, HMAC-SHA-256 when a secret is configured.
"""

import hashlib
import hmac
import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

HIDDEN: Final = "[redacted]"
MOST_LAYERS: Final = 3  # an address may be percent-encoded again and again; deeper than this it is no mail link

# Possessive repeats that begin where a word begins: hostile text cannot make the searches slow.
_PLAIN: Final = r"[^\s\"'<>:,;\\{}\[\]()@&=?/#|%]"
_ADDRESS: Final = re.compile(rf"(?<!{_PLAIN}){_PLAIN}++@(?={_PLAIN}*?\.{_PLAIN}){_PLAIN}++")
_CODED: Final = rf"(?:{_PLAIN}|%(?!40)[0-9A-Fa-f]{{2}})"
_CODED_ADDRESS: Final = re.compile(rf"(?<!{_PLAIN}|%){_CODED}++(?:@|%40){_CODED}++")
_ESCAPE: Final = re.compile(r"\\+u([0-9A-Fa-f]{4})|\\+x([0-9A-Fa-f]{2})")
_MAY_BE_CODED: Final = re.compile(r"%[0-9A-Fa-f]{2}|\\[ux]|&(?:#|commat)|[\uff00-\uffef\ufe6b]")
_PHONE: Final = re.compile(r"(?<![\w.])(?:\+|\(|00)?\d(?:[\s().\-/]{0,2}\d){8,14}(?![\w])")
_SHORTEST_PHONE: Final = 9
_NOT_A_PHONE: Final = re.compile(r"\d{4}-\d\d-\d\d|\d{1,3}(?:\.\d{1,3}){3}$")
_SEPARATOR: Final = re.compile(r"([&?=/#;,\s]+)")
_EMAIL_KEY: Final = re.compile(r"(?:^|_)e?_?mail(?:_?address)?$")
_PHONE_KEY: Final = re.compile(r"(?:^|_)(?:phone|mobile|msisdn|telephone|cell|sms)(?:_?(?:number|no))?$")
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# One after the other: an alternation of them takes fifty times as long.
_WORTH_A_LOOK: Final = (b"%", b"\\", b"&", b"+", b"phone", b"mobile", b"msisdn", b"cell", b"sms")
_KEYED_TEXT: Final = re.compile(
    r'("[^"\\]{0,64}(?:mail|phone|mobile|msisdn|cell|sms)[^"\\]{0,64}"\s{0,20}:\s{0,20})("(?:[^"\\]|\\.)*+"?|[^,}\]\s]+)',
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Hasher:
    """Hashes personal values, keyed when there is a secret."""

    key: bytes | None

    def email(self, address: str) -> str:
        """Hash of an address, trimmed and in lower case."""
        return _hash(self.key, address.strip().lower())

    def phone(self, number: str) -> str:
        """Hash of a number in E.164."""
        return _hash(self.key, number)

    def text(self, value: str) -> str:
        """Hash of any other text."""
        return _hash(self.key, value)


def is_address(text: str) -> bool:
    """True when the whole of a text can be an address: something on both sides of one `@`, no white space."""
    stripped = text.strip()
    name, at, domain = stripped.rpartition("@")
    return bool(at and name and domain) and len(text) <= 320 and stripped.split() == [stripped]


def normalise_phone(value: str | int) -> str | None:
    """A number in E.164; ten digits without a plus are North American. None when it is no phone number."""
    text = str(value).strip()
    digits = "".join(filter(str.isdecimal, text))
    if not digits.isascii() or any(sign not in "+0123456789 ().-/\t" for sign in text):
        return None
    if text.startswith("00"):
        text, digits = "+" + text[2:], digits[2:]
    if text.startswith("+"):
        return f"+{digits}" if 8 <= len(digits) <= 15 else None
    if len(digits) == 10:
        return f"+1{digits}"
    return f"+{digits}" if 11 <= len(digits) <= 15 else None


@lru_cache(maxsize=4096)
def is_email_key(key: str) -> bool:
    """True for names such as email, recipientEmail, to_email_address."""
    return bool(_EMAIL_KEY.search(_CAPITAL.sub("_", key).lower()))


@lru_cache(maxsize=4096)
def is_phone_key(key: str) -> bool:
    """True for names such as phone, recipientPhone, mobile_number."""
    return bool(_PHONE_KEY.search(_CAPITAL.sub("_", key).lower()))


def holds_nothing_else(raw: bytes, addresses: int) -> bool:
    """True when a record has no more `@` than these and nothing that `hide` looks at; a cheap look at all of it."""
    if raw.count(b"@") != addresses or not raw.isascii():
        return False
    lowered = raw.lower()
    for sign in _WORTH_A_LOOK:  # noqa: SIM110  # `any` takes twice as long
        if sign in lowered:
            return False
    return True


def hide(value: Any, hasher: Hasher, own: frozenset[str]) -> Any:
    """The value with every address and phone number in it replaced by its hash, at any depth and in keys.

    `own` are the record's own address and number in normal form: found also where they look like neither.
    """
    if isinstance(value, str):
        return hide_text(value, hasher, own)
    if isinstance(value, list):
        return [hide(item, hasher, own) for item in value]
    if isinstance(value, dict):
        return {hide_common(key, hasher, own): _hide_named(key, item, hasher, own) for key, item in value.items()}
    if own and type(value) is int and value > 99_999_999 and normalise_phone(value) in own:
        return hasher.phone(normalise_phone(value) or "")
    return value


def hide_common(text: str, hasher: Hasher, own: frozenset[str]) -> str:
    """What `hide_text` makes of a text that many records have, such as a key."""
    return text if _is_harmless(text) else hide_text(text, hasher, own)


def hide_text(text: str, hasher: Hasher, own: frozenset[str]) -> str:
    """A text with addresses, in any of the usual codings, replaced by their hashes, and phone numbers too.

    What is found only after decoding hides the piece it is in (a query's value, a word), or all where it spans several.
    """
    if text.isalpha():
        return text
    is_coded = _MAY_BE_CODED.search(text) is not None
    if "@" in text or is_coded:
        for address in own:
            if "@" in address and address in text.lower():
                text = re.sub(re.escape(address), hasher.email(address), text, flags=re.IGNORECASE)
        text = _hide_addresses(text, hasher)
    if len(text) < _SHORTEST_PHONE:
        return text
    text = _PHONE.sub(lambda found: _hide_number(found[0], hasher, own), text)
    if is_coded and _shows_personal(_decode(text), own):
        pieces = _SEPARATOR.split(text)
        text = "".join(HIDDEN if _shows_personal(_decode(piece), own) else piece for piece in pieces)
        return HIDDEN if _shows_personal(_decode(text), own) else text
    return text


@lru_cache(maxsize=4096)
def _is_harmless(text: str) -> bool:
    """True for a text in which `hide_text` finds nothing, whosoever's record it is in."""
    return "@" not in text and not _MAY_BE_CODED.search(text) and not _PHONE.search(text)


def redact(text: str) -> str:
    """Hide personal values in text that may be no JSON: of keys that name them, and whatever looks like one."""
    shown = _decode(text) if _MAY_BE_CODED.search(text) else text
    shown = _KEYED_TEXT.sub(rf'\1"{HIDDEN}"', shown)
    if "@" in shown:
        shown = _ADDRESS.sub(HIDDEN, shown)
    return _PHONE.sub(lambda found: found[0] if _NOT_A_PHONE.match(found[0]) else HIDDEN, shown)


def _hide_addresses(text: str, hasher: Hasher) -> str:
    for _ in range(MOST_LAYERS):  # of a@b.c@d.e the first leaves something that looks like another
        before = text
        text = _CODED_ADDRESS.sub(lambda found: _hide_address(found[0], hasher), text)
        if text == before:
            return text
    return HIDDEN if _ADDRESS.search(_decode(text)) else text


def _hide_address(found: str, hasher: Hasher) -> str:
    decoded = _decode(found)
    return _ADDRESS.sub(lambda address: hasher.email(address[0]), decoded) if _ADDRESS.search(decoded) else found


def _hide_named(key: str, value: Any, hasher: Hasher, own: frozenset[str]) -> Any:
    if isinstance(value, str | int) and not isinstance(value, bool):
        if is_phone_key(key):
            number = normalise_phone(value)
            return hasher.phone(number) if number else hide(value, hasher, own)
        if isinstance(value, str) and is_email_key(key) and is_address(value):
            return hasher.email(value)
    return hide(value, hasher, own)


def _hide_number(found: str, hasher: Hasher, own: frozenset[str]) -> str:
    """A number written with its plus, or the record's own, is a phone number; others may be anything."""
    number = normalise_phone(found)
    if number and (found.startswith("+") or number in own):
        return hasher.phone(number)
    return found


def _shows_personal(decoded: str, own: frozenset[str]) -> bool:
    lowered = decoded.lower()
    if _ADDRESS.search(decoded) or any("@" in address and address in lowered for address in own):
        return True
    numbers = (found[0] for found in _PHONE.finditer(decoded))
    return any(number.startswith("+") or normalise_phone(number) in own for number in numbers)


def _decode(text: str) -> str:
    """A text without the codings an address may hide in: JSON and percent escapes, HTML entities, wide characters."""
    for _ in range(MOST_LAYERS):
        before = text
        text = _ESCAPE.sub(lambda found: _character(int(found[1] or found[2], 16)), text)
        text = html.unescape(unquote(text, errors="backslashreplace")) if "%" in text or "&" in text else text
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        if text == before:
            break
    return text


def _character(code: int) -> str:
    return chr(code) if not 0xD800 <= code < 0xE000 else "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=1 << 16)  # people come again and again
def _hash(key: bytes | None, text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return hmac.new(key, data, hashlib.sha256).hexdigest() if key else hashlib.sha256(data).hexdigest()
