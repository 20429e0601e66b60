"""What the database has to have before services use it, and who makes that.

    await expanding.expand(database, holder=…, by=…, within=600.0, tell=print)

Every service knows its own collections, options and indexes: the function `expand` in the module
`migration` beside its entry point makes those that are missing, and removes nothing. Services run
it themselves when they start, or wait until `hubbub migrate expand` has run all of them: see
`SchemaSettings`.

* `version`    the number of the schema, in the database and in the code
* `steps`      the services' functions
* `lease`      one at a time
* `expanding`  all of it together
* `twins`      which documents are in the way of a unique index
* `settings`   who makes it
"""
