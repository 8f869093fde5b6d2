"""The one API server that tests run controllers and commands against: in memory, over real HTTP, as Kubernetes answers.

A reconciler test places objects, runs the controllers, and waits for what they make of them:

    from tests.apiserver import ApiServer, running

    async def test_the_quota_follows_what_was_granted() -> None:
        api = ApiServer()
        api.create("namespaces", {"metadata": {"name": TNS, "labels": TENANT}})
        api.create("resourceslices", {"metadata": {...}, "spec": {...}, "status": {...}})
        async with running(api, quotas):                      # quotas(manager, options) adds the controllers
            await api.until(lambda: api.get("quotas", TNS, "milan"))
            api.merge("resourceslices", TNS, "milan", {"status": {...}})
            await api.until(lambda: api.list("quotas")[0]["spec"]["resources"] == {"cpu": "2"})
            api.delete("resourceslices", TNS, "milan")
            await api.until(lambda: not api.named("quotas"))

`test_example.py` is a whole one. By the methods of `ApiServer` a test acts as a user who may do everything; what the
product asks for comes by HTTP and follows the rules: resourceVersion and uid conflicts, finalizers, generations, the
status subresource, server-side apply with its managers, owner references, ends of namespaces, CRDs. Nothing of a
schema is validated or defaulted, and nobody plays kubelet, scheduler or Deployment: tests merge what those would say,
or have it done after each change with `on_change`.

Where it answers otherwise than Kubernetes does, add the request to `steps.py` and record the real answer with
ISTHMUS_TEST_RECORD=1 and tests/cluster/test_api_server_script.py; `test_recorded.py` then holds it to that.

- Every liqo.io kind and the built-in kinds in use are there; `ApiServer(Kind(...))` or `serve` adds one.
- `api.until(condition)` looks again after each change; never sleep. To show that something does *not* happen, wait
  for a later thing that does, or expect a TimeoutError of a short `until`.
- `api.fail(409, "Conflict", verb="patch", plural="pods")`, `failing` (a block), `lose_answer`, `hold`,
  `end_watches`, `expire` (410), `stop`/`start`: what goes wrong. `admission.append(hook)` refuses or changes writes.
- `api.requests`, `api.asked("create", "pods")`: what was asked for. `respond` answers some of it by hand.
- `pytestmark = VIRTUAL_TIME` (`clock`) has hours of pauses, heartbeats and deadlines pass in milliseconds; so does
  `pytest.mark.looptime`, for the loop's own time.
- Two clusters are two ApiServers; `until` of either looks after changes of both.
- `connected(api)` is a client, `commanded(api)` a command's cluster, `command("info", "--kubeconfig", kubeconfig(api,
  tmp_path))` runs a whole command.
"""

from __future__ import annotations

from tests.apiserver.errors import StatusError
from tests.apiserver.kinds import SERVICE_MONITOR, Kind
from tests.apiserver.requests import Request
from tests.apiserver.running import Outcome, command, commanded, connected, kubeconfig, running
from tests.apiserver.server import ApiServer
from tests.apiserver.store import Change, Json, Place
from tests.apiserver.waiting import until, wake
from tests.apiserver.writes import Admission

__all__ = [
    "SERVICE_MONITOR",
    "Admission",
    "ApiServer",
    "Change",
    "Json",
    "Kind",
    "Outcome",
    "Place",
    "Request",
    "StatusError",
    "command",
    "commanded",
    "connected",
    "kubeconfig",
    "running",
    "until",
    "wake",
]
