"""The command line: `hubbub up`, `hubbub run SERVICE`, and ways to look at what runs."""
