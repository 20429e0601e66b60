"""Rules of messaging. Pure: no clock, no randomness, no database, no bus."""
