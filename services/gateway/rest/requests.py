"""What was asked: parameters of a query string or a body, as strangers send them.

`Parameters` gives typed values or raises `InvalidParams` with the sentence that clients of this
API know from its validator. Null counts as absent everywhere. Query strings and forms carry only
text, so there `1`, `true` and `True` are booleans and a repeated key is a list; in JSON a value
must have its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from hubbub.ddp import limits
from hubbub.errors import BadRequest
from services.gateway.rest.answers import InvalidParams

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off", "")
_LONGEST_NUMBER = 15  # digits; more cannot be a count or a time in milliseconds
_LAST_MILLISECOND = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


class UnreadableBody(BadRequest):
    """The body is not what its type says."""

    default_code = "invalid-body"


class WrongValue(ValueError):
    """A value of a wrong type, in the words that clients know."""


class Parameters:
    """Named values of one request. Null counts as absent.

    `textual`: they come from a query string or a form, which carry only text.
    """

    def __init__(self, values: Mapping[str, Any], *, textual: bool = False) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}
        self.textual = textual

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def raw(self, name: str) -> Any:
        """The value as it came, or None."""
        return self.values.get(name)

    def text(self, name: str) -> str | None:
        """A text, or None when absent. An empty text is one. Raises: InvalidParams."""
        value = self._last(name)
        if value is None or isinstance(value, str):
            return value
        raise InvalidParams("must be string")

    def required_text(self, name: str) -> str:
        """A text that is there and not empty. Raises: InvalidParams."""
        value = self.text(name)
        if value is None:
            raise missing(name)
        if not value:
            raise InvalidParams("must NOT have fewer than 1 characters")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A boolean, however it is spelt. Raises: InvalidParams."""
        found = self.optional_flag(name)
        return default if found is None else found

    def optional_flag(self, name: str) -> bool | None:
        """A boolean, or None when absent. Raises: InvalidParams."""
        value = self._last(name)
        try:
            return None if value is None else flag_of(value)
        except WrongValue as error:
            raise InvalidParams(str(error)) from None

    def texts(self, name: str, *, split: bool = False) -> list[str]:
        """A list of texts; empty when absent. Raises: InvalidParams."""
        value = self.values.get(name)
        try:
            return [] if value is None else list_of(value, split=split)
        except WrongValue as error:
            raise InvalidParams(str(error)) from None

    def mapping(self, name: str) -> dict[str, Any] | None:
        """A JSON object, or None when absent. Raises: InvalidParams."""
        value = self.values.get(name)
        if value is None or isinstance(value, dict):
            return value
        raise InvalidParams("must be object")

    def whole(self, name: str) -> int | None:
        """A whole number that is not negative; None when absent or anything else."""
        return whole_of(self._last(name))

    def _last(self, name: str) -> Any:
        value = self.values.get(name)
        if isinstance(value, list) and self.textual:
            return value[-1] if value else None
        return value


def flag_of(value: Any) -> bool:
    """A boolean, however it is spelt. Raises: WrongValue."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise WrongValue("must be boolean")


def list_of(value: Any, *, split: bool = False) -> list[str]:
    """Texts: a single one is a list of one, with `split` parted at commas; empty ones go.

    Raises: WrongValue.
    """
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise WrongValue("must be array")
    if not all(isinstance(item, str) for item in value):
        raise WrongValue("must be string")
    if split:
        value = [part.strip() for item in value for part in item.split(",")]
    return [item for item in value if item]


def whole_of(value: Any) -> int | None:
    """A whole number that is not negative; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if 0 <= value <= limits.MAX_INT else None
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value) if len(value) <= _LONGEST_NUMBER else None
    return None


def missing(name: str) -> InvalidParams:
    """The refusal of a call without the parameter `name`."""
    return InvalidParams(f"must have required property '{name}'")


