"""The addresses that may use a service: single ones, networks, and ranges ``a-b``, separated by commas. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Allowed:
    """Ranges of addresses, each from its first to its last."""

    ranges: tuple[tuple[Address, Address], ...]

    def admits(self, host: str) -> bool:
        """Whether a client with this address may come in."""
        try:
            address = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(
            first.version == address.version and int(first) <= int(address) <= int(last) for first, last in self.ranges
        )


def allowed(text: str) -> Allowed:
    """Read the list.

    Raises:
        ValueError: says which part is wrong.
    """
    return Allowed(tuple(_range(part.strip()) for part in text.split(",") if part.strip()))


def _range(part: str) -> tuple[Address, Address]:
    first, dash, last = part.partition("-")
    if not dash:
        network = ip_network(part)
        return network[0], network[-1]
    ends = ip_address(first.strip()), ip_address(last.strip())
    if ends[0].version != ends[1].version or int(ends[0]) > int(ends[1]):
        raise ValueError(f"{part!r} does not lead from an address to a greater one")
    return ends
