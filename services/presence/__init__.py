"""The presence service: who is there.

It owns the collections `usersSessions` and `rocketchat_custom_user_status`, and the fields
`status`, `statusConnection`, `statusDefault` and `statusText` of `users`.

Several replicas agree because none of them remembers anything: a user's connections are one
document, changed only by atomic updates, so it does not matter which replica a streamer reaches.
A change marks the document as *due*. Every replica claims batches of due documents (each goes to
exactly one), works out the status that others see, writes it to `users` if it is another one,
and announces it. A replica that dies leaves its claims to the others, seconds later.

* `service`     the contract's actions and the process
* `writer`      gathers changes of connections into batches
* `settling`    claims, decides, writes, announces
* `vigil`       ends the connections of streamers that are gone
* `custom_statuses`   statuses that the workspace offers
* `domain`, `instances`   rules: statuses, and when a streamer counts as gone
* `store`       the queries
"""
