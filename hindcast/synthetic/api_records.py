"""Ordinary records of API monitoring: numpy columns, then one text template.

Every request draws its service, endpoint, method, environment and outcome by the tabled weights; its time follows the
clock (hours 9 to 17 have twice the traffic of the others), its duration the service's mean.
"""

from collections.abc import Mapping
from datetime import timedelta
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hindcast.synthetic import api_catalogue as catalogue
from hindcast.synthetic.api_catalogue import ERRORS, METHODS, SERVICES, SUCCESSES
from hindcast.synthetic.blocks import Block
from hindcast.synthetic.draws import (
    Fractions,
    Integers,
    Texts,
    Words,
    as_fractions,
    as_texts,
    draw_words,
    take_bits,
)
from hindcast.synthetic.spec import GenerateSpec
from hindcast.synthetic.traffic import TrafficCurve, to_ms

EVENT_TYPES = ("api_call",)  # the source writes no other by itself
STATUSES = (*SUCCESSES, *ERRORS)
FIRST_ERROR = len(SUCCESSES)  # place in STATUSES
NORMAL_STEPS = 12  # bits: the quantiles of a normal distribution are taken from a table, the same on any machine
HEX_WORDS = 7  # of 16 digits each

LINE = (
    '{"event_id":"evt_%d_%s","event_type":"api_call","timestamp":"%s000Z",%s'
    '"metrics":{"response_time_ms":%s,"status_code":%d,"request_size_bytes":%d,"response_size_bytes":%d,%s'
    '"session_id":"sess_%s","request_id":"req_%s%s","ip_address":"%d.%d.%d.%d",%s'
    '%s"payload":{"correlation_id":"corr_%s","trace_id":"trace_%s%s"%s}}'
)


