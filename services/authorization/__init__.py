"""The authorization service: who may do what, and who may follow which room.

It owns the collections `rocketchat_roles` and `rocketchat_permissions` and fills in what a new
workspace lacks. Users, rooms and memberships it only reads. Answers come from caches of facts;
the events of the stream-hub (`RolesChanged`, `PermissionsChanged`, `UserChanged`,
`MembershipChanged`, `RoomChanged`, `SettingsChanged`) make it forget a fact that changed.

* `service`   the contract's actions, the listeners and the process
* `editing`   changing roles and permissions
* `facts`     the caches of what the rules need to know
* `domain`    the rules
* `store`     the queries
"""
