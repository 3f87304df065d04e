"""
How property tests draw their examples: the same ones on every machine, without a deadline.

``scripts/test tests/unit --hypothesis-profile search`` looks for new ones.
"""

from hypothesis import HealthCheck, settings

# A slow machine is no counterexample.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("search", PATIENT)
settings.register_profile("repeatable", PATIENT, derandomize=True, database=None)
settings.load_profile("repeatable")
