"""Conformance: whatever the API's own description allows, and what it does not, gets an answer.

A tool that nobody here wrote makes calls from the served description, valid ones and invalid
ones. Some ids in them are replaced by real ones, else nearly all calls would end at "no such
room". `HUBBUB_FUZZ_EXAMPLES` sets how many calls an endpoint gets (and makes them new each time).
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode

from hubbub.ids import random_id
from services.gateway.rest import openapi
from services.gateway.rest.endpoints import table
from services.gateway.rest.router import Endpoint
from tests.conformance.conftest import ADMIN_PASSWORD, Running
from tests.conformance.rest import PASSWORD
from tests.integration.gateway.rubbish import tells_how_it_went

pytestmark = pytest.mark.conformance

Case = schemathesis.Case[Any]
Who = Literal["administrator", "user", "nobody"]

EXAMPLES = int(os.environ.get("HUBBUB_FUZZ_EXAMPLES", "0"))
_SETTINGS = settings(
    max_examples=EXAMPLES or 4,
    derandomize=not EXAMPLES,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
_ENDS_ITS_OWN_LOGIN = {
    "logout",
    "users.logout",
    "users.logoutOtherClients",
    "users.deleteOwnAccount",
}
_USES = 8  # endpoints that share a room; some of them may end it
ENDPOINTS = [row for row in table() if row.name not in _ENDS_ITS_OWN_LOGIN]
SCHEMA = schemathesis.openapi.from_dict(openapi.document(ENDPOINTS, version="8.0.0"))


class Site:
    """A running Hubbub with an administrator, a user, and things that they may ask for."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        first = os.environ.get("HUBBUB_TEST_ADMIN", f"admin:{ADMIN_PASSWORD}").split(":", 1)
        self.headers: dict[Who, dict[str, str]] = {"nobody": {}}
        self.headers["administrator"] = self._login(*first)
        # One of our own, so that nothing happens to the one that other tests use.
        admin = self._account("fuzzing-admin", roles=["admin"])
        user, self._victim = self._account("fuzzing"), self._account("victim")
        self.headers["administrator"] = self._login(admin["username"], PASSWORD)
        self.headers["user"] = self._login(user["username"], PASSWORD)
        self._uses: Counter[Who] = Counter()
        self._real: dict[Who, dict[str, Any]] = {}

    def _login(self, username: str, password: str) -> dict[str, str]:
        data = self._post("login", "nobody", username=username, password=password)["data"]
        return {"X-Auth-Token": data["authToken"], "X-User-Id": data["userId"]}

    def _account(self, prefix: str, **fields: Any) -> dict[str, Any]:
        name = f"{prefix}-{random_id(8).lower()}"
        made: dict[str, Any] = self._post(
            "users.create",
            "administrator",
            username=name,
            name=name,
            email=f"{name}@example.org",
            password=PASSWORD,
            **fields,
        )["user"]
        return made

    def _post(self, endpoint: str, by: Who, **body: Any) -> dict[str, Any]:
        answer = self._session.post(
            f"{self.url}/api/v1/{endpoint}", json=body, headers=self.headers[by], timeout=20
        )
        assert answer.status_code == 200, (endpoint, answer.text)
        found: dict[str, Any] = answer.json()
        return found

    def real(self, by: Who) -> dict[str, Any]:
        """Values that mean something, by the names of parameters; new ones now and then."""
        if self._uses[by] % _USES == 0:
            self._real[by] = self._made(by)
        self._uses[by] += 1
        return self._real[by]

    def _made(self, by: Who) -> dict[str, Any]:
        owner: Who = "user" if by == "nobody" else by
        name = f"fuzzed-{random_id(10).lower()}"
        members = [self._victim["username"]]
        room = self._post("channels.create", owner, name=name, members=members)["channel"]
        said = self._post("chat.postMessage", owner, roomId=room["_id"], text="hello")["message"]
        return {
            "roomId": room["_id"],
            "rid": room["_id"],
            "roomName": room["name"],
            "channel": room["_id"],
            "msgId": said["_id"],
            "messageId": said["_id"],
            "mid": said["_id"],
            "tmid": said["_id"],
            "userId": self._victim["_id"],
            "username": self._victim["username"],
            "user": self._victim["username"],
            "lastUpdate": "2020-01-01T00:00:00.000Z",
            "updatedSince": "2020-01-01T00:00:00.000Z",
            "rest": room["_id"],
        }

    def is_signed_in(self, by: Who) -> bool:
        answer = self._session.get(f"{self.url}/api/v1/me", headers=self.headers[by], timeout=20)
        return answer.status_code == 200

    def close(self) -> None:
        self._session.close()

    def send(self, case: Case, by: Who) -> None:
        """Make the call. Its answer is JSON, says how it went, and is no failure of ours."""
        answer = case.call(
            base_url=self.url,
            session=self._session,
            headers=self.headers[by],
            timeout=20,
            allow_redirects=False,
        )
        told = (case.as_curl_command(), answer.status_code, answer.content[:500])
        assert answer.status_code < 500, told
        if answer.status_code in range(300, 400):
            return  # to a picture
        assert answer.headers["content-type"] == ["application/json"], told
        assert tells_how_it_went(answer.status_code, answer.json()), told


@pytest.fixture(scope="module")
def site(hubbub: Running) -> Iterator[Site]:
    made = Site(hubbub.url)
    yield made
    made.close()


@dataclass(frozen=True)
class Real:
    """Puts real values in the place of made ones."""

    values: dict[str, Any]

    def into(self, case: Case, chosen: set[str]) -> None:
        for part in (case.query, case.path_parameters, case.body):
            if isinstance(part, dict):
                for name in chosen & part.keys() & self.values.keys():
                    part[name] = self.values[name]


def test_the_served_description(hubbub: Running) -> None:
    """It needs no login, is valid, and tells of every endpoint there is."""
    with urllib.request.urlopen(f"{hubbub.url}/api/v1/openapi.json", timeout=20) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        served = json.load(answer)

    assert not [str(error) for error in OpenAPIV31SpecValidator(served).iter_errors()]
    assert set(served["paths"]) == {row.path.replace("*", "{rest}") for row in table()}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda row: f"{row.method}-{row.name}")
@pytest.mark.parametrize("by", ["administrator", "user", "nobody"])
def test_any_call_gets_an_answer(site: Site, endpoint: Endpoint, by: Who) -> None:
    """JSON, with `success`, and never a failure of ours."""
    operation = SCHEMA[endpoint.path.replace("*", "{rest}")][endpoint.method]
    modes = [GenerationMode.POSITIVE]
    if endpoint.asked is not None:
        modes.append(GenerationMode.NEGATIVE)
    cases = st.one_of(*(operation.as_strategy(generation_mode=mode) for mode in modes))
    real = Real(site.real(by)) if endpoint.asked is not None else Real({})

    @_SETTINGS
    @given(case=cases, chosen=st.sets(st.sampled_from([*real.values, ""])))
    def send(case: Case, chosen: set[str]) -> None:
        real.into(case, chosen)
        site.send(case, by)

    send()
    assert by == "nobody" or site.is_signed_in(by)
