"""The liqo.io kinds as Isthmus reads them, their labels, annotations, names, and their CRD manifests.

Facts, not behaviour: every string in here is seen by users or by a peer (`shared/liqo/wire.md`), and none may
change. Nothing in this package talks to a cluster.
"""
