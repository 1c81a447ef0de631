"""Personal values in free-form payloads: keys email, name and phone, in any case and at any depth."""

import re
from functools import lru_cache
from typing import Any

from hindcast.formats.base import Context

_PERSONAL_KEYS = frozenset({"email", "name", "phone"})
_PERSONAL_TEXT = re.compile(
    r'("(?:email|name|phone)"\s*:\s*)("(?:[^"\\]|\\.)*"?|[^,}\]\s]+)', re.IGNORECASE | re.DOTALL
)
# Bounded repeats: hostile text cannot make the search slow.
_ADDRESS = re.compile(
    r"[^\s\"'<>:,;\\{}\[\]()@]{1,64}(?:@|%40|\\u0040)[^\s\"'<>:,;\\{}\[\]()@]{1,255}\.[^\s\"'<>:,;\\{}\[\]()@]{1,63}"
)
_ADDRESS_SIGNS = ("@", "%40", "\\u0040")


def redact(text: str) -> str:
    """Hide personal values in text that may not be JSON: values of the personal keys, and anything like an address."""
    text = _PERSONAL_TEXT.sub(r'\1"[redacted]"', text)
    return _ADDRESS.sub("[redacted]", text) if any(sign in text for sign in _ADDRESS_SIGNS) else text


def holds_personal(value: Any) -> bool:
    """True when an object in this value, at any depth, has a personal key."""
    if type(value) is dict:
        if _are_personal(tuple(value)):
            return True
        value = value.values()
    for item in value:
        kind = type(item)
        if (kind is dict or kind is list) and holds_personal(item):
            return True
    return False


def scrub(value: Any, context: Context) -> Any:
    """The value with the texts under personal keys replaced by a hash."""
    if isinstance(value, list):
        return [scrub(item, context) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: context.hash_personal(item)
        if isinstance(item, str) and item and _is_personal_key(key)
        else scrub(item, context)
        for key, item in value.items()
    }


@lru_cache(maxsize=4096)  # shapes repeat; hostile ones do not, and fall out again
def _are_personal(keys: tuple[str, ...]) -> bool:
    return any(map(_is_personal_key, keys))


def _is_personal_key(key: str) -> bool:
    return key.lower() in _PERSONAL_KEYS
