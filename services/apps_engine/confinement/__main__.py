"""`python -I -m services.apps_engine.confinement PLAN`: what the engine starts for every app."""

from __future__ import annotations

import sys

from services.apps_engine.confinement.launcher import main

main(sys.argv[1])
