"""What a simulator says that it plays; a real venue announces nothing."""

from __future__ import annotations

import httpx
import msgspec

from services.order_routing.ports import VenueUnavailable


class SimulatorAnnouncement:
    """Implements ports.Announcement over the simulator's own path."""

    def __init__(self, url: str, timeout_s: float = 2.0) -> None:
        self._silent = False
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)

    def close(self) -> None:
        self._http.close()

    def sessions(self) -> dict[str, str]:
        if self._silent:
            return {}
        try:
            response = self._http.get("/simulator/v1/sessions")
            if response.status_code == 404:
                self._silent = True
                return {}
            announced = msgspec.json.decode(response.content)["sessions"]
            return {str(one["instrument"]): str(one["session"]) for one in announced if one["state"] != "ENDED"}
        except (httpx.HTTPError, msgspec.MsgspecError, KeyError, TypeError) as error:
            raise VenueUnavailable(f"the announcement: {type(error).__name__}: {error}") from error
