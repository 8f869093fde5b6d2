"""Which addresses of one range are held, and which one a new holder gets. Pure, no I/O.

For the addresses of the external CIDR (IP objects) and of the internal CIDR (nodes and gateways on the overlay).
A holder's place is where its name falls, or the next free one: an object that is made anew gets its address back
where it can, and an address just given up is seldom another's at once, while a peer may still send to it.
"""

from __future__ import annotations

from binascii import crc32

from isthmus.api.cidr import CIDR


class AddressesExhaustedError(Exception):
    """Every address of the range is held; the text names the range and the mend."""


class AddressBook:
    """The holders of addresses in one range.

    `reserved` is how many of the first addresses are never handed out (Network.spec.preAllocated); neither are
    the first and the last of a range that has any between.
    """

    def __init__(self, cidr: CIDR, reserved: int = 0) -> None:
        self.cidr = cidr
        edge = 1 if cidr.size > 2 else 0
        self._lowest = cidr.first + max(reserved, edge)
        self._count = max(cidr.last - edge - self._lowest + 1, 0)
        self._holders: dict[str, int] = {}
        self._uses: dict[int, int] = {}
        self._taken = 0

    @property
    def free(self) -> int:
        """How many addresses can still be handed out."""
        return self._count - self._taken

    @property
    def empty(self) -> bool:
        """Whether nobody holds an address."""
        return not self._holders

    def hold(self, holder: str, address: int) -> None:
        """Note that the address is held, whatever else is: what the objects say is so. Replaces the holder's last."""
        if self._holders.get(holder) == address:
            return
        self.release(holder)
        self._holders[holder] = address
        self._uses[address] = self._uses.get(address, 0) + 1
        if self._uses[address] == 1 and self._grants(address):
            self._taken += 1

    def release(self, holder: str) -> None:
        """Forget a holder; harmless where it holds nothing."""
        address = self._holders.pop(holder, None)
        if address is None:
            return
        self._uses[address] -= 1
        if not self._uses[address]:
            del self._uses[address]
            if self._grants(address):
                self._taken -= 1

    def held(self, holder: str) -> int | None:
        """The address of a holder."""
        return self._holders.get(holder)

    def is_rivalled(self, holder: str) -> bool:
        """Whether another holds the holder's address too."""
        address = self._holders.get(holder)
        return address is not None and self._uses[address] > 1

    def choose(self, name: str) -> int:
        """The free address for a holder of that name; the caller notes it with `hold`.

        Raises AddressesExhaustedError.
        """
        if self.free <= 0:
            raise AddressesExhaustedError(
                f"all {self._count} addresses of {self.cidr} that can be given are held: remove what is no longer "
                "needed, or make the range larger"
            )
        start = crc32(name.encode())
        for step in range(self._count):
            address = self._lowest + (start + step) % self._count
            if address not in self._uses:
                return address
        raise AssertionError("an address was counted as free and is not")

    def acquire(self, holder: str, name: str) -> int:
        """The holder's address, chosen and noted where it has none. Raises AddressesExhaustedError."""
        address = self._holders.get(holder)
        if address is None:
            address = self.choose(name)
            self.hold(holder, address)
        return address

    def _grants(self, address: int) -> bool:
        return self._lowest <= address < self._lowest + self._count
