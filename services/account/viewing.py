"""What somebody may see of users."""

from __future__ import annotations

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.errors import BadRequest, LacksPermission
from hubbub.ids import UserId
from services.account import profile, rights
from services.account.changes import Editor
from services.account.refusals import user_not_found
from services.account.rights import Rights
from services.account.store.users import MongoUserStore


class Viewer:
    """Shows users."""

    def __init__(
        self, users: MongoUserStore, editor: Editor, held: Rights, *, root_url: str
    ) -> None:
        self._users = users
        self._editor = editor
        self._rights = held
        self._root_url = root_url

    async def oneself(self, user_id: UserId) -> Document:
        """See `Account.me`."""
        user = await self._editor.found(user_id, profile.READ_FOR_ONESELF)
        defaults = await self._editor.default_preferences()
        return profile.for_oneself(user, root_url=self._root_url, defaults=defaults)

    async def info(
        self,
        viewer_id: UserId,
        *,
        user_id: str | None,
        username: str | None,
        email: str | None,
        import_id: str | None,
        full: bool,
    ) -> Document:
        """See `Account.user_info`. Of oneself everything is shown."""
        fields = profile.SEEN_BY_ADMINISTRATORS
        if user_id is not None:
            user = await self._users.find(user_id, fields)
        elif username is not None:
            user = await self._users.find_named(username, fields)
        elif email is not None:
            user = await self._users.find_addressed(email, fields)
        elif import_id is not None:
            user = await self._users.find_imported(import_id, fields)
        else:
            raise BadRequest("Nobody is named", code="error-user-param-not-provided")
        if user is None:
            raise user_not_found()
        by_a_secret = user_id is None and username is None
        is_own = user["_id"] == viewer_id
        asks = (full or by_a_secret) and not is_own
        sees_all = is_own or (asks and await self._rights.may(viewer_id, rights.VIEW_EVERYTHING))
        if by_a_secret and not sees_all:
            # Who may not see addresses does not learn whose one is, or that it is anybody's.
            raise user_not_found()
        return profile.for_others(user, full=sees_all)

    async def page(self, viewer_id: UserId, paging: Paging, status_not: str | None) -> Page:
        """See `Account.list_users`."""
        held = await self._rights.held(viewer_id, rights.LIST_USERS, rights.VIEW_EVERYTHING)
        if rights.LIST_USERS not in held:
            raise LacksPermission
        full = rights.VIEW_EVERYTHING in held
        users, total = await self._users.page(paging, profile.LISTED_IN_FULL, status_not)
        return Page(items=[profile.for_list(user, full=full) for user in users], total=total)
