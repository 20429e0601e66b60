"""What the services promise each other: one module per service, plus the events between them.

Only declarations: Protocols, models, names. Nothing here reads or writes anything.
"""
