"""Rules about files and pictures. Pure."""
