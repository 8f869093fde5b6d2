"""`isthmus test network`: whether every pod and node of joined clusters reaches every other, measured from inside.

`agent`, `exchange` and `probes` run in pods of the installed image; everything else runs where the command was typed.
`survey` and `workload` read and write the clusters; `topology`, `plan` and `verdict` are pure and decide; `report`
shows. The pods are driven through the API server's exec, so that nothing but an echo service listens on the network.
"""
