"""The endpoints, a module per family, and what belongs to one family alone."""
