"""A Hubbub of three tiny services, to try the supervisor and the front door with."""
