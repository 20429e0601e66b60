"""The Hubbub of the conformance tests, attacked."""

from __future__ import annotations

from tests.conformance.conftest import (  # noqa: F401 - fixtures
    admin,
    ana,
    anonymous,
    bo,
    cy,
    database,
    hubbub,
    new_user,
    rest,
    sign_in,
    sockets,
)
from tests.conformance.test_login_doors import doors  # noqa: F401 - a fixture
from tests.conformance.test_rest_files import files  # noqa: F401 - a fixture
