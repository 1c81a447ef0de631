"""What the kernel looks at and copies several bytes at a time is what Python makes of it, whatever its length."""

import itertools
import json

import pytest
from kernel_inputs import read_both
from torture_cases import make_record

from hindcast.canonical import decode_value, encode_value
from hindcast.kernel import _kernel, is_compiled

pytestmark = pytest.mark.skipif(not is_compiled, reason="no C compiler was there at installation")


@pytest.mark.parametrize("size", range(70))
def test_texts_of_every_length_are_copied_whole(size: int) -> None:
    plain, odd = "x" * size, "x" * size + 'é\n"'  # what is ordinary is looked for and copied several bytes at a time
    value = json.dumps({f"{plain}b": odd, f"{plain}a": plain, plain: [odd, plain]}).encode()
    assert _kernel.canonical(value) == encode_value(decode_value(value))
    found, expected = read_both(
        [make_record(json.dumps({plain: odd}).encode(), user_id=json.dumps(text).encode()) for text in (plain, odd)]
    )
    assert found == expected


@pytest.mark.parametrize(
    "keys", [["a", "ab", "abcdefgh", "abcdefghi", "abcdefghz"], ["é", "e", "ééé", "éééa", "zzzzzzzz"]]
)
def test_keys_are_in_order_whatever_their_beginnings(keys: list[str]) -> None:
    for order in itertools.permutations(keys):
        text = json.dumps(dict.fromkeys(order), ensure_ascii=False).encode()
        assert _kernel.canonical(text) == encode_value(decode_value(text))
