"""The settings file of each party: inert JSON without secrets, read strictly."""

import re
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, ValidationError

from ucadi_flwr.deployment.kit import files
from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.protection.keys import NO_KEY, ServerContext
from ucadi_flwr.recipes.base import StrictSection, check_site_name

PARTIES = ("server", "authority")
"""The other folders of a kit; a site cannot have one of these names."""

SchemeName = Literal["bfv", "ckks", "none"]


def check_new_names(names: Iterable[str], taken: Iterable[str] = ()) -> None:
    """Raise :class:`UcadiError` on names that folders cannot have or that are in use, in any case.

    Args:
        names: the new names.
        taken: names that are or were in use.
    """
    used = {name.casefold() for name in (*taken, *PARTIES)}
    for name in names:
        check_site_name(name)
        if name.casefold() in PARTIES:
            raise FederationError(
                f"a site cannot be named {name!r}: a kit has a folder of that name"
            )
        if name.casefold() in used:
            raise FederationError(
                f"there is a site named {name!r} already (upper and lower case count as equal); "
                "choose another name"
            )
        used.add(name.casefold())


def _line(check: Callable[[str], object]) -> AfterValidator:
    """A check that raises :class:`UcadiError` as a validator of pydantic's."""

    def validate(value: str) -> str:
        try:
            check(value)
        except UcadiError as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(validate)


SiteName = Annotated[str, _line(check_site_name)]
ServerAddress = Annotated[str, _line(Address.parse)]
Fingerprint = Annotated[str, Field(pattern=r"^SHA256:[A-Za-z0-9+/]{43}$")]
KeyId = Annotated[str, Field(pattern=r"^([0-9a-f]{32}|none)$")]
"""The id of the encryption key in hexadecimal; ``none`` where nothing is encrypted."""


class _Strict(StrictSection):
    model_config = ConfigDict(strict=True)


class _KitSettings(_Strict):
    schema_version: Literal[1]
    server: ServerAddress
    scheme: SchemeName
    key_id: KeyId

    @property
    def address(self) -> Address:
        """Where the sites reach the server."""
        return Address.parse(self.server)


class ServerKitSettings(_KitSettings):
    """The server's settings: whose nodes may join."""

    party: Literal["server"]
    sites: dict[SiteName, Fingerprint]


class SiteKitSettings(_KitSettings):
    """A site's settings: its name, its server, and the keys that belong to its folder."""

    party: Literal["site"]
    site: SiteName
    node_key: Fingerprint
    authority: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class MemberEntry(_Strict):
    """A site in the register."""

    node_key: Fingerprint
    since: date


class RevokedEntry(MemberEntry):
    """A site that was in the register."""

    until: date


class Register(_KitSettings):
    """The authority's settings: who is and who was a member."""

    party: Literal["authority"]
    sites: dict[SiteName, MemberEntry]
    revoked: dict[SiteName, RevokedEntry]


AnySettings = TypeVar("AnySettings", ServerKitSettings, SiteKitSettings, Register)


def key_id_text(context: ServerContext) -> str:
    """A key's id in the settings' form."""
    return "none" if context == NO_KEY else context.key_id.hex()


def dump(settings: ServerKitSettings | SiteKitSettings | Register) -> bytes:
    """JSON that :func:`load` reads back."""
    return (settings.model_dump_json(by_alias=True, indent=2) + "\n").encode()


def load(kind: type[AnySettings], path: Path) -> AnySettings:
    """Read and validate a settings file.

    Raises :class:`FederationError`, which names the first problem.
    """
    try:
        return kind.model_validate_json(files.read(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        what = re.sub("^Value error, ", "", first["msg"])
        raise FederationError(
            f"{path}: {where}: {what}; copy the file from the kit again"
        ) from None
