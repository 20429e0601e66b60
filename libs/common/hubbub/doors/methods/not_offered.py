"""Features that clients ask for at start and that Hubbub does not have, by their answers."""

from __future__ import annotations

from typing import Any

from hubbub.doors.table import Call, method


def _enter_what_is_not_offered() -> None:
    """Features that clients ask for at start and that Hubbub does not have, by their answers."""

    def answering(value: Any, summary: str) -> Any:
        async def handler(call: Call) -> Any:
            return value

        handler.__doc__ = summary
        return handler

    method("listCustomSounds", parallel_safe=True, anonymous=True)(
        answering([], "None are offered.")
    )
    method("license:getModules", parallel_safe=True, anonymous=True)(
        answering([], "There is no licence: everything is free.")
    )
    method("license:isEnterprise", parallel_safe=True, anonymous=True)(
        answering(False, "There is no licence: everything is free.")
    )


_enter_what_is_not_offered()
