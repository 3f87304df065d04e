"""Error descriptions for URLs that Apprise refuses.

Only the scheme of the URL is repeated, since the rest holds tokens and passwords.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apprise

from keeper.domain.errors import ConfigError

_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,31})://(.*)", re.DOTALL)
_PLACE: Final = re.compile(r"\{([a-z_0-9]+)\}")
_FORMS_SHOWN: Final = 3
SCHEMES: Final = (
    "mailto, tgram, slack, discord, ntfy and others; Apprise's documentation lists them"
)


def describe_refusal(url: str) -> ConfigError:
    """Return the error for a URL that Apprise refused, as precisely as its own rules allow."""
    parts = _SCHEME.fullmatch(url.strip())
    if parts is None:
        return ConfigError("its url does not begin with a service's scheme", hint=SCHEMES)
    scheme, rest = parts.group(1).lower(), parts.group(2).partition("?")[0].rstrip("/")
    services = _index_services()
    service = services.get(scheme)
    if service is None:
        near = difflib.get_close_matches(scheme, list(services), n=1)
        hint = f"did you mean {near[0]}?" if near else SCHEMES
        return ConfigError(f"Apprise knows no service with the scheme {scheme}", hint=hint)
    templates = [str(one).removeprefix("{schema}://").rstrip("/") for one in service["templates"]]
    hint = f"after the scheme comes {' or '.join(templates[:_FORMS_SHOWN])}"
    found = [one for one in (_match_template(each, rest) for each in templates) if one is not None]
    if not found:
        what = f"a part of its {scheme} url is missing, or one is too many"
        return ConfigError(what, hint=hint)
    wrong = min((_find_malformed(each, service["tokens"]) for each in found), key=len)
    what = f"the {wrong[0]} of its {scheme} url is" if wrong else f"its {scheme} url is"
    return ConfigError(f"{what} not as the service wants it", hint=hint)


def _index_services() -> Mapping[str, Mapping[str, Any]]:
    """Return Apprise's details of each service, by scheme."""
    found = dict[str, Mapping[str, Any]]()
    for service in apprise.Apprise().details()["schemas"]:
        for name in ("protocols", "secure_protocols"):
            for scheme in service[name] or ():
                found[str(scheme)] = service["details"]
    return found


def _match_template(template: str, rest: str) -> Mapping[str, str] | None:
    """Return the parts of a URL by a template, None where it does not match."""
    pattern, last = "", 0
    for place in _PLACE.finditer(template):
        pattern += re.escape(template[last : place.start()])
        many = ".+" if place.group(1) == "targets" else "[^/@:]+"
        pattern += f"(?P<{place.group(1)}>{many})"
        last = place.end()
    found = re.fullmatch(pattern + re.escape(template[last:]), rest)
    return None if found is None else found.groupdict()


def _find_malformed(parts: Mapping[str, str], tokens: Mapping[str, Any]) -> Sequence[str]:
    """Return the names of the parts that break the service's own rules."""
    return [
        name
        for name, value in parts.items()
        if (rule := tokens.get(name, {}).get("regex")) and not _is_matching(rule, value)
    ]


def _is_matching(rule: Sequence[Any], value: str) -> bool:
    pattern, flags = str(rule[0]), str(rule[1] or "")
    return re.match(pattern, value, re.IGNORECASE if "i" in flags else 0) is not None