def parse_date(text: str) -> datetime | None:
    """A date as clients write it (ISO 8601, or milliseconds since 1970); None: it is none."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER:
        if len(text) == 4:  # a year
            return datetime(int(text), 1, 1, tzinfo=UTC) if int(text) else None
        milliseconds = int(text)
        if milliseconds > _LAST_MILLISECOND:
            return None
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    try:
        # A `+` of a time zone arrives as a space when the client did not encode it.
        found = datetime.fromisoformat(text if "+" in text else _zone_restored(text))
    except ValueError:
        return None
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        return None


def _zone_restored(text: str) -> str:
    head, space, tail = text.rpartition(" ")
    is_zone = space and "T" in head and tail.replace(":", "").isdigit()
    return f"{head}+{tail}" if is_zone else text


def parse_query(raw: str) -> Parameters:
    """The parameters of a query string, percent-encoded or not.

    Repeated keys and `key[]` make lists. One `?` at the end of the last value is cut: a client
    appends it to every address.

    Raises: BadRequest: not UTF-8, or a NUL character.
    """
    return Parameters(_pairs(raw.removesuffix("?")), textual=True)


def parse_form(raw: bytes) -> Parameters:
    """The parameters of an urlencoded body. Raises: UnreadableBody; BadRequest: NUL."""
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise UnreadableBody("Invalid form") from None
    return Parameters(_pairs(text), textual=True)


def parse_json(raw: bytes) -> Parameters:
    """The parameters of a JSON body; nothing at all counts as `{}`.

    Raises:
        UnreadableBody: no JSON, NaN, a lone surrogate, or nested deeper than 64.
        InvalidParams: JSON, but no object.
        BadRequest: a NUL character, or a number beyond 64 bit.
    """
    if not raw.strip():
        return Parameters({})
    try:
        document = limits.loads(raw)
    except limits.BadDocument:
        raise UnreadableBody("Invalid JSON") from None
    if not isinstance(document, dict):
        raise InvalidParams("must be object")
    limits.check_values(document)
    return Parameters(document)


def parse_body(raw: bytes, content_type: str) -> Parameters:
    """The parameters of a body. An unknown or missing type is tried as JSON."""
    if content_type == "application/x-www-form-urlencoded":
        return parse_form(raw)
    return parse_json(raw)


def parse_hook(raw: bytes, content_type: str) -> Parameters:
    """What another server sends: JSON, or a form. A form may carry JSON in its one field
    `payload`, and some send JSON as it is and call it a form.

    Raises: as `parse_json` and `parse_form`.
    """
    if content_type != "application/x-www-form-urlencoded":
        return parse_json(raw)
    bare = raw.strip()
    if bare.startswith(b"{"):
        return parse_json(bare)
    form = parse_form(raw)
    payload = form.values.get("payload")
    if form.values.keys() == {"payload"} and isinstance(payload, str):
        return parse_json(payload.encode())
    decoded = _decoded(bare.decode("ascii")) if bare[:3] in (b"%7B", b"%7b") else ""
    if decoded.startswith("{"):
        return parse_json(decoded.encode())
    return form


def json_object(text: str) -> dict[str, Any] | None:
    """The JSON object in `text`, or None when there is none."""
    try:
        document = limits.loads(text.encode())
        limits.check_values(document)
    except (limits.BadDocument, BadRequest, UnicodeEncodeError):
        return None
    return document if isinstance(document, dict) else None


def json_text(value: Any) -> str:
    """`value` as compact JSON, for error texts."""
    return orjson.dumps(value).decode()


def _pairs(raw: str) -> dict[str, str | list[str]]:
    found: dict[str, str | list[str]] = {}
    for pair in raw.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        key, text = _decoded(name), _decoded(value)
        if key.endswith("[]"):
            key = key[:-2]
            before = found.get(key, [])
            found[key] = [*_as_list(before), text]
        elif key in found:
            found[key] = [*_as_list(found[key]), text]
        else:
            found[key] = text
    return found


def _as_list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def _decoded(text: str) -> str:
    # Servers hand on raw bytes of the request line as lone surrogates.
    raw = unquote_to_bytes(text.replace("+", " ").encode("utf-8", "surrogateescape"))
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        raise limits.match_failed() from None
    if "\x00" in decoded:
        raise limits.match_failed()
    return decoded
