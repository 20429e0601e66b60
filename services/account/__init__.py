"""The account service: who somebody is.

It owns the collection `users` (but for presence, which the presence service writes),
`hubbub_login_failures`, `hubbub_once` and `hubbub_audit`. It offers login, second factors, tokens,
registration, what may be seen of users and changed, and the record of all that. It never tells
anybody that a login ended: it removes the token from the user's document, and the change stream
speaks.

* `service`            the contract's actions and the process
* `login`              the one way in, for every door
* `second_factors`, `factor_doors`   enrolling, proving, giving up one-time passwords
* `tokens`             tokens that exist: checked, exchanged, ended; those that programs use
* `limits`             how many failures a user or an address may have
* `passwords`, `hashing`, `common_passwords`   hashes beside the event loop; what is too common
* `registration`       making accounts, the first administrator, the built-in bot
* `changes`, `own_profile`, `departures`   changing users, oneself, and the end of an account
* `viewing`            what somebody may see of users
* `rights`             who may do what to whom
* `audit`              what happened, written down
* `default_rooms`      new users join the default rooms, however often it takes
* `avatars`, `user_roles`   pictures and roles of users
* `domain`, `names`, `lookalikes`, `profile`, `second_factor`   rules: login, names, what others
                       see, codes
* `store`              the queries
"""
