"""A copy of the whole database as it was at one moment, in one file.

    await snapshot.create(database, path)           # reads at one cluster time
    archive.verify(path)                            # reads everything, compares checksums
    await restoring.restore(database, path)         # into an empty database

* `manifest`   what a copy says of itself
* `archive`    the file: written in one go, read in pieces
* `schema`     what collections are made of beside their documents
* `snapshot`   database → file
* `restoring`  file → database
* `finishing`  for a database that another tool brought back

What is of no use to a Hubbub that starts with the copy is in none (`manifest.LEFT_OUT`).
"""
