"""The account service: who somebody is.

It owns the collection `users` (but for presence, which the presence service writes),
`hubbub_login_failures` and `hubbub_once`. It offers login, tokens, registration and what may be
seen of users. It never tells anybody that a login ended: it removes the token from the user's
document, and the change stream speaks.

* `service`        the contract's actions and the process
* `login`          the one way in, for every door
* `limits`         how many failures a user or an address may have
* `passwords`      bcrypt beside the event loop
* `registration`   making accounts, the first administrator, the built-in bot
* `default_rooms`  new users join the default rooms, however often it takes
* `domain`, `names`, `profile`, `second_factor`   rules: login, names, what others see, codes
* `store`          the queries
"""
