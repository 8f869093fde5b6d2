"""What the lab tells its user when something is wrong on their side or on the machine's.

Owns the one exception that the command line turns into a message. Anything else that escapes is a bug.
"""


class LabError(Exception):
    """Something the user can act upon; its text is one complete message."""
