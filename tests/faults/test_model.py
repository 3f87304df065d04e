"""Two hundred examples of the model in the tests; ``scripts/faults --model`` runs ten thousand."""

import pytest
from hypothesis import HealthCheck, settings

from tests.faults.machine import Submission

pytestmark = pytest.mark.early(13)

Submission.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestSubmission = pytest.mark.timeout(900)(Submission.TestCase)
