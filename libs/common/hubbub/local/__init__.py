"""A whole Hubbub on one machine: embedded servers, every service, one front door.

For laptops, tests and small installations. In a cluster none of this runs.
"""
