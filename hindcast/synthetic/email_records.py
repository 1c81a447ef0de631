"""How simulated events are written as records of the export, and who the people in them are."""

from datetime import timedelta
from typing import Final

import numpy as np

from hindcast.synthetic.draws import scramble
from hindcast.synthetic.email_personas import CAMPAIGNS, ESPS, PERSONAS, SLOTS
from hindcast.synthetic.email_simulation import (
    BREAKERS,
    CLICKED,
    DELIVERED,
    KINDS,
    OPENED,
    TRIGGERS,
    History,
    has_phone,
    is_customer,
)
from hindcast.synthetic.planted import EPOCH

FIRST_NUMBER: Final = 1000
EMAIL, PHONE, KLAVIYO_ID, SHOPIFY_ID = 1, 2, 4, 8  # bits of what a record names its recipient by
ESP_USER_ID: Final = 16  # shifted by the ESP
AGENTS: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/129.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/129.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
)
BOTS: Final = (
    ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Mail/16.0", "17.58.63.17"),
    ("Mozilla/5.0 (via ggpht.com GoogleImageProxy)", "66.249.84.12"),
    ("BarracudaBot/1.0", "203.0.113.7"),
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/129.0.0.0 Safari/537.36", "198.51.100.23"),
)
_FIRST: Final = (
    "ada", "ben", "carla", "dmitri", "elif", "farid", "grace", "hiro", "ines", "jonas", "kofi", "lena", "maya", "nils",
    "olga", "pavel", "quinn", "rosa", "sami", "tara", "uma", "viktor", "wanda", "xavier", "yara", "zoe",
)  # fmt: skip
_LAST: Final = (
    "abbott", "bauer", "costa", "dupont", "ekwueme", "fischer", "garcia", "haddad", "ito", "jensen", "kowalski",
    "larsen", "moreau", "novak", "okafor", "petrov", "quist", "rossi", "silva", "tanaka",
)  # fmt: skip
_HOSTS: Final = ("example.com", "example.org", "mail.example.net", "post.example.co.uk")


def address_of(person: int) -> str:
    """The clear address of a person: what must be found nowhere after an import."""
    first, last = _FIRST[person % len(_FIRST)], _LAST[person // len(_FIRST) % len(_LAST)]
    return f"{first}.{last}{FIRST_NUMBER + person}@{_HOSTS[person % len(_HOSTS)]}"


def phone_of(person: int) -> str:
    """The ten digits of a person's phone."""
    return f"{201 + person // 10_000}555{person % 10_000:04}"


def names_of(history: History, message: int) -> int:
    """What the records of a message name their recipient by, as bits."""
    person, esp, draw = history.person[message], history.esp[message], history.draw[message]
    channel = ESPS[esp].channel
    bits = ESP_USER_ID << esp
    bits |= (EMAIL if channel == "email" else 0) | (PHONE if channel == "sms" else 0)
    if channel == "email" and draw % 5 == 0 and has_phone(person):
        bits |= PHONE
    if esp == 0:
        bits |= KLAVIYO_ID
    if is_customer(person) and (channel == "push" or draw // 5 % 3 == 0):
        bits |= SHOPIFY_ID
    return bits


def make_event_ids(first: int, count: int, seed: int, generated_ms: int) -> list[str]:
    """UUIDv7s of the moment of generating, for records numbered from `first`: eight a millisecond."""
    words = scramble(np.arange(2 * first, 2 * (first + count)), seed).tolist()
    return [
        f"{at_ms >> 16:08x}-{at_ms & 0xFFFF:04x}-7{high & 0xFFF:03x}"
        f"-{0x8000 | high >> 12 & 0x3FFF:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
        for at_ms, high, low in zip(
            (generated_ms + number // 8 for number in range(first, first + count)), words[::2], words[1::2], strict=True
        )
    ]


def write_time(at_ms: int) -> str:
    """A time as the source writes it: ISO, no zone."""
    return (EPOCH + timedelta(milliseconds=at_ms)).replace(tzinfo=None).isoformat(timespec="milliseconds")


def write_record(history: History, event: int, event_id: str) -> str:
    """One line of the export."""
    message, kind, at_ms = history.message[event], history.kind[event], history.at_ms[event]
    person, esp, campaign = history.person[message], ESPS[history.esp[message]], history.campaign[message]
    url = f'"https://shop.example.com/c/{campaign}/{message % 97}"' if kind == CLICKED else "null"
    bounce = ("null", '"hard"', '"soft"')[history.bounce[message]] if kind == 2 else "null"
    agent, ip_address = "null", "null"
    if kind in (OPENED, CLICKED):
        agent, ip_address = map('"{}"'.format, _device(history, event))
    return (
        f'{{"event_id":"{event_id}","event_type":"{KINDS[kind]}","timestamp":"{write_time(at_ms)}","esp":"{esp.name}",'
        f'"recipient_id":"synth_user_{FIRST_NUMBER + person:05}",{_recipient(history, message)}'
        f'"campaign_id":"camp_{campaign + 1:03}","campaign_name":"{CAMPAIGNS[campaign]}",'
        f'"message_id":"msg_{message + 1:09}","subject":"{CAMPAIGNS[campaign]} for you","click_url":{url},'
        f'"bounce_type":{bounce},"user_agent":{agent},"ip_address":{ip_address},'
        f'"metadata":{{{_metadata(history, event)}}},"ingested_at":"{write_time(at_ms + 1000 + message % 4000)}"}}'
    )


def _recipient(history: History, message: int) -> str:
    names, person, draw = names_of(history, message), history.person[message], history.draw[message]
    address = address_of(person)
    if draw % 11 == 3:
        address = f" {address.upper()}"
    text = f'"recipient_email":"{address}",' if names & EMAIL else '"recipient_email":null,'
    if names & PHONE:
        number = phone_of(person)
        written = (number, f"+1{number}", f"({number[:3]}) {number[3:6]}-{number[6:]}")[draw % 3]
        text += f'"recipient_phone":"{written}",'
    if names & KLAVIYO_ID:
        text += f'"klaviyo_id":"01H{person:08X}",'
    if names & SHOPIFY_ID:
        text += f'"shopify_customer_id":"{7_000_000_000 + person}",'
    return text


def _device(history: History, event: int) -> tuple[str, str]:
    message = history.message[event]
    if history.is_bot[event]:
        return BOTS[history.draw[message] % len(BOTS)]
    person = history.person[message]
    return AGENTS[person % len(AGENTS)], f"100.{64 + (person >> 16)}.{person >> 8 & 255}.{person & 255}"


def _metadata(history: History, event: int) -> str:
    message, kind = history.message[event], history.kind[event]
    person, esp = history.person[message], ESPS[history.esp[message]]
    text = f'"channel":"{esp.channel}","persona":"{PERSONAS[SLOTS[person % len(SLOTS)]].name}"'
    if kind == DELIVERED:
        text += f',"latency_seconds":{history.latency_ms[message] / 1000}'
    if kind == OPENED:
        delivered_ms = history.sent_ms[message] + history.latency_ms[message]
        text += f',"seconds_since_delivery":{(history.at_ms[event] - delivered_ms) / 1000}'
    if history.trigger[message]:
        minutes = round(history.trigger_minutes[message], 2)
        text += f',"hot_path":"{TRIGGERS[history.trigger[message]]}","minutes_since_trigger":{minutes}'
    if history.resumed_after[message]:
        text += f',"resumed_after":"{BREAKERS[history.resumed_after[message]]}"'
    return text
