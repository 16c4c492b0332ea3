"""How many examples the property tests draw: HYPOTHESIS_PROFILE is "default" or "deep" (`make deep`)."""

import os

from hypothesis import HealthCheck, settings

# Examples that step environments take milliseconds each, and more on a busy machine: no deadline, no complaint.
PATIENT = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("default", max_examples=30, **PATIENT)
settings.register_profile("deep", max_examples=10_000, **PATIENT)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