class ApiRecords:
    """Draws blocks of ordinary records; every one has an id of its own, made of its number."""

    def __init__(self, spec: GenerateSpec) -> None:
        self.seed = spec.seed
        self.count = spec.count
        self.window_ms = (to_ms(spec.start + timedelta(microseconds=999)), to_ms(spec.end))  # none before the start
        self.traffic = TrafficCurve(*self.window_ms, weigh_hours)
        self.heads = head_fragments()
        self.callers = caller_fragments()
        self.error_details = error_fragments()
        self.endpoints = np.array([len(service.endpoints) for service in SERVICES], dtype=np.int64)
        self.first_endpoint = np.cumsum(self.endpoints) - self.endpoints
        self.error_rates = np.array([service.error_rate for service in SERVICES])
        self.means = np.array([service.mean_ms for service in SERVICES])
        steps = 1 << NORMAL_STEPS
        quantiles = [NormalDist(1, 0.3).inv_cdf((step + 0.5) / steps) for step in range(steps)]
        self.factors = np.maximum(0.1, np.array(quantiles))
        self.codes = np.array(STATUSES, dtype=np.int64)

    def draw_block(self, number: int, first: int, size: int, own_ids: Integers) -> Block:
        """Make records `first` to `first + size`; all have an own id, whatever `own_ids` says."""
        words = draw_words(self.seed, number, 0, (10, size))
        numbers = np.arange(first, first + size, dtype=np.int64)
        at_ms = self.traffic.times((numbers + as_fractions(words[0])) / self.count)
        lines = self.render(words, draw_hex(self.seed, number, size), numbers, at_ms)
        return Block(first, self.window_ms, at_ms, EVENT_TYPES, np.zeros(size, dtype=np.int64), lines)

    def render(self, words: Words, digits: list[list[str]], numbers: Integers, at_ms: Integers) -> list[str]:
        """Draw the columns of the template and fill it."""
        service = take_bits(words[1], 0, 3)
        endpoint = self.first_endpoint[service] + take_bits(words[1], 3, 30) * self.endpoints[service] // (1 << 30)
        method = choose(as_fractions(words[2]), METHODS)
        environment = choose(as_fractions(words[3]), catalogue.ENVIRONMENTS)
        is_error = as_fractions(words[4]) < self.error_rates[service]
        outcome = as_fractions(words[5])
        status = np.where(is_error, FIRST_ERROR + choose(outcome, ERRORS), choose(outcome, SUCCESSES))
        code = self.codes[status]
        kind = np.where(is_error, np.where(code < 500, 1, 2), 0)
        head = ((endpoint * len(METHODS) + method) * len(catalogue.ENVIRONMENTS) + environment) * 3 + kind
        caller = take_bits(words[1], 33, 20) * len(self.callers) >> 20
        octets = (take_bits(words[6], 8 * byte, 8) for byte in range(4))
        rows = zip(
            numbers.tolist(),
            [text[:12] for text in digits[0]],
            np.datetime_as_string(at_ms.view("datetime64[ms]"), unit="ms").tolist(),
            self.heads[head].tolist(),
            np.round(self.durations(words[7], service, is_error), 2).tolist(),
            code.tolist(),
            (100 + (take_bits(words[8], 0, 16) * 4_900 >> 16)).tolist(),
            response_sizes(words[8], is_error).tolist(),
            metrics_ends(words[8], is_error),
            *digits[1:4],
            *((1 + (octet * 254 >> 8)).tolist() for octet in octets),
            self.callers[caller].tolist(),
            self.details(words[9], status, is_error),
            *digits[4:7],
            service_fields(words[6], SERVICE_FIELDS[endpoint * len(METHODS) + method]),
            strict=True,
        )
        return list(map(LINE.__mod__, rows))

    def durations(self, words: Words, service: Integers, is_error: NDArray[np.bool_]) -> Fractions:
        """Response times in ms: mean x max(0.1, N(1, 0.3)), errors x U(0.5, 3), one in twenty x U(2, 10)."""
        factors: Fractions = self.means[service] * self.factors[take_bits(words, 0, NORMAL_STEPS)]
        part = take_bits(words, 12, 16) / (1 << 16)
        factors = np.where(is_error, factors * (0.5 + 2.5 * part), factors)
        is_spike = take_bits(words, 28, 20) < catalogue.SPIKE_SHARE * (1 << 20)
        spike = take_bits(words, 48, 16) / (1 << 16)
        return np.where(is_spike, factors * (2 + 8 * spike), factors)

    def details(self, words: Words, status: Integers, is_error: NDArray[np.bool_]) -> list[str]:
        """Return the `error_details` of each record, '' for what went well."""
        texts = np.full(len(status), "", dtype=object)
        places = np.flatnonzero(is_error)
        message = take_bits(words[places], 0, 16) * 3 >> 16
        numbers = 100 + (take_bits(words[places], 16, 16) * 900 >> 16)
        fragments = self.error_details[(status[places] - FIRST_ERROR) * 3 + message].tolist()
        texts[places] = [text % n for text, n in zip(fragments, numbers.tolist(), strict=True)]
        details: list[str] = texts.tolist()
        return details


def draw_hex(seed: int, block: int, size: int) -> list[list[str]]:
    """Return columns of 16 random hexadecimal digits."""
    words = draw_words(seed, block, 2, (HEX_WORDS, size)).astype(">u8")  # the same digits on any machine
    digits = np.frombuffer(words.tobytes().hex().encode(), dtype="S16").astype("U16").reshape(HEX_WORDS, size)
    columns: list[list[str]] = digits.tolist()
    return columns


def choose(fractions: Fractions, weights: Mapping[str, int] | Mapping[int, int]) -> Integers:
    """Choose by weight: the places of the chosen in `weights`."""
    edges = np.cumsum(list(weights.values())) / sum(weights.values())
    chosen: Integers = np.searchsorted(edges, fractions, side="right")
    return chosen


def weigh_hours(hours: Integers) -> Fractions:
    """Return the traffic of hours counted from 1970: twice as much in clock hours 9 to 17."""
    is_business = np.isin(hours % 24, list(catalogue.BUSINESS_HOURS))
    return np.where(is_business, 2.0, 1.0)


def response_sizes(words: Words, is_error: NDArray[np.bool_]) -> Integers:
    """Return sizes in bytes: 500 to 50,000, errors 100 to 500, as in the real data."""
    drawn = take_bits(words, 16, 16)
    return np.where(is_error, 100 + (drawn * 401 >> 16), 500 + (drawn * 49_501 >> 16))


