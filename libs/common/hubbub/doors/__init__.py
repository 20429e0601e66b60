"""What several doors of Hubbub share: the methods a client may call by name.

A door turns one protocol (DDP, REST) into calls of contracts. It decides nothing.
"""
