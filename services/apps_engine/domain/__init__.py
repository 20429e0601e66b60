"""Rules of the apps engine. Pure: no clock, no database, no bus."""
