"""The `isthmus controller` role: one process with every reconcile loop of the modules that are switched on.

`options.py` reads what the process was started with, `run.py` wires the modules to one manager and ends the
process cleanly on SIGTERM.
"""
