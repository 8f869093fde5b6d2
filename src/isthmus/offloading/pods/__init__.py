"""Offloaded pods: a local pod on a virtual node, its ShadowPod on the provider, and the status that comes back.

Pure functions decide (`spec`, `volumes`, `affinity`, `api_server`, `metadata`, `status`, `fallback`); the
`reconciler` reads the caches of both clusters, calls them and writes. It is run by the task of each virtual
node (`isthmus.offloading.virtualnode`) and ends with it; it fails only where its node's task would.
"""
