"""The objects that make a bare API server a usual cluster: the DNS service, rights, the nodes' ranges.

Pure: each is a path and an object to apply there. The DNS server runs beside the control plane, so its service
has an endpoint of its own making and no selector.
"""

from typing import Any

from isthmus.lab.plan import Cluster, Worker

Applied = tuple[str, dict[str, Any]]
RBAC = "rbac.authorization.k8s.io"


def render(cluster: Cluster) -> list[Applied]:
    """All objects to apply once the API server is ready, in order."""
    nodes = [_node(worker) for worker in cluster.workers]
    return [*nodes, _dns_service(cluster), _dns_endpoints(cluster), _dns_role(), _dns_binding()]


def _node(worker: Worker) -> Applied:
    """A node before its kubelet finds it: routes are laid by plan, so its range must not be left to chance."""
    pods = str(worker.pod_cidr)
    return f"/api/v1/nodes/{worker.name}", {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": worker.name},
        "spec": {"podCIDR": pods, "podCIDRs": [pods]},
    }


def _dns_service(cluster: Cluster) -> Applied:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    return "/api/v1/namespaces/kube-system/services/kube-dns", {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"k8s-app": "kube-dns", "kubernetes.io/name": "CoreDNS"},
        },
        "spec": {"clusterIP": str(cluster.dns_address), "ports": ports},
    }


def _dns_endpoints(cluster: Cluster) -> Applied:
    return "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns", {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [str(cluster.address)], "conditions": {"ready": True}}],
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        ],
    }


def _dns_role() -> Applied:
    verbs = ["list", "watch"]
    return f"/apis/{RBAC}/v1/clusterroles/system:coredns", {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": verbs},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
        ],
    }


def _dns_binding() -> Applied:
    return f"/apis/{RBAC}/v1/clusterrolebindings/system:coredns", {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "system:coredns"},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "system:coredns"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "system:coredns"}],
    }
