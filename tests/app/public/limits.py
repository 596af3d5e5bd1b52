"""What the operator sees of a limit that was met: the metric, and the access line of the exchange that it ended."""

import logging
from typing import Any

import pytest

from tests.app.observed.counted import samples
from tests.app.stage import Stage


def hits(stage: Stage) -> dict[str, int]:
    """`gateway_limits_hit_total` by limit, where it is not 0."""
    counts = {key[1]: int(value) for key, value in samples(stage.gateway.metrics).items() if key[0] == _NAME}
    assert counts
    return {limit: count for limit, count in counts.items() if count}


_NAME = "gateway_limits_hit_total"


class Lines:
    """The access log from now on."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "gateway.access")
        self._caplog = caplog

    @property
    def ended(self) -> list[dict[str, Any]]:
        """The fields of each exchange that is over, in order."""
        lines = [record.__dict__["fields"] for record in self._caplog.records if record.name == "gateway.access"]
        return [fields for fields in lines if fields["event"] == "ended"]

    @property
    def last(self) -> dict[str, Any]:
        """The exchange that ended last; what limited it stands in the text, too."""
        record = [record for record in self._caplog.records if record.name == "gateway.access"][-1]
        fields: dict[str, Any] = record.__dict__["fields"]
        assert fields["event"] == "ended"
        assert (f"limit {fields['limit']}" in record.getMessage()) == (fields["limit"] is not None)
        return fields
