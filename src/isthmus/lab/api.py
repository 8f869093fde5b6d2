"""A few requests to a cluster's API server, for setting the cluster up and for seeing that it is ready.

Owns nothing. It is deliberately not the product's client, which the lab is there to test. Fails with `ApiError`
for an answer that is no success, and with `OSError` while there is no answer at all.
"""

import http.client
import json
import ssl
from pathlib import Path
from typing import Any

from isthmus.lab.plan import API_PORT, Cluster

TIMEOUT_SECONDS = 10.0


class ApiError(Exception):
    """The API server answered, but not with success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:500]}")
        self.status = status


class Api:
    """A cluster's API server as its administrator sees it. One request at a time."""

    def __init__(self, cluster: Cluster, pki: Path) -> None:
        self._address = str(cluster.address)
        self._context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._context.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def request(self, method: str, path: str, body: object = None, content: str = "application/json") -> Any:
        """The decoded answer, or its text where it is no JSON. Raises ApiError and OSError."""
        connection = http.client.HTTPSConnection(
            self._address, API_PORT, timeout=TIMEOUT_SECONDS, context=self._context
        )
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": content} if data else {})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        if answer.status >= 300:
            raise ApiError(answer.status, text)
        return json.loads(text) if text.startswith("{") else text

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            self.request("GET", "/readyz")
        except (OSError, ApiError):
            return False
        return True

    def apply(self, path: str, thing: dict[str, Any]) -> None:
        """Create or update an object at its own path."""
        self.request(
            "PATCH", f"{path}?fieldManager=isthmus-lab&force=true", thing, "application/apply-patch+yaml"
        )

    def node_ready(self, name: str) -> bool:
        """Whether a node's kubelet reports that it is ready."""
        try:
            node = self.request("GET", f"/api/v1/nodes/{name}")
        except (OSError, ApiError):
            return False
        conditions = node.get("status", {}).get("conditions", [])
        return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)
