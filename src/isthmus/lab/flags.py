"""The flags of a control plane's programs.

Owns the command lines of etcd and of Kubernetes' control plane: what kubeadm would give them, less leader
election and durable writes, which a lab pays for in seconds and gains nothing by. Pure.
"""

from pathlib import Path

from isthmus.lab.plan import API_PORT, Cluster

ETCD_CLIENT = "http://127.0.0.1:2379"
ETCD_PEER = "http://127.0.0.1:2380"


def etcd(data: Path) -> list[str]:
    """Plain HTTP is private enough: the loopback address is that of the control plane's own namespace."""
    return [
        "--name=lab",
        f"--data-dir={data}",
        f"--listen-client-urls={ETCD_CLIENT}",
        f"--advertise-client-urls={ETCD_CLIENT}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=lab={ETCD_PEER}",
        "--unsafe-no-fsync",
        "--snapshot-count=10000",
        "--quota-backend-bytes=4294967296",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
        "--log-level=warn",
    ]


def api_server(cluster: Cluster, pki: Path) -> list[str]:
    """Flags of the API server. It checks the certificates of kubelets, as a careful production cluster does."""
    return [
        f"--advertise-address={cluster.address}",
        f"--secure-port={API_PORT}",
        f"--etcd-servers={ETCD_CLIENT}",
        f"--service-cluster-ip-range={cluster.service_cidr}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth=true",
        "--profiling=false",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={pki}/front-proxy-client.crt",
        f"--proxy-client-key-file={pki}/front-proxy-client.key",
    ]


def controller_manager(
    cluster: Cluster, pki: Path, kubeconfig: Path, certificate_life: str = ""
) -> list[str]:
    """Flags of the controller manager; it signs certificate requests with the cluster's authority.

    `certificate_life` is how long what it signs is valid, a Go duration; "" leaves Kubernetes' year.
    """
    signing = [f"--cluster-signing-duration={certificate_life}"] if certificate_life else []
    return [
        *_common(kubeconfig),
        f"--cluster-name={cluster.name}",
        "--controllers=*,bootstrapsigner,tokencleaner",
        "--use-service-account-credentials=true",
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={cluster.pod_cidr}",
        f"--service-cluster-ip-range={cluster.service_cidr}",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        *signing,
        f"--client-ca-file={pki}/ca.crt",
        f"--requestheader-client-ca-file={pki}/front-proxy-ca.crt",
    ]


def scheduler(kubeconfig: Path) -> list[str]:
    """Flags of the scheduler."""
    return _common(kubeconfig)


def _common(kubeconfig: Path) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--profiling=false",
    ]
