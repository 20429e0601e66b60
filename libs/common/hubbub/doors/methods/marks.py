"""Marking and finding messages."""
