"""The identity in the headers of a proxy that has authenticated a person."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Mapping

from ..config import Config
from .identity import Identity, Right
from .person_space import person_space

logger = logging.getLogger(__name__)

_MAX_NAME_CHARS = 200
_MAX_GROUPS = 100


class ProxyIdentities:
    """Reads ``--identity-header`` and ``--groups-header`` of requests from ``--trusted-proxies``.

    Args:
        config: the configuration.
    """

    def __init__(self, config: Config) -> None:
        self._user, self._groups = config.identity_header, config.groups_header
        self._networks = [ipaddress.ip_network(text) for text in config.trusted_proxies]
        self._has_logged = False

    def identity(self, headers: Mapping[str, str], address: str) -> Identity | None:
        """Return who a trusted proxy says sends the request; None: no proxy says it.

        Args:
            headers: the headers of the request.
            address: the address of the other end of the connection.
        """
        name = headers.get(self._user, "").strip() if self._user else ""
        if not name:
            return None
        if not self._is_trusted(address):
            if not self._has_logged:
                self._has_logged = True
                logger.warning(
                    "ignored the header %s of %s, which is not in --trusted-proxies",
                    self._user,
                    address,
                )
            return None
        if len(name) > _MAX_NAME_CHARS:
            return None
        text = headers.get(self._groups, "") if self._groups else ""
        groups = [group.strip() for group in text.split(",", _MAX_GROUPS)][:_MAX_GROUPS]
        return Identity(person_space(name, groups), Right.ADMIN, label=name)

    def _is_trusted(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            # A UNIX socket has no address.
            return False
        mapped = getattr(peer, "ipv4_mapped", None) or peer
        return any(mapped in network for network in self._networks)
