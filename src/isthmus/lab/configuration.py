"""The configuration files of a cluster's programs, as text.

Owns what Kubernetes' components, containerd and CoreDNS are told besides their flags (flags.py). Pure.
Why a setting is not the usual one is said beside it; most were found the hard way on small machines.
"""

import base64
import json
from typing import Any

from isthmus.lab.plan import Cluster, Worker

CLUSTER_DOMAIN = "cluster.local"
PAUSE_IMAGE = "localhost/isthmus-pause:latest"
MAX_PODS = 250


def render_kubeconfig(cluster: Cluster, user: str, authority: bytes, certificate: bytes, key: bytes) -> str:
    """A kubeconfig with everything inside it. JSON is YAML too, and needs no dependency."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster.name,
                "cluster": {"server": cluster.url, "certificate-authority-data": _base64(authority)},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {"client-certificate-data": _base64(certificate), "client-key-data": _base64(key)},
            }
        ],
        "contexts": [{"name": cluster.name, "context": {"cluster": cluster.name, "user": user}}],
        "current-context": cluster.name,
    }
    return _json(document)


def render_kubelet(cluster: Cluster, cgroup: str) -> str:
    """The kubelet's configuration; `cgroup` is the control group, from the root, that its pods go under."""
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": "/var/lib/kubelet/pki/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": "/var/lib/kubelet/pki/node.crt",
            "tlsPrivateKeyFile": "/var/lib/kubelet/pki/node.key",
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "clusterDNS": [str(cluster.dns_address)],
            "clusterDomain": CLUSTER_DOMAIN,
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "maxPods": MAX_PODS,
            "serializeImagePulls": False,
            # Kubelets that share a root take one another's pods for orphans and kill them.
            "cgroupRoot": f"/{cgroup}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            # The nodes share one disk with all else on the machine: its filling up is none of their business.
            "evictionHard": {},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "makeIPTablesUtilChains": False,
        }
    )


def render_proxy(cluster: Cluster, worker: Worker) -> str:
    """kube-proxy's configuration. The limits of conntrack belong to the whole machine and are left alone."""
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "hostnameOverride": worker.name,
            "bindAddress": str(worker.address),
            "clientConnection": {"kubeconfig": "/var/lib/kubelet/kube-proxy.kubeconfig"},
            "clusterCIDR": str(cluster.pod_cidr),
            "detectLocalMode": "ClusterCIDR",
            "healthzBindAddress": "0.0.0.0:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
    )


def render_containerd() -> str:
    """containerd's configuration: its usual paths, which in a node's mount namespace are the node's own."""
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without this runc fails with "can't get final child's PID from pipe: EOF" inside a container.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def render_cni(worker: Worker) -> str:
    """The pod network of a node: a bridge, addresses from the node's range, the node as the gateway."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        # Masquerading is the node's one rule (network.py): here it would hide pods from other nodes too.
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(worker.pod_cidr)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return _json({"cniVersion": "1.0.0", "name": "lab", "plugins": [bridge, ports]})


def render_coredns(cluster: Cluster, kubeconfig: str) -> str:
    """CoreDNS' configuration. There is no outside to forward to: other names are refused at once."""
    return f"""{CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
    bind {cluster.address}
    errors
    health 127.0.0.1:8080
    ready 127.0.0.1:8181
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"
