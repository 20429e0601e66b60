"""Arguments and results as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from hubbub.bus.codec import ActionCodec, BrokenPromise
from hubbub.contracts.base import Contract, action
from hubbub.errors import HubbubError, Internal, Invalid
from hubbub.ids import UserId
from tests.unit.bus.shop import Order, Shop


class Odd(Contract, Protocol, name="odd"):
    """Signatures that cannot travel."""

    @action()
    async def many(self, *names: str) -> None: ...

    @action()
    async def untyped(self, name) -> None: ...  # type: ignore[no-untyped-def]

    @action()
    async def silent(self, name: str): ...  # type: ignore[no-untyped-def]

    @action()
    async def user(self, *, only: int | None = None) -> UserId: ...

    @action()
    async def perhaps(self) -> Order | None: ...

    @action()
    async def orders(self) -> list[Order]: ...


def codec(name: str, contract: Any = Shop) -> ActionCodec:
    return ActionCodec(contract.contract_actions[name])


@pytest.mark.parametrize(
    ("method", "arguments", "body"),
    [
        pytest.param("price", {"item": "a"}, b'{"item":"a"}', id="defaults left out"),
        pytest.param(
            "price", {"item": "ä", "amount": 2}, '{"item":"ä","amount":2}'.encode(), id="utf-8"
        ),
        pytest.param("blob", {"data": b"\xff\x00"}, b'{"data":"_wA="}', id="bytes as base64"),
        pytest.param(
            "opened",
            {"since": datetime(2026, 1, 1, tzinfo=UTC)},
            b'{"since":"2026-01-01T00:00:00Z"}',
            id="time with offset",
        ),
        pytest.param(
            "buy",
            {"order": Order(item="tea")},
            b'{"order":{"item":"tea","amount":1,"note":null}}',
            id="model",
        ),
    ],
)
def test_arguments_travel(method: str, arguments: dict[str, Any], body: bytes) -> None:
    """What is encoded is JSON by name, and decodes to the same."""
    encoded = codec(method).encode_arguments(arguments)

    assert encoded == body
    assert codec(method).decode_arguments(encoded) == arguments


@pytest.mark.parametrize(
    ("body", "path"),
    [
        pytest.param(b"{}", "item", id="missing"),
        pytest.param(b'{"item":5}', "item", id="wrong type"),
        pytest.param(b'{"item":"a","amount":"2"}', "amount", id="a number as text"),
        pytest.param(b'{"item":', "", id="broken JSON"),
        pytest.param(b"[1]", "", id="not an object"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_wrong_arguments_are_listed(body: bytes, path: str) -> None:
    """The callee says which field is wrong, and not what was in it."""
    with pytest.raises(Invalid) as caught:
        codec("price").decode_arguments(body)

    (field,) = caught.value.details["fields"]
    assert field["path"] == path
    assert field["problem"]
    assert caught.value.reason.startswith("shop.price: ")


def test_nested_fields_are_named_with_their_path() -> None:
    """A wrong field deep in a model is found."""
    with pytest.raises(Invalid) as caught:
        codec("buy").decode_arguments(b'{"order":{"item":"a","amount":"x"}}')

    assert caught.value.details["fields"][0]["path"] == "order.amount"


def test_unknown_arguments_are_ignored() -> None:
    """A contract grows by arguments with a default, and a newer caller may give them."""
    assert codec("price").decode_arguments(b'{"item":"a","colour":"red"}') == {"item": "a"}
    with pytest.raises(Invalid, match="colour"):
        codec("price").decode_arguments({"item": "a", "colour": "red"})


def test_unknown_fields_of_models_are_ignored() -> None:
    """A newer caller may say more than an older callee knows."""
    decoded = codec("buy").decode_arguments(b'{"order":{"item":"a","gift":true}}')

    assert decoded == {"order": Order(item="a")}


def test_what_no_json_can_carry_is_refused_by_the_caller() -> None:
    """Nothing is sent."""
    with pytest.raises(Invalid, match=r"shop\.price"):
        codec("price").encode_arguments({"item": object()})
    with pytest.raises(Invalid, match="colour: unknown argument"):
        codec("price").encode_arguments({"item": "a", "colour": "red"})
    with pytest.raises(Invalid):
        codec("price").encode_arguments({"item": "\ud800"})


def test_positional_arguments_get_their_names() -> None:
    """In the order of the contract."""
    assert codec("price").bind(("a", 2), {}) == {"item": "a", "amount": 2}
    assert codec("price").bind(("a",), {"amount": 3}) == {"item": "a", "amount": 3}
    with pytest.raises(Invalid, match="takes 2 positional arguments, 3 given"):
        codec("price").bind(("a", 2, 3), {})
    with pytest.raises(Invalid, match="item: given twice"):
        codec("price").bind(("a",), {"item": "b"})
    with pytest.raises(Invalid, match="takes 0 positional"):
        codec("user", Odd).bind((1,), {})


@pytest.mark.parametrize(
    ("method", "contract", "value", "body"),
    [
        pytest.param("price", Shop, 5, b'{"ok":5}', id="number"),
        pytest.param("slow", Shop, 'a"b', b'{"ok":"a\\"b"}', id="text"),
        pytest.param("user", Odd, UserId("u"), b'{"ok":"u"}', id="new type"),
        pytest.param("broken", Shop, None, b'{"ok":null}', id="nothing"),
        pytest.param("perhaps", Odd, None, b'{"ok":null}', id="perhaps nothing"),
        pytest.param("blob", Shop, b"\xff", b'{"ok":"_w=="}', id="bytes"),
    ],
)
def test_results_travel(method: str, contract: Any, value: object, body: bytes) -> None:
    """A promised result is encoded, and decodes to the same."""
    encoded = codec(method, contract).encode_result(value)

    assert encoded == body
    assert codec(method, contract).decode_reply(encoded) == value


@pytest.mark.parametrize(
    ("method", "contract", "value"),
    [
        pytest.param("price", Shop, "5", id="text for a number"),
        pytest.param("price", Shop, None, id="forgotten return"),
        pytest.param("blob", Shop, None, id="nothing for bytes"),
        pytest.param("buy", Shop, {"item": "a"}, id="dict for a model"),
        pytest.param("orders", Odd, [Order(item="a"), "b"], id="one wrong element"),
        pytest.param("slow", Shop, "\ud800", id="no Unicode"),
        pytest.param("broken", Shop, 1, id="something for nothing"),
    ],
)
def test_broken_promises_are_not_sent(method: str, contract: Any, value: object) -> None:
    """A result that the contract does not promise is an error of the callee."""
    with pytest.raises(BrokenPromise, match=method):
        codec(method, contract).encode_result(value)


def test_broken_promises_are_told_without_their_values() -> None:
    """What was returned may be somebody's message; only its type is told."""
    with pytest.raises(BrokenPromise) as caught:
        codec("price").encode_result("a secret text")

    assert "secret" not in str(caught.value)
    assert "str" in str(caught.value)