def metrics_ends(words: Words, is_error: NDArray[np.bool_]) -> list[str]:
    """Return the end of `metrics` and the start of `context`: whether from the cache (no error is), and who called."""
    is_hit = ((take_bits(words, 32, 12) < catalogue.CACHE_HIT_SHARE * (1 << 12)) & ~is_error).tolist()
    draw = take_bits(words, 44, 20)
    is_user = (draw >= catalogue.NO_USER_SHARE * (1 << 20)).tolist()
    user = (10_000 + draw * 90_000 // (1 << 20)).tolist()
    hits = {True: '"cache_hit":true},"context":{"user_id":', False: '"cache_hit":false},"context":{"user_id":'}
    return [
        f'{hits[hit]}"user_{number}",' if known else f"{hits[hit]}null,"
        for hit, known, number in zip(is_hit, is_user, user, strict=True)
    ]


def service_fields(words: Words, kinds: Integers) -> list[str]:
    """Return what some endpoints add to the payload; most add nothing."""
    texts = np.full(len(kinds), "", dtype=object)
    places = np.flatnonzero(kinds)
    drawn = take_bits(words[places], 44, 20).tolist()
    texts[places] = [write_fields(kind, draw) for kind, draw in zip(kinds[places].tolist(), drawn, strict=True)]
    fields: list[str] = texts.tolist()
    return fields


def write_fields(kind: int, draw: int) -> str:
    """Write the payload's own part: 1 login, 2 registration, 3 order, 4 payment."""
    if kind == 1:
        return f',"auth_method":"{catalogue.AUTH_METHODS[draw % 3]}"'
    if kind == 2:
        return f',"registration_source":"{catalogue.REGISTRATION_SOURCES[draw % 2]}"'
    if kind == 3:
        return f',"items_count":{1 + draw % 10},"total_amount":{(1_000 + draw % 99_000) / 100}'
    method, currency = catalogue.PAYMENT_METHODS[draw % 4], catalogue.CURRENCIES[draw // 4 % 4]
    return f',"payment_method":"{method}","amount":{(1_000 + draw % 499_000) / 100},"currency":"{currency}"'


def head_fragments() -> Texts:
    """Return title to source, by endpoint, method, environment and outcome (success, the caller's or our error)."""
    return as_texts(
        [
            f'"title":"{method} {path}","message":"{message}","severity":"{severity}",'
            f'"source":{{"service":"{service.name}","endpoint":"{path}","method":"{method}",'
            f'"version":"{service.version}","environment":"{environment}"}},'
            for service in SERVICES
            for path in service.paths
            for method in METHODS
            for environment in catalogue.ENVIRONMENTS
            for severity, message in (
                ("info", f"Successfully processed request to {service.name}"),
                ("warning", f"Client error on {path}"),
                ("error", f"Server error in {service.name}"),
            )
        ]
    )


def caller_fragments() -> Texts:
    """Return user agent and tags: where and on what the caller is."""
    return as_texts(
        [
            f'"user_agent":"{agent}","tags":{{"country":"{country}","city":"{city}","region":"{region}",'
            f'"device_type":"{device}"}}}},'
            for agent in catalogue.USER_AGENTS
            for country, city, region in catalogue.CITIES
            for device in catalogue.DEVICES
        ]
    )


def error_fragments() -> Texts:
    """Return the `error_details` of each error and message, with a place for its number."""
    return as_texts(
        [
            f'"error_details":{{"error_code":"ERR_{code}_%d","error_message":"{message}","error_type":"{kind}",'
            '"stack_trace":null},'
            for code in ERRORS
            for kind, messages in (catalogue.ERROR_WORDS[code],)
            for message in messages
        ]
    )


def _fields_kind(path: str, method: str) -> int:
    kinds = {"/api/v1/auth/login": 1, "/api/v1/auth/register": 2, "/api/v1/orders/create": 3}
    return 4 if "/payments/" in path and method == "POST" else kinds.get(path, 0)


SERVICE_FIELDS = np.array(
    [_fields_kind(path, method) for service in SERVICES for path in service.paths for method in METHODS], dtype=np.int64
)
