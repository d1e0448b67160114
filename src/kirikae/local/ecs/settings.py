"""Account settings: kept and told, without effect here."""

from __future__ import annotations

from kirikae.local.ecs.clusters import INSIGHTS
from kirikae.local.ecs.names import invalid, refused
from kirikae.local.pages import page
from kirikae.local.plain import Plain
from kirikae.local.rows import Setting
from kirikae.local.state import State
from kirikae.local.wire import ACCOUNT, Handlers

_ROOT = f"arn:aws:iam::{ACCOUNT}:root"


_ON_OR_OFF = ("enabled", "disabled", "on", "off")
_VALUES = {
    "containerInsights": INSIGHTS,
    "fargateTaskRetirementWaitPeriod": ("0", "7", "14"),
    "fargateEventWindows": _ON_OR_OFF,
    "defaultLogDriverMode": ("blocking", "non-blocking"),
}
"""Values of a setting (API reference, PutAccountSetting); of the others: on or off, in either
words."""


class AccountSettings:
    """By name and principal; who asks for none asks for the account's own."""

    def __init__(self, state: State) -> None:
        """Settings stand in the store, by name and principal."""
        self._state = state

    async def put(self, params: Plain) -> Plain:
        """PutAccountSetting: a value of before is replaced; asking twice is harmless.  Raises
        AwsError for a value that this setting has not."""
        values = _VALUES.get(params["name"], _ON_OR_OFF)
        if params["value"] not in values:
            raise invalid(
                f"value '{params['value']}' is not valid for {params['name']}: one of "
                f"[{','.join(values)}]"
            )
        setting: Setting = {
            "name": params["name"],
            "value": params["value"],
            "principalArn": params.get("principalArn", _ROOT),
        }
        return {"setting": self._state.settings.put(_key(setting), setting)}

    async def put_default(self, params: Plain) -> Plain:
        """PutAccountSettingDefault: the account's root stands for everybody."""
        return await self.put(
            {
                **params,
                "principalArn": _ROOT,
            }
        )

    async def list_settings(self, params: Plain) -> Plain:
        """ListAccountSettings: one page of what was put, by name; defaults of AWS are not known
        here.  Raises AwsError for a value without a name."""
        if params.get("value") and not params.get("name"):
            raise invalid("value needs a name.")
        found = [each for each in self._state.settings.all() if _asked(each, params)]
        found.sort(key=lambda setting: setting["name"])
        return page("settings", found, params, 10)

    async def delete(self, params: Plain) -> Plain:
        """DeleteAccountSetting.  Raises AwsError for a setting that was never put."""
        name = params["name"]
        principal = params.get("principalArn", _ROOT)
        row = self._state.settings.get(f"{name}/{principal}")
        if row is None:
            raise refused(f"the setting {name} was not changed for {principal}")
        self._state.settings.drop(_key(row))
        return {"setting": row}


def _key(setting: Setting) -> str:
    """Where a setting stands in the store."""
    return f"{setting['name']}/{setting['principalArn']}"


def _asked(setting: Setting, params: Plain) -> bool:
    """Is it of the asked name, value and principal?  The principal is the root unless it is
    said."""
    return (
        params.get("name") in (None, setting["name"])
        and params.get("value") in (None, setting["value"])
        and setting["principalArn"] == params.get("principalArn", _ROOT)
    )


OPERATIONS: Handlers[AccountSettings] = {
    "PutAccountSetting": AccountSettings.put,
    "PutAccountSettingDefault": AccountSettings.put_default,
    "ListAccountSettings": AccountSettings.list_settings,
    "DeleteAccountSetting": AccountSettings.delete,
}
PARTLY = {
    "PutAccountSetting": "kept and told, without effect",
    "PutAccountSettingDefault": "kept and told, without effect",
}
"""Operations of which something is missing, and what."""
