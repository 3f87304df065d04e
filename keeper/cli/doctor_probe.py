"""Doctor's findings on an endpoint after processing a few blocks with it."""

from typing import Final

from keeper.chain.reader import NodeReader
from keeper.cli.findings import Finding, fail, ok, warn
from keeper.composition.probing import NOBODY, EndpointProbe, Probe
from keeper.composition.session import session_over
from keeper.config import Settings
from keeper.domain.units import Address
from keeper.execution.signer import LOCAL_CHAINS

LOCAL_SECONDS: Final = 2.0
"""How long a block of a local chain is waited for: many mine on demand only."""
LONGEST_SECONDS: Final = 40.0


async def probed(
    settings: Settings, sender: Address | None, heads: int, what: str, reader: NodeReader
) -> list[Finding]:
    """Return whether the keeper would act on an endpoint, after processing some heads with it."""
    chain = settings.chain
    patience = min(LONGEST_SECONDS, 2 * chain.block_time_ms / 1000 + 5)
    probe = EndpointProbe(session_over(settings, reader), sender or NOBODY)
    found = await probe.run(heads, LOCAL_SECONDS if chain.id in LOCAL_CHAINS else patience)
    return findings_of(what, found)


def findings_of(name: str, probe: Probe) -> list[Finding]:
    """Return the findings of a probe, including intermittent failures."""
    stopping = probe.stopping
    if stopping is not None:
        reason = f"does not act on this node, because {stopping.reason}"
        found = [fail(name, f"{reason} ({_format_seen(probe)})", stopping.cure)]
    else:
        slowest = f"{probe.slowest * 1000:.0f} ms for the slowest"
        found = [ok(name, f"acts on this node ({_format_seen(probe)}, {slowest})")]
    return found + [
        warn(name, f"{fault.reason} at {count} of {_format_seen(probe)}", fault.cure)
        for fault, count in probe.failures
        if stopping is None
    ]


def _format_seen(probe: Probe) -> str:
    """Return the number of blocks seen, and the time if some did not arrive."""
    if probe.seen >= probe.asked:
        return f"{probe.seen} blocks"
    return f"{probe.seen} of {probe.asked} blocks in {probe.seconds:.0f} s"
