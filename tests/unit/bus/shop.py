"""A service to test the bus with: its contract, its events, and one way to keep them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol

from pydantic import BaseModel

from hubbub.bus import CallContext, current_call
from hubbub.contracts.base import Contract, Event, action, listen
from hubbub.errors import Conflict, NotFound


class Order(BaseModel):
    """Something to send."""

    item: str
    amount: int = 1
    note: str | None = None


class SoldOut(Conflict):
    """The shop has no more of it."""

    default_code = "error-sold-out"


class Sold(Event, name="shop.sold"):
    """Somebody bought something."""

    item: str


class Recalled(Event, name="shop.recalled"):
    """Something has to come back; nobody may miss it."""

    item: str


class Shop(Contract, Protocol, name="shop"):
    """Sells things. For tests."""

    @action(idempotent=True)
    async def price(self, item: str, amount: int = 1) -> int:
        """What `amount` of `item` cost."""
        ...

    @action()
    async def buy(self, order: Order) -> Order:
        """Buy; not to be done twice. Raises: SoldOut."""
        ...

    @action(idempotent=True, timeout=1.0)
    async def slow(self, seconds: float) -> str:
        """Answer after `seconds`."""
        ...

    @action(timeout=1.0)
    async def slow_once(self, seconds: float) -> str:
        """The same, not to be done twice."""
        ...

    @action(idempotent=True, running=2, waiting=3)
    async def narrow(self, name: str) -> str:
        """Answers when `release` is called."""
        ...

    @action()
    async def opened(self, since: datetime | None = None) -> datetime:
        """A moment."""
        ...

    @action()
    async def blob(self, data: bytes) -> bytes:
        """The same bytes back to front."""
        ...

    @action()
    async def size(self, length: int) -> str:
        """A text of `length` characters."""
        ...

    @action()
    async def wrong(self) -> int:
        """Breaks its promise."""
        ...

    @action()
    async def broken(self) -> None:
        """Has a defect."""
        ...

    @action()
    async def context(self) -> str:
        """Whose request this is."""
        ...


class ShopService(Shop):
    """Keeps the contract, and remembers what happened to it."""

    def __init__(self, name: str = "shop") -> None:
        self.name = name
        self.entered: list[str] = []
        self.cancelled: list[str] = []
        self.seen: list[CallContext] = []
        self.release = asyncio.Event()
        self.sold: list[str] = []

    async def price(self, item: str, amount: int = 1) -> int:
        self.entered.append("price")
        if item == "nothing":
            raise NotFound("no such thing", code="error-no-thing", details={"item": item})
        return len(item) * amount

    async def buy(self, order: Order) -> Order:
        self.entered.append("buy")
        if order.item == "gold":
            raise SoldOut("no gold today", details={"item": "gold"})
        return order.model_copy(update={"note": f"sold by {self.name}"})

    async def slow(self, seconds: float) -> str:
        return await self._slowly("slow", seconds)

    async def slow_once(self, seconds: float) -> str:
        return await self._slowly("slow_once", seconds)

    async def _slowly(self, method: str, seconds: float) -> str:
        self.entered.append(method)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled.append(method)
            raise
        return self.name

    async def narrow(self, name: str) -> str:
        self.entered.append(name)
        await self.release.wait()
        return name

    async def opened(self, since: datetime | None = None) -> datetime:
        return since or datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

    async def blob(self, data: bytes) -> bytes:
        return data[::-1]

    async def size(self, length: int) -> str:
        return "x" * length

    async def wrong(self) -> int:
        return "not a number"  # type: ignore[return-value]  # that is the point

    async def broken(self) -> None:
        raise ZeroDivisionError("a secret in a text")

    async def context(self) -> str:
        self.seen.append(current_call())
        return self.name

    @listen(Sold, to="one")
    async def count(self, event: Sold) -> None:
        """Counts sales."""
        self.sold.append(event.item)
