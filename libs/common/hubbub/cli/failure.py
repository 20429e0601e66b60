"""What a command raises when it cannot do its work: one line for a person."""


class Failure(Exception):
    """It did not work; exit status 1."""


class WrongUse(Exception):
    """It was asked wrongly; exit status 2."""
