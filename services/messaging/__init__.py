"""The messaging service: rooms, memberships, messages and workspace settings.

Owns `rocketchat_message`, `rocketchat_room`, `rocketchat_subscription`, `rocketchat_settings`
and `rocketchat__trash`; reads names and statuses from `users`. Offers the contract `Messaging`,
asks `Authorization` for permissions, listens to the hub's domain events to drop what it caches.

    service    the doors; `run`
    sending, editing, history, rooms, memberships, directory, workspace
               what the doors do, one kind of work each
    funnel     one batch of a room in flight at a time
    effects    unread counters and notifications, after the commit
    facts      short-lived memory of users, rooms, rights and settings
    whisper    frames that are never stored
    store      every query
    domain     the rules

It never tells a client about a stored change: it writes, and the change stream speaks.
"""