def test_answers_are_read_tolerantly() -> None:
    """A newer callee may say more, an answer that does not fit at all is a defect."""
    reply = codec("buy").decode_reply(b'{"ok":{"item":"a","gift":true},"took":3}')

    assert reply == Order(item="a")
    with pytest.raises(
        Internal, match=r"shop.buy: the answer does not fit the contract \(ok.item\)"
    ):
        codec("buy").decode_reply(b'{"ok":{}}')
    with pytest.raises(HubbubError):
        codec("buy").decode_reply(b"nonsense")


def test_unchecked_values_stay_as_they_are_inside_a_process() -> None:
    """Without coding arguments and results are still checked."""
    order = Order(item="a")

    assert codec("buy").decode_arguments({"order": order})["order"] is order
    assert codec("buy").check_result(order).value is order
    with pytest.raises(Invalid):
        codec("buy").decode_arguments({"order": 5})
    with pytest.raises(BrokenPromise):
        codec("buy").check_result(5)


@pytest.mark.parametrize(
    ("method", "problem"),
    [("many", "ordinary named argument"), ("untyped", "no type"), ("silent", "returns")],
)
def test_impossible_signatures_are_refused(method: str, problem: str) -> None:
    """When the contract is first used, with the action's name."""
    with pytest.raises(TypeError, match=f"odd.{method}.*{problem}"):
        codec(method, Odd)
