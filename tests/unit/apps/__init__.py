"""Tests of what apps are made of: the manifest, the wire, the process, the SDK."""
