"""Rooms as a whole: settings, lists, discussions."""
