"""Certificates and attributes of listeners."""

from __future__ import annotations

from kirikae.local.elb.door import Door
from kirikae.local.elb.kinds import SECURE, listens
from kirikae.local.elb.known import Known, show_attributes
from kirikae.local.elb.limits import wrong
from kirikae.local.elb.listenerforms import (
    ATTRIBUTES,
    check_certificates,
    check_number,
)
from kirikae.local.elb.pems import Pems, files_of
from kirikae.local.errors import AwsError
from kirikae.local.plain import Plain
from kirikae.local.rows import Listener
from kirikae.local.state import State
from kirikae.local.wire import Handlers


class CertificateApi:
    """The first certificate of a listener is its default one."""

    def __init__(self, state: State, known: Known, door: Door, pems: Pems | None) -> None:
        """Keeps nothing itself; without ``pems`` certificates are only kept and told."""
        self._state = state
        self._known = known
        self._door = door
        self._pems = pems

    async def add(self, params: Plain) -> Plain:
        """AddListenerCertificates: one that is there already stays once."""
        row = self._secure(params)
        asked = [each.get("CertificateArn", "") for each in params["Certificates"]]
        check_number(asked)
        check_certificates(asked)
        default, *others = row["certificates"]
        extended = [*others, *(arn for arn in dict.fromkeys(asked) if arn not in others)]
        check_number(extended)
        await self._put(row, [default, *extended])
        return {"Certificates": [_shown(arn, False) for arn in dict.fromkeys(asked)]}

    async def remove(self, params: Plain) -> Plain:
        """RemoveListenerCertificates: the default one stays; ModifyListener replaces it."""
        row = self._secure(params)
        asked = {each.get("CertificateArn", "") for each in params["Certificates"]}
        default, *others = row["certificates"]
        if default in asked and default not in others:
            raise AwsError(
                "OperationNotPermitted",
                "The default certificate of a listener cannot be removed; replace it",
            )
        left = [default, *(arn for arn in others if arn not in asked)]
        await self._put(row, left)
        return {}

    async def _put(self, row: Listener, certificates: list[str]) -> None:
        """The listener with these; HAProxy chooses among them by the host that a client names."""
        changed: Listener = {**row, "certificates": certificates}
        if row.get("protocol") == "HTTPS":
            changed["pems"] = await files_of(self._pems, certificates)
        self._state.listeners.put(row["arn"], changed)
        await self._door.tell_all()

    async def describe(self, params: Plain) -> Plain:
        """DescribeListenerCertificates: the default one first."""
        row = self._known.listener(params["ListenerArn"])
        shown = [_shown(arn, not number) for number, arn in enumerate(row.get("certificates", []))]
        return {"Certificates": shown}

    def _secure(self, params: Plain) -> Listener:
        """The listener.  Raises AwsError for one that has no certificates."""
        row = self._known.listener(params["ListenerArn"])
        if row.get("protocol", "HTTP") not in SECURE:
            raise wrong("Certificates can only be added to HTTPS and TLS listeners")
        return row

    async def describe_attributes(self, params: Plain) -> Plain:
        """DescribeListenerAttributes: the defaults, unless they were set."""
        return show_attributes(self._attributes(self._known.listener(params["ListenerArn"])))

    async def modify_attributes(self, params: Plain) -> Plain:
        """ModifyListenerAttributes: raises AwsError for one that this listener has not, and for
        what a listener that is carried out would not do."""
        row = self._known.listener(params["ListenerArn"])
        known = self._attributes(row)
        for each in params["Attributes"]:
            key = each.get("Key", "")
            value = each.get("Value", "")
            if key not in known:
                raise AwsError(
                    "InvalidConfigurationRequest",
                    f"Listener attribute key '{key}' is not recognized",
                )
            if listens(row) and known[key] != value:
                raise AwsError(
                    "InvalidConfigurationRequest",
                    f"kirikae local does not carry out {key}={value} yet",
                )
            known[key] = value
        changed: Listener = {**row, "attributes": known}
        self._state.listeners.put(row["arn"], changed)
        return show_attributes(known)

    def _attributes(self, row: Listener) -> dict[str, str]:
        """All of them."""
        return {**ATTRIBUTES.get(row.get("protocol", "HTTP"), {}), **row.get("attributes", {})}


def _shown(arn: str, is_default: bool) -> Plain:
    """As AWS tells a certificate of a listener."""
    return {"CertificateArn": arn, "IsDefault": is_default}


OPERATIONS: Handlers[CertificateApi] = {
    "AddListenerCertificates": CertificateApi.add,
    "RemoveListenerCertificates": CertificateApi.remove,
    "DescribeListenerCertificates": CertificateApi.describe,
    "DescribeListenerAttributes": CertificateApi.describe_attributes,
    "ModifyListenerAttributes": CertificateApi.modify_attributes,
}
PARTLY = {
    "AddListenerCertificates": "on listeners of TLS kept and told, without effect",
    "RemoveListenerCertificates": "as AddListenerCertificates",
    "ModifyListenerAttributes": "of records; those that listen keep their defaults",
}
"""Operations of which something is missing, and what."""
