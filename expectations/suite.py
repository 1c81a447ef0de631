"""Reads suites from JSON, strictly: Great Expectations drops what it does not understand and goes on."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import msgspec

from hindcast.errors import ConfigurationError

SHIPPED_DIRECTORY: Final = Path(__file__).parent

_SUITE_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
# The gate sets these itself: errors are never let out or hidden, results are bounded.
_RESERVED_KWARGS: Final = ("catch_exceptions", "result_format")


class _ExpectationFile(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    severity: Literal["critical", "warning", "info"]
    kwargs: dict[str, Any]
    meta: dict[str, Any] = {}
    description: str | None = None
    notes: str | list[str] | None = None
    id: str | None = None


class _SuiteFile(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    expectations: list[_ExpectationFile]
    meta: dict[str, Any] = {}
    notes: str | list[str] | None = None
    id: str | None = None


@dataclass(frozen=True)
class Expectation:
    """One expectation with its parameters filled in. `rule` is its stable name."""

    rule: str
    type: str
    severity: str
    description: str
    kwargs: dict[str, Any]


@dataclass(frozen=True)
class Suite:
    """A suite as read. `locators` are columns that tell which row a failing value belongs to."""

    name: str
    file: Path
    locators: tuple[str, ...]
    expectations: tuple[Expectation, ...]


def load_suite(name: str, parameters: Mapping[str, object], directory: Path | None) -> Suite:
    """Load `<name>.json` from `directory`, else from the shipped suites, and fill in `$PARAMETER` values.

    Raises ConfigurationError naming file and place for a missing file, anything unknown or malformed, an
    empty suite, a missing or repeated `meta.rule`, and a parameter that has no value.
    """
    if not _SUITE_NAME.fullmatch(name):
        raise ConfigurationError(f"suite name {name[:60]!r}: expected lower-case letters, digits and _")
    file = (SHIPPED_DIRECTORY if directory is None else directory) / f"{name}.json"
    content = _read_file(file)
    if content.name != name:
        raise ConfigurationError(f"{file} at $.name: {content.name[:60]!r}: expected {name!r}, like the file")
    if not content.expectations:
        raise ConfigurationError(f"{file} at $.expectations: empty: a suite that checks nothing passes everything")
    expectations = tuple(
        _read_expectation(entry, f"{file} at $.expectations[{position}]", parameters)
        for position, entry in enumerate(content.expectations)
    )
    _refuse_repeated_rules(file, expectations)
    return Suite(name, file, _read_locators(file, content.meta), expectations)


def _read_file(file: Path) -> _SuiteFile:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: no such suite: expected a JSON file of expectations") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {error}") from error
    try:
        document = json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)
        return msgspec.convert(document, _SuiteFile)
    except RecursionError:
        raise ConfigurationError(f"{file}: nested too deep") from None
    except ValueError as error:  # json's and msgspec's errors both name the place
        raise ConfigurationError(f"{file}: {error}") from error


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {repeated[:60]!r} occurs twice in one object")
    return mapping


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _read_expectation(entry: _ExpectationFile, place: str, parameters: Mapping[str, object]) -> Expectation:
    rule = entry.meta.get("rule")
    if not isinstance(rule, str) or not rule.strip():
        raise ConfigurationError(f"{place}.meta.rule: expected a name such as 'EV-005', the key results go by")
    if rule.startswith("hindcast."):
        raise ConfigurationError(f"{place}.meta.rule: {rule[:60]!r}: names that start so are the gate's own")
    for reserved in _RESERVED_KWARGS:
        if reserved in entry.kwargs:
            raise ConfigurationError(f"{place}.kwargs.{reserved}: set by the gate, remove it")
    kwargs = {key: _fill_in(value, f"{place}.kwargs.{key}", parameters) for key, value in entry.kwargs.items()}
    return Expectation(rule, entry.type, entry.severity, entry.description or entry.type, kwargs)


def _fill_in(value: Any, place: str, parameters: Mapping[str, object]) -> Any:
    if isinstance(value, list):
        return [_fill_in(item, f"{place}[{position}]", parameters) for position, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "$PARAMETER" not in value:
        return {key: _fill_in(item, f"{place}.{key}", parameters) for key, item in value.items()}
    name = value["$PARAMETER"]
    if len(value) > 1 or not isinstance(name, str):
        raise ConfigurationError(f"{place}: expected only a name, such as {{'$PARAMETER': 'window_start'}}")
    # A bound of None would not be checked, silently.
    if parameters.get(name) is None:
        known = ", ".join(sorted(key for key, item in parameters.items() if item is not None)) or "none"
        raise ConfigurationError(f"{place}: no value for $PARAMETER {name[:60]!r}: this gate has {known}")
    return parameters[name]


def _refuse_repeated_rules(file: Path, expectations: tuple[Expectation, ...]) -> None:
    seen: set[str] = set()
    for position, expectation in enumerate(expectations):
        if expectation.rule in seen:
            place = f"{file} at $.expectations[{position}].meta.rule"
            raise ConfigurationError(f"{place}: {expectation.rule!r} is used twice: results go by it")
        seen.add(expectation.rule)


def _read_locators(file: Path, meta: dict[str, Any]) -> tuple[str, ...]:
    locators = meta.get("locators", [])
    if not isinstance(locators, list) or not all(isinstance(column, str) for column in locators):
        raise ConfigurationError(f"{file} at $.meta.locators: expected a list of column names")
    return tuple(locators)
