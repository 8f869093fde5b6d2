"""Installation: what the manifests of an installation are, and how they get into a cluster and out of it.

`values` is what a user may set, `render` turns values into manifests (pure), `steps` applies them and waits,
`removal` takes everything away again. The command line is its only user; no role's process imports it. Failures
are `InstallError` (a fault of the input or of the cluster, with its mend) or an error of the Kubernetes client.
"""
