"""The common library of Hubbub's services.

What belongs here would make sense in a library of its own: the bus, the contracts between
services, the DDP protocol, the life of a process. What one service decides does not.
"""
