"""The fees that a simulated venue announces of itself."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from pipelines.retrain.adapters.run_folder import NotYet, RunError

PATH = "/simulator/v1/sessions"
TIMEOUT_S = 5.0


def announced_fees(venue: str, instrument: str) -> tuple[float, float]:
    """Maker's and taker's fee in bps of one instrument. Raises NotYet while the venue is away or not ready, RunError
    for an answer that says nothing of the instrument."""
    try:
        with urllib.request.urlopen(venue.rstrip("/") + PATH, timeout=TIMEOUT_S) as answer:
            sessions = json.load(answer)["sessions"]
        found = {one["instrument"]: one["market"] for one in sessions}
    except ValueError as error:
        raise RunError(f"--venue {venue}: no announcement at {PATH}: {error}") from error
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise NotYet(f"the venue at {venue} is not ready: HTTP {error.code}") from error
        raise RunError(f"--venue {venue}{PATH}: HTTP {error.code}; only a simulator announces its fees") from error
    except (OSError, http.client.HTTPException) as error:
        raise NotYet(f"the venue at {venue} does not answer: {error}") from error
    except (KeyError, TypeError) as error:
        raise RunError(f"--venue {venue}: the announcement has another shape: {error!r}") from error
    if instrument not in found:
        raise RunError(f"--venue {venue}: announces no fees of {instrument}, only of {', '.join(sorted(found))}")
    return float(found[instrument]["maker_fee_bps"]), float(found[instrument]["taker_fee_bps"])
